/**
 * What is done with a run: predicting, figures, exports. Runs what was built (dist).
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load, type Tensor, tensor, zeros } from "cresset";
import { loadFile, loadOnnx, saveFile } from "cresset/io";
import { readImage } from "cresset/vision";
import { beforeAll, describe, expect, it } from "vitest";
import { imageFile, put } from "../vision/fixtures.js";
import { cresset, smallMnist } from "./command.js";

let cwd: string;
const weights = "run/weights.safetensors";
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "cresset-run-"));
  smallMnist(join(cwd, "data"));
  put(join(cwd, "ragged.csv"), Buffer.from("step,loss\n1,2\n3\n"));
  put(join(cwd, "words.csv"), Buffer.from("step,loss\n1,<svg>\n"));
  saveFile({ w: tensor([1]) }, join(cwd, "other.safetensors"));
  const { out, err, code } = await cresset(
    ["mnist", "--data", "data", "--epochs", "6", "--out", "run", "--figures", "--json"],
    { cwd },
  );
  expect([code, err]).toEqual([0, expect.stringContaining("figures   run/loss.png, run/answer.png")]);
  expect(JSON.parse(out)).toMatchObject({ folder: "run", steps: 60, testImages: 320 });
  return () => rmSync(cwd, { recursive: true, force: true });
});

describe("cresset mnist predict", { timeout: 120_000 }, () => {
  it("classifies test images, a line each, or drawn when named", async () => {
    const predict = ["mnist", "predict", "--weights", weights, "--data", "data"];
    const [lines, drawn] = await Promise.all([
      cresset(predict, { cwd }),
      cresset([...predict, "--index", "3", "5"], { cwd }),
    ]);
    expect(lines.code).toBe(0);
    expect(lines.out.match(/^image \d+: (\d) \(0\.\d+\) {2}right$/gm)?.length).toBe(10);
    expect(drawn.out).toMatch(/image 3: 3 /);
    expect(drawn.out).toMatch(/image 5: 5 /);
    expect(drawn.out).toContain("█");
  });

  it("takes a checkpoint too, in any format of weights", async () => {
    const [expected, last, exported] = await Promise.all([
      cresset(["mnist", "predict", "--weights", weights, "--data", "data"], { cwd }),
      cresset(["mnist", "predict", "--weights", "run/last.pt", "--data", "data"], { cwd }),
      cresset(["export", "run/last.pt", "--out", "w.onnx"], { cwd }),
    ]);
    expect([last.code, last.out]).toEqual([0, expected.out]);
    expect(exported.code).toBe(0);
    expect(existsSync(join(cwd, "w.onnx"))).toBe(true);
  });

  it("classifies an IDX file, and says when an image is not there", async () => {
    put(join(cwd, "mine.idx"), imageFile(2));
    const predict = ["mnist", "predict", "--weights", weights, "--images", "mine.idx"];
    const [mine, beyond] = await Promise.all([
      cresset(predict, { cwd }),
      cresset([...predict, "--index", "2"], { cwd }),
    ]);
    expect(mine.out).toContain("mine.idx, 2 images");
    expect(mine.out).not.toContain("right");
    expect([beyond.code, beyond.err]).toEqual([1, "cresset: image 2 of 2; the last is 1\n"]);
  });

  it("says in one line what is wrong with a file", async () => {
    put(join(cwd, "bad.safetensors"), new Uint8Array(100));
    const predict = (file: string, env = {}) => cresset(["mnist", "predict", "--weights", file], { cwd, env });
    const [bad, traced, absent] = await Promise.all([
      predict("bad.safetensors"),
      predict("bad.safetensors", { CRESSET_DEBUG: "1" }),
      predict("none.safetensors"),
    ]);
    expect([bad.code, bad.err]).toEqual([1, expect.stringMatching(/^cresset: bad\.safetensors: .*\n$/)]);
    expect(traced.err).toMatch(/\n +at /);
    expect([absent.code, absent.err]).toEqual([
      1,
      expect.stringMatching(/^cresset: cannot open none\.safetensors.*\n$/),
    ]);
  });
});

describe("what a run leaves", { timeout: 120_000 }, () => {
  it("is drawn", async () => {
    for (const name of ["loss.png", "answer.png"]) expect((await readImage(join(cwd, "run", name))).shape[0]).toBe(3);
    put(join(cwd, "two.csv"), Buffer.from("step,a,b\n1,0.5,2\n2,nan,1\n"));
    const [drawn, logarithmic, onTerminal] = await Promise.all([
      cresset(["plot", "run/history.csv", "--out", "curve.svg"], { cwd }),
      cresset(["plot", "two.csv", "--log", "--out", "two.html"], { cwd }),
      cresset(["plot", "two.csv"], { cwd }),
    ]);
    expect([drawn.code, drawn.out]).toEqual([0, "curve.svg\n"]);
    expect(readFileSync(join(cwd, "curve.svg"), "utf8")).toMatch(/^<svg.*step.*loss/s);
    expect([logarithmic.code, onTerminal.code]).toEqual([0, 0]);
  });

  it.concurrent.each<[string[], string]>([
    [["plot", "run/history.csv", "--column", "los"], "run/history.csv: there is no column los; it has loss"],
    [
      ["plot", "run/summary.json"],
      "run/summary.json: no history; its first line names columns, the others hold numbers",
    ],
    [["plot", "ragged.csv"], "ragged.csv: line 3 has 1 numbers; there are 2 columns"],
    [["plot", "words.csv"], 'words.csv: line 2: "<svg>" is not a number'],
    [["plot", "run/history.csv", "--open"], "plot: --open opens a file; say which with --out"],
    [["export", weights, "--out", "weights.h5"], "export: weights.h5 ends in none of .safetensors, .pt, .npz, .onnx"],
    [["export", "run/summary.json", "--out", "a.pt"], "run/summary.json: none of the formats that are read"],
    [
      ["export", "other.safetensors", "--out", "a.onnx"],
      "other.safetensors: a file of weights does not say what computes with them",
    ],
  ])("%j is refused with 1", async (args, message) => {
    const { code, err } = await cresset(args, { cwd });
    expect([code, err]).toEqual([1, expect.stringContaining(`cresset: ${message}`)]);
  });

  it("is exported to each format, with the same numbers", async () => {
    const tensors = loadFile(join(cwd, weights));
    const exported = (out: string, ...words: string[]) => cresset(["export", weights, "--out", out, ...words], { cwd });
    await Promise.all(
      ["w.pt", "w.npz", "w.safetensors"].map(async (file) => {
        const { code, out } = await exported(file);
        expect([code, out]).toEqual([0, expect.stringMatching(/: 6 tensors, [\d.]+ kB\n$/)]);
        const back = await load<Record<string, Tensor>>(join(cwd, file));
        expect(Object.keys(back).toSorted()).toEqual(Object.keys(tensors).toSorted());
        for (const [name, value] of Object.entries(back)) expect(value.equal(tensors[name]!)).toBe(true);
      }),
    );
    const [named, onnx] = await Promise.all([exported("named.pt", "--json"), exported("w.onnx")]);
    expect(JSON.parse(named.out)).toMatchObject({ tensors: { "0.weight": [200, 784] } });
    expect(onnx.code).toBe(0);
    const network = await loadOnnx(join(cwd, "w.onnx"));
    const answer = network.forward(zeros([1, 784])) as Tensor;
    expect(answer.shape).toEqual([1, 10]);
  });

  it("answers as JSON", async () => {
    const { out } = await cresset(
      ["mnist", "predict", "--weights", weights, "--data", "data", "--index", "3", "--json"],
      { cwd },
    );
    expect(JSON.parse(out)).toEqual([expect.objectContaining({ image: 3, label: 3, outputs: expect.any(Array) })]);
  });
});
