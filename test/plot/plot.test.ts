/** Figures: what is in their SVG, files that are whole, and what is refused. How they look is `pictures.test.ts`'s matter. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as torch from "cresset";
import { DataFrame } from "cresset/data";
import * as plot from "cresset/plot";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { imageOf } from "../../src/plot/image.js";
import { blocks, dots, iterm, kitty, protocolOf } from "../../src/plot/terminal.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cresset-plot-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The texts of a drawing. */
const textsOf = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text]) => text!);
/** The pixels of the first image in a drawing. */
function imageIn(svg: string) {
  const base64 = /data:image\/png;base64,([^"]+)"/.exec(svg)![1]!;
  return decode(Buffer.from(base64, "base64"));
}

describe("charts", () => {
  it("label axes, ticks and titles", async () => {
    const figure = plot.plotProgress(torch.linspace(1, 0, 100), { title: "손실 <loss>", every: 10 });
    const svg = await figure.svg();
    expect(svg).toMatch(/^<svg[^>]* width="1152" height="576"/);
    const texts = textsOf(svg);
    for (const text of ["손실 &lt;loss&gt;", "0", "0.25", "0.5", "step", "loss", "mean of 2"])
      expect(texts).toContain(text);
    expect(texts).not.toContain("0.3");
    expect(svg.match(/<path/g)!.length).toBeGreaterThan(100);
  });

  it("draw bars named as asked", async () => {
    const svg = await plot.bar([0.25, 1, 0.5], { labels: ["zero", "one", "two"], ylim: [0, 1] }).svg();
    expect(textsOf(svg)).toEqual(expect.arrayContaining(["zero", "one", "two", "1.0"]));
    expect(svg.match(/<path aria-label|aria-roledescription="bar"|d="M[\d.]+,[\d.]+h/g)!.length).toBeGreaterThanOrEqual(
      3,
    );
  });

  it("take lists, typed arrays, tensors and columns", async () => {
    const df = new DataFrame({ step: [1, 2, 3], loss: [0.5, null, 0.125], name: ["a", "b", "c"] });
    const drawings = await Promise.all(
      [
        plot.line([0.5, Number.NaN, 0.125]),
        plot.line(Float64Array.of(0.5, Number.NaN, 0.125)),
        plot.line(df.column("loss")),
      ].map((f) => f.svg()),
    );
    const path = (svg: string) => svg.match(/ d="[^"]+"/g)!.join();
    expect(path(drawings[1]!)).toBe(path(drawings[0]!));
    expect(path(drawings[2]!)).toBe(path(drawings[0]!));
    expect(textsOf(await df.plot({ x: "step", y: "loss", xlabel: "step" }).svg())).toContain("step");
    expect(textsOf(await df.plot().svg())).toEqual(expect.arrayContaining(["step", "loss"]));
    expect(textsOf(await df.plot({ kind: "bar", x: "name", y: "loss" }).svg())).toEqual(
      expect.arrayContaining(["a", "b", "c"]),
    );
    expect(() => new DataFrame(["x"]).plot()).toThrow("no column of numbers");
    expect(() => df.plot({ kind: "hist" })).toThrow('kind "hist" draws one column, not step, loss');
    expect(() => plot.line(df.column("name"))).toThrow('line: "a" is not a number');
  });

  it("count what falls into bins as numpy does", async () => {
    // numpy.histogram([0, 0.5, 1, 1, 2, nan], bins=2, range=(0, 2)): [2, 3]; the last bin is closed.
    const svg = await plot.hist([0, 0.5, 1, 1, 2, Number.NaN], { bins: 2, ylim: [0, 3] }).svg();
    expect(svg.match(/d="M[^"]+v[^"]+"/g) ?? svg.match(/mark-rect/g)).not.toBeNull();
    await expect(plot.hist([]).svg()).resolves.toContain("<svg");
    await expect(plot.hist([3, 3]).svg()).resolves.toContain("<svg");
  });

  it("stand empty, with one value and with gaps alone", async () => {
    for (const values of [[], [1], [Number.NaN, Number.NaN]]) {
      for (const figure of [
        plot.line(values),
        plot.plotProgress(values),
        plot.bar(values),
        plot.scatter(values, values),
      ]) {
        expect(await figure.svg()).toMatch(/^<svg/);
      }
    }
  });

  it("refuse what makes no picture", () => {
    expect(() => plot.line([1, 2], [1, 2, 3], {})).toThrow("line: 2 values of x and 3 of y");
    expect(() => plot.line([1], { figsize: [0, 5] })).toThrow("figsize is 0 × 5 inches");
    expect(() => plot.line([1], { ylim: [0, 10], yscale: "log" })).toThrow("ylim is 0 to 10");
    expect(() => plot.scatter([1], [1], { labels: ["a", "b"] })).toThrow("2 labels for 1 points");
    expect(() => plot.bar([1], { alpha: 2 })).toThrow("alpha is 2, not in 0 … 1");
    expect(() => plot.hist([1], { bins: 0 })).toThrow("bins is 0");
    expect(() => plot.confusionMatrix([0], [0, 1])).toThrow("1 labels and 2 predictions");
    expect(() => plot.confusionMatrix([0.5], [0])).toThrow("0.5 is no class");
    expect(() => plot.grid([])).toThrow("grid: no figures");
  });

  it("count a confusion matrix", async () => {
    const svg = await plot.confusionMatrix([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0], { classes: ["a", "b", "c"] }).svg();
    // sklearn.metrics.confusion_matrix: [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    expect(textsOf(svg).filter((text) => /^\d$/.test(text))).toEqual(["1", "1", "1", "1", "2"]);
    expect(textsOf(svg)).toEqual(expect.arrayContaining(["a", "b", "c", "label", "predicted"]));
  });
});

describe("imshow", () => {
  it("gives values matplotlib's colours", async () => {
    const values = torch.tensor([
      [0, 0.5],
      [1, Number.NaN],
    ]);
    const { width, height, data } = imageIn(await plot.imshow(values, { cmap: "viridis" }).svg());
    expect([width, height]).toEqual([2, 2]);
    // matplotlib.colormaps["viridis"]([0, 0.5, 1.0], bytes=True); NaN is clear.
    const expected = [68, 1, 84, 255, 33, 145, 140, 255, 253, 231, 37, 255, 0, 0, 0, 0];
    for (const [i, value] of expected.entries()) expect(Math.abs(data[i]! - value)).toBeLessThanOrEqual(2);
    const blues = imageIn(await plot.imshow(values, { cmap: "Blues" }).svg()).data;
    expect([...blues.slice(0, 3)]).toEqual([247, 251, 255]);
    expect([
      ...imageIn(await plot.imshow(values, { cmap: "gray_r", vmin: 0, vmax: 2 }).svg()).data.slice(8, 11),
    ]).toEqual([127, 127, 127]);
  });

  it("knows images of colours in both orders, of bytes and of floats", () => {
    const bytes = torch.arange(30).reshape(2, 5, 3).byte();
    const rows = imageOf("imshow", bytes);
    expect([rows.height, rows.width, rows.channels, rows.full]).toEqual([2, 5, 3, 255]);
    const planes = imageOf("imshow", bytes.permute(2, 0, 1));
    expect([...(planes.values as Uint8Array)]).toEqual([...(rows.values as Uint8Array)]);
    expect(imageOf("imshow", torch.rand([4, 5, 6, 7]).select(0, 0).select(0, 0)).channels).toBe(1);
    expect(() => imageOf("imshow", torch.rand([5, 5, 5]))).toThrow("(5, 5, 5) is no image");
    expect(() => imageOf("imshow", torch.rand([0, 5]))).toThrow("has no pixels");
  });

  it("draws many in rows, and refuses what it does not know", async () => {
    const svg = await plot.imshow(torch.rand([6, 8, 8]), { titles: ["a", "b", "c", "d", "e", "f"], columns: 3 }).svg();
    expect(svg.match(/data:image\/png/g)).toHaveLength(6);
    expect(textsOf(svg)).toEqual(["a", "b", "c", "d", "e", "f"]);
    expect((await plot.imshow(torch.rand([2, 3, 8, 8])).svg()).match(/data:image\/png/g)).toHaveLength(2);
    const one = torch.rand([2, 2]);
    expect(() => plot.imshow(one, { cmap: "blues" as "Blues" })).toThrow('no colour map "blues"');
    expect(() => plot.imshow(one, { vmin: 2, vmax: 1 })).toThrow("vmin 2 and vmax 1 are no range");
    expect(() => plot.imshow(one, { interpolation: "bilinear" as "none" })).toThrow("pixels are shown as they are");
    expect(() => plot.imshow([])).toThrow(torch.ShapeError);
    expect(() => plot.imshow(torch.rand([3]))).toThrow(torch.ShapeError);
  });
});

describe("graph", () => {
  it("draws the operations between leaves and result", async () => {
    const x = torch.tensor(3.5, { requiresGrad: true });
    const svg = await plot.graph(x.mul(x).mul(2).add(3), { names: { x }, title: "x → z" }).svg({ theme: "dark" });
    expect(textsOf(svg)).toEqual(expect.arrayContaining(["x", "mul", "add", "x → z"]));
    expect(svg).toContain("#0d1117");
    expect(svg).toMatch(/^<svg/);
  });
});

describe("files and places", () => {
  const figure = plot.bar([1, 2, 3], { title: "막대 <b>" });

  it("are written whole, by their end", async () => {
    await figure.save(join(folder, "deep/a.svg"));
    expect(readFileSync(join(folder, "deep/a.svg"), "utf8")).toMatch(/^<svg[\s\S]*<\/svg>\n$/);
    await figure.save(join(folder, "a.png"), { scale: 1 });
    const { width, height } = decode(readFileSync(join(folder, "a.png")));
    expect([width, height]).toEqual([540, 360]);
    await figure.save(join(folder, "a.html"));
    const page = readFileSync(join(folder, "a.html"), "utf8");
    expect(page).toContain("<title>막대 &lt;b&gt;</title>");
    expect(page.match(/<svg/g)).toHaveLength(2);
    expect(page).not.toContain("<script");
    const ids = [...page.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    writeFileSync(join(folder, "old.png"), "old");
    await expect(figure.save(join(folder, "old.png"), { scale: -1 })).rejects.toThrow("scale is -1");
    expect(readFileSync(join(folder, "old.png"), "utf8")).toBe("old");
    await expect(figure.save(join(folder, "a.jpg"))).rejects.toThrow("does not end in .svg, .png or .html");
    await expect(figure.save(join(folder, "a.png/b.svg"))).rejects.toThrow(torch.DataError);
    expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("mount in an element and answer notebooks", async () => {
    const element = { innerHTML: "before" };
    await figure.mount(element, { theme: "dark" });
    expect(element.innerHTML).toMatch(/^<svg/);
    const asked = async (value: unknown) =>
      (await (value as Record<symbol, () => unknown>)[Symbol.for("Jupyter.display")]!()) as Record<string, string>;
    const bundle = await asked(figure);
    expect(bundle["image/svg+xml"]).toMatch(/^<svg/);
    expect(bundle["text/html"]).toMatch(/^<img alt="막대 &lt;b&gt;" width="540"/);
    expect(await asked(torch.ones([2]))).toEqual({ "text/plain": "tensor([1., 1.])" });
  });

  it("are shown by the kernel that runs the program", async () => {
    const shown: [string, unknown][] = [];
    const kernels = globalThis as { Deno?: unknown; __tslab__?: unknown };
    kernels.__tslab__ = {
      require: () => ({ display: { raw: (type: string, data: unknown) => shown.push([type, data]) } }),
    };
    try {
      await figure.show();
      await plot.display(torch.ones([1]));
      await plot.display(new DataFrame([1]));
      await plot.display("text");
    } finally {
      delete kernels.__tslab__;
    }
    expect(shown.map(([type]) => type)).toEqual(["text/html", "text/plain", "text/html", "text/plain"]);
    kernels.Deno = { jupyter: { display: async (value: unknown) => void shown.push(["deno", value]) } };
    try {
      await figure.show();
    } finally {
      delete kernels.Deno;
    }
    expect(shown.at(-1)).toEqual(["deno", figure]);
  });
});

describe("in a terminal", () => {
  const picture = { width: 2, height: 4, data: new Uint8Array(32).fill(255) };

  it("is shown the best way that it is known to have", () => {
    const of = (env: Record<string, string>, isTTY = true) => protocolOf({ env, isTTY });
    expect(of({ TERM: "xterm-kitty" })).toBe("kitty");
    expect(of({ TERM: "xterm-ghostty" })).toBe("kitty");
    expect(of({ TERM_PROGRAM: "iTerm.app" })).toBe("iterm");
    expect(of({ TERM_PROGRAM: "WezTerm" })).toBe("iterm");
    expect(of({ TERM: "foot" })).toBe("sixel");
    expect(of({ TERM: "xterm-256color" })).toBe("blocks");
    expect(of({ TERM: "xterm-kitty", TMUX: "/tmp/x" })).toBe("blocks");
    expect(of({ TERM: "xterm", NO_COLOR: "1" })).toBe("dots");
    expect(of({ TERM: "xterm-kitty" }, false)).toBe("dots");
  });

  it("is written in characters and in the protocols' forms", () => {
    expect(blocks(picture, true)).toBe(
      Array(2).fill("\x1b[38;2;255;255;255m\x1b[48;2;255;255;255m▀▀\x1b[0m").join("\n"),
    );
    expect(blocks(picture, false)).toContain("\x1b[38;5;231m");
    const dotted = { ...picture, data: picture.data.slice() };
    dotted.data.fill(0, 4, 7);
    expect(dots(dotted)).toBe("⠈");
    const [first, second] = kitty(new Uint8Array(4000)).split("\x1b\\");
    expect(first!.startsWith("\x1b_Ga=T,f=100,m=1;")).toBe(true);
    expect(first).toHaveLength("\x1b_Ga=T,f=100,m=1;".length + 4096);
    expect(second!.startsWith("\x1b_Gm=0;")).toBe(true);
    expect(iterm(Uint8Array.of(1, 2, 3))).toBe("\x1b]1337;File=inline=1;size=3:AQID\x07");
  });

  it("comes out of show", async () => {
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text), isTTY: true, columns: 40 };
    const figure = plot.bar([1, 2]);
    await figure.show({ stream, protocol: "sixel" });
    await figure.show({ stream, protocol: "kitty" });
    await figure.show({ stream, protocol: "iterm" });
    await figure.show({ stream, protocol: "blocks" });
    await figure.show({ stream, protocol: "dots" });
    expect(written[0]!.startsWith("\x1bP")).toBe(true);
    expect(written[1]!.startsWith("\x1b_G")).toBe(true);
    expect(written[2]!.startsWith("\x1b]1337;File=")).toBe(true);
    expect(written[3]!.split("▀").length - 1).toBe(40 * Math.ceil(27 / 2));
    expect(written[4]).toMatch(/[\u2801-\u28ff]/);
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    await plot.display(1);
    expect(log).toHaveBeenCalledWith(1);
    log.mockRestore();
  });
});
