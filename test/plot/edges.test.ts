/** Figures of odd data: logarithms of nothing, one value, very large and small numbers, very many names; grounds and glyphs. */
import * as torch from "cresset";
import * as plot from "cresset/plot";
import { decode } from "fast-png";
import { describe, expect, it, vi } from "vitest";

const textsOf = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text]) => text!);
/** The paths of marks with as many parts as `letters`: "ML" is a line of two points. */
const marks = (svg: string, role: string): string[] =>
  [...svg.matchAll(new RegExp(`<g class="mark-${role}[^>]*>(.*?)</g>`, "gs"))].flatMap(([, body]) =>
    [...body!.matchAll(/ d="([^"]+)"/g)].map(([, d]) => d!),
  );

describe("logarithmic axes", () => {
  it("leave a gap for what has no logarithm", async () => {
    const svg = await plot.line([0, 1, 10, -5, 100, 1000], { yscale: "log" }).svg();
    const [path] = marks(svg, "line");
    expect(path!.replace(/[^ML]/g, "")).toBe("MLML");
    expect(textsOf(svg)).toEqual(expect.arrayContaining(["1", "10", "100", "1,000"]));
    expect(textsOf(await plot.line([-1, -2], { yscale: "log" }).svg())).toContain("10");
    expect(marks(await plot.scatter([0, 1, 10], [1, 1, 2], { xscale: "log" }).svg(), "symbol")).toHaveLength(2);
  });

  it("have bars that stand on the frame", async () => {
    const heights = (svg: string) => marks(svg, "rect").map((d) => Number(/v(-?[\d.]+)/.exec(d)?.[1]));
    const [one, ten, thousand] = heights(await plot.bar([1, 10, 1000], { yscale: "log", ylim: [0.1, 1000] }).svg());
    expect(ten! / one!).toBeCloseTo(2, 1);
    expect(thousand! / one!).toBeCloseTo(4, 1);
    const counts = await plot.hist([1, 1, 1, 2], { bins: 2, yscale: "log" }).svg();
    expect(heights(counts).every((height) => height > 10)).toBe(true);
  });
});

it("values that are all the same lie in the middle of a readable axis", async () => {
  for (const figure of [plot.line([2, 2, 2]), plot.scatter([1], [2]), plot.line([2], { marker: "o" })]) {
    const texts = textsOf(await figure.svg());
    expect(texts).toContain("2.00");
    expect(texts.some((text) => /\.\d{4}/.test(text))).toBe(false);
  }
  expect(textsOf(await plot.bar([0, 0]).svg())).toContain("1.0");
});

it("very large and small numbers have exponents, unless only their last digits differ", async () => {
  expect(textsOf(await plot.line([1e-9, 3e-9]).svg())).toContain("2e-9");
  expect(textsOf(await plot.line([1e9, 2e9]).svg())).toContain("1.2e+9");
  expect(textsOf(await plot.line([1e9, 1e9 + 2]).svg())).toContain("1,000,000,001.0");
  expect(textsOf(await plot.line([1, 1000]).svg())).toContain("1,000");
});

it("names and titles that are too many or too long leave room for the picture", async () => {
  const bars = textsOf(await plot.bar(Array.from({ length: 200 }, (_, i) => i)).svg());
  expect(bars.length).toBeLessThan(60);
  const started = performance.now();
  const labels = Array.from({ length: 5000 }, (_, i) => i % 1000);
  const svg = await plot.confusionMatrix(labels, labels).svg();
  expect(marks(svg, "rect").length).toBeLessThan(1100);
  expect(performance.now() - started).toBeLessThan(20_000);
  const title = "A title of many words ".repeat(20);
  expect(textsOf(await plot.line([1, 2], { title }).svg()).some((text) => /^A title .*…$/.test(text))).toBe(true);
  const curves = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`curve ${i}`, [i, 2 * i]]));
  const frame = (drawing: string) =>
    Number(/<path class="background"[^>]* d="M[\d.]+,[\d.]+h([\d.]+)/.exec(drawing)![1]);
  expect(frame(await plot.line(curves).svg())).toBeLessThan(
    frame(await plot.line(curves, { legend: false }).svg()) - 60,
  );
}, 60_000);

it("a transparent figure has no ground, in every kind and both themes", async () => {
  const a = torch.tensor(2, { requiresGrad: true });
  const line = plot.line([1, 2], { title: "x" });
  const figures = [
    line,
    plot.hist([1, 2, 2]),
    plot.confusionMatrix([0, 1], [0, 1]),
    plot.graph(a.mul(a)),
    plot.grid([line, line], { title: "two" }),
    plot.imshow(torch.rand([3, 3])),
  ];
  for (const figure of figures)
    for (const theme of ["light", "dark"] as const) {
      const clear = decode(await figure.png({ theme, transparent: true, scale: 1 }));
      expect([clear.channels, clear.data[3]]).toEqual([4, 0]);
      const solid = decode(await figure.png({ theme, scale: 1 }));
      expect(solid.data[3]).toBeGreaterThan(200); // a figure's edge may end within a pixel
    }
  const [light, dark] = [await line.svg({ transparent: true }), await line.svg({ transparent: true, theme: "dark" })];
  expect(light).toContain("#1f2328");
  expect(dark).toContain("#e6edf3");
  expect(`${light}${dark}`).not.toMatch(/fill="#(ffffff|0d1117)"/);
}, 60_000);

it("says which characters a PNG has boxes for, once", async () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  try {
    const figure = plot.line([1, 2], { title: "abc \u{F0123} → é" });
    await figure.svg();
    expect(warn).not.toHaveBeenCalled();
    await figure.png();
    await figure.png();
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0]![0]).toContain("no font of this system has");
    expect(warn.mock.calls[0]![0]).toContain("\u{F0123}");
  } finally {
    warn.mockRestore();
  }
});
