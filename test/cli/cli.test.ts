/**
 * The command as a user runs it: training, Ctrl-C, predicting, figures, exports, and errors in one line. Runs what was built
 * (dist).
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { load, type Tensor, tensor, zeros } from "cresset";
import { loadFile, loadMetadata, loadOnnx, saveFile } from "cresset/io";
import { readImage } from "cresset/vision";
import { beforeAll, describe, expect, it } from "vitest";
import { idxBytes, imageFile, put, putMnist, temporaryFolder } from "../vision/fixtures.js";

const main = join(dirname(createRequire(import.meta.url).resolve("cresset/package.json")), "dist/cli/main.js");

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

interface How {
  cwd?: string;
  env?: Record<string, string>;
  /** Called with what has been printed so far, whenever there is more. */
  watch?: (printed: string, kill: (signal: NodeJS.Signals) => void) => void;
}

function cresset(args: string[], { cwd = temporaryFolder(), env = {}, watch }: How = {}): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...process.env, CRESSET_DATA: "", NO_COLOR: "1", ...env },
  });
  const ended: Ended = { code: null, out: "", err: "" };
  const kill = (signal: NodeJS.Signals) => void child.kill(signal);
  const listen = (stream: "out" | "err") => (text: Buffer) => {
    ended[stream] += text.toString();
    watch?.(ended.out + ended.err, kill);
  };
  child.stdout.on("data", listen("out"));
  child.stderr.on("data", listen("err"));
  return new Promise((resolve) => child.on("close", (code) => resolve({ ...ended, code })));
}

/** Enough to train on for a moment: `length` images, each label on its own part of the image. */
function smallMnist(folder: string): string {
  const labels = Array.from({ length: 320 }, (_, i) => i % 10);
  const pixels = new Uint8Array(320 * 784);
  labels.forEach((label, i) => void pixels.fill(255, i * 784 + label * 78, i * 784 + label * 78 + 78));
  for (const half of ["train", "t10k"]) {
    put(join(folder, `${half}-images-idx3-ubyte`), idxBytes([320, 28, 28], pixels));
    put(join(folder, `${half}-labels-idx1-ubyte`), idxBytes([320], labels));
  }
  return folder;
}

const json = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

describe("cresset mnist", { timeout: 120_000 }, () => {
  it("trains, tests, draws, and leaves weights, history and summary", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const { code, out, err } = await cresset(
      ["mnist", "--data", data, "--epochs", "6", "--batch", "32", "--seed", "3"],
      { cwd },
    );
    expect(err).toMatch(/epoch 6\/6 {2}100 % {2}loss 0\.\d+ {2}[\d,.…]+ images\/s/);
    expect(out).toContain("MNIST, 320 images to train on");
    expect(out).toMatch(/accuracy +100\.00 %: 320 of 320 test images/);
    expect(out).toMatch(/label │ +0 +1/);
    expect(out).toContain("◂ label");
    expect(out).not.toContain("\x1b");
    expect(code).toBe(0);

    const [run] = readdirSync(join(cwd, "runs"));
    expect(run).toMatch(/^\d{8}-\d{6}-mnist$/);
    const folder = join(cwd, "runs", run as string);
    expect(readdirSync(folder).toSorted()).toEqual(["history.csv", "summary.json", "weights.safetensors"]);
    const history = readFileSync(join(folder, "history.csv"), "utf8").trim().split("\n");
    expect(history[0]).toBe("step,loss");
    expect(history.length).toBe(1 + 6 * 10);
    expect(json(join(folder, "summary.json"))).toMatchObject({
      dataset: "MNIST",
      model: "refined",
      steps: 60,
      accuracy: 1,
      seed: 3,
      batch: 32,
      interrupted: false,
    });
    expect(loadMetadata(join(folder, "weights.safetensors")).model).toBe("refined");
    expect(Object.keys(loadFile(join(folder, "weights.safetensors"))).length).toBe(6);
  });

  it("gives the same weights for the same seed, others for another", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    for (const [out, seed] of [
      ["a", "1"],
      ["b", "1"],
      ["c", "2"],
    ] as const) {
      expect(
        (
          await cresset(
            ["mnist", "--model", "seed", "--batch", "8", "--epochs", "1", "--data", data, "--seed", seed, "--out", out],
            { cwd },
          )
        ).code,
      ).toBe(0);
    }
    const weights = (run: string) => readFileSync(join(cwd, run, "weights.safetensors"));
    expect(weights("a")).toEqual(weights("b"));
    expect(weights("a")).not.toEqual(weights("c"));
  });

  it("on Ctrl-C finishes the step, saves, and exits with 130", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    let sent = false;
    const { code, out } = await cresset(
      ["mnist", "--data", data, "--epochs", "1000000", "--batch", "1", "--out", "run"],
      {
        cwd,
        watch: (printed, kill) => {
          if (sent || !/epoch \d+\/1000000/.test(printed)) return;
          sent = true;
          kill("SIGINT");
        },
      },
    );
    expect(code).toBe(130);
    expect(out).toMatch(/stopped +after [\d,]+ steps/);
    expect(readdirSync(join(cwd, "run")).toSorted()).toEqual(["history.csv", "summary.json", "weights.safetensors"]);
    const { steps, interrupted } = json(join(cwd, "run/summary.json"));
    expect(interrupted).toBe(true);
    expect(readFileSync(join(cwd, "run/history.csv"), "utf8").trim().split("\n").length).toBe(1 + (steps as number));
  });

  it("names the data it takes", async () => {
    const { code, out } = await cresset(["mnist", "--dataset", "digits", "--epochs", "1", "--batch", "500"]);
    expect(code).toBe(0);
    expect(out).toContain("SyntheticDigits, 20,000 images to train on");
  });
});

describe("cresset mnist predict", { timeout: 120_000 }, () => {
  let cwd: string;
  let weights: string;
  beforeAll(async () => {
    cwd = mkdtempSync(join(tmpdir(), "cresset-predict-"));
    smallMnist(join(cwd, "data"));
    await cresset(["mnist", "--data", "data", "--epochs", "6", "--out", "run"], { cwd });
    weights = join(cwd, "run/weights.safetensors");
    return () => rmSync(cwd, { recursive: true, force: true });
  });

  it("classifies test images, a line each, or drawn when named", async () => {
    const lines = await cresset(["mnist", "predict", "--weights", weights, "--data", "data"], { cwd });
    expect(lines.code).toBe(0);
    expect(lines.out.match(/^image \d+: (\d) \(0\.\d+\) {2}right$/gm)?.length).toBe(10);
    const drawn = await cresset(["mnist", "predict", "--weights", weights, "--data", "data", "--index", "3", "5"], {
      cwd,
    });
    expect(drawn.out).toMatch(/image 3: 3 /);
    expect(drawn.out).toMatch(/image 5: 5 /);
    expect(drawn.out).toContain("█");
  });

  it("classifies an IDX file, and says when an image is not there", async () => {
    put(join(cwd, "mine.idx"), imageFile(2));
    const mine = await cresset(["mnist", "predict", "--weights", weights, "--images", "mine.idx"], { cwd });
    expect(mine.out).toContain("mine.idx, 2 images");
    expect(mine.out).not.toContain("right");
    const beyond = await cresset(["mnist", "predict", "--weights", weights, "--images", "mine.idx", "--index", "2"], {
      cwd,
    });
    expect([beyond.code, beyond.err]).toEqual([1, "cresset: image 2 of 2; the last is 1\n"]);
  });

  it("says in one line what is wrong with a file", async () => {
    put(join(cwd, "bad.safetensors"), new Uint8Array(100));
    const bad = await cresset(["mnist", "predict", "--weights", "bad.safetensors"], { cwd });
    expect([bad.code, bad.err]).toEqual([1, expect.stringMatching(/^cresset: bad\.safetensors: .*\n$/)]);
    const traced = await cresset(["mnist", "predict", "--weights", "bad.safetensors"], {
      cwd,
      env: { CRESSET_DEBUG: "1" },
    });
    expect(traced.err).toMatch(/\n +at /);
    const absent = await cresset(["mnist", "predict", "--weights", "none.safetensors"], { cwd });
    expect([absent.code, absent.err]).toEqual([
      1,
      expect.stringMatching(/^cresset: cannot open none\.safetensors.*\n$/),
    ]);
  });
});

describe("cresset gan", { timeout: 120_000 }, () => {
  it("leaves a grid of images each epoch, and goes on exactly where Ctrl-C came", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const common = ["--data", data, "--batch", "4", "--epochs", "3", "--seed", "7"];
    const whole = await cresset(["gan", ...common, "--out", "whole"], { cwd });
    expect([whole.code, whole.out]).toEqual([0, expect.stringContaining("MNIST, 320 images")]);
    expect(whole.err).toMatch(/epoch 3 100 % {2}80\/80 .* discriminator [\d.e-]+ {2}generator [\d.e-]+/);
    const files = [
      "epoch-0.png",
      "epoch-1.png",
      "epoch-2.png",
      "epoch-3.png",
      "history.csv",
      "last.pt",
      "summary.json",
    ];
    expect(readdirSync(join(cwd, "whole")).toSorted()).toEqual(files);
    const grid = await readImage(join(cwd, "whole/epoch-3.png"));
    expect(grid.shape).toEqual([3, 6 * 30 + 2, 6 * 30 + 2]);
    expect(grid.float().std().item()).toBeGreaterThan(10);

    let sent = false;
    const first = await cresset(["gan", ...common, "--epochs", "1000", "--out", "parts", "--json"], {
      cwd,
      watch: (printed, kill) => {
        if (sent || !printed.includes("epoch 1 ")) return;
        sent = true;
        kill("SIGINT");
      },
    });
    expect([first.code, first.err]).toEqual([
      130,
      expect.stringMatching(/stopped +after [\d,]+ steps; cresset gan --resume parts goes on/),
    ]);
    expect(JSON.parse(first.out)).toMatchObject({ interrupted: true, folder: "parts", batch: 4 });
    const { steps } = json(join(cwd, "parts/summary.json"));
    const again = await cresset(["gan", "--resume", "parts", "--epochs", "3"], {
      cwd,
      env: { CRESSET_DATA: "/nowhere" },
    });
    expect(again.code).toBe(0);
    const history = (folder: string) =>
      readFileSync(join(cwd, folder, "history.csv"), "utf8")
        .split("\n")
        .slice(0, 1 + 3 * 80);
    expect(steps).toBeGreaterThan(0);
    expect(history("parts")[0]).toBe("step,loss,discriminator,generator");
    expect(history("parts")).toEqual(history("whole"));
  });

  it("says what is wrong with a run to go on with", async () => {
    const cwd = temporaryFolder();
    const absent = await cresset(["gan", "--resume", "nowhere"], { cwd });
    expect([absent.code, absent.err]).toEqual([
      1,
      expect.stringMatching(/^cresset: nowhere\/summary\.json: no summary of a run: .*\n$/),
    ]);
    put(join(cwd, "other/summary.json"), Buffer.from('{"batch":1}'));
    const other = await cresset(["gan", "--resume", "other"], { cwd });
    expect([other.code, other.err]).toEqual([1, "cresset: other/summary.json: this is no run of cresset gan\n"]);
  });
});

describe("what a run leaves", { timeout: 120_000 }, () => {
  let cwd: string;
  beforeAll(async () => {
    cwd = mkdtempSync(join(tmpdir(), "cresset-run-"));
    smallMnist(join(cwd, "data"));
    const { out, err, code } = await cresset(
      ["mnist", "--data", "data", "--epochs", "2", "--out", "run", "--figures", "--json"],
      { cwd },
    );
    expect([code, err]).toEqual([0, expect.stringContaining("figures   run/loss.png, run/answer.png")]);
    expect(JSON.parse(out)).toMatchObject({ folder: "run", steps: 20, testImages: 320 });
    return () => rmSync(cwd, { recursive: true, force: true });
  });

  it("is drawn", async () => {
    for (const name of ["loss.png", "answer.png"]) expect((await readImage(join(cwd, "run", name))).shape[0]).toBe(3);
    const drawn = await cresset(["plot", "run/history.csv", "--out", "curve.svg"], { cwd });
    expect([drawn.code, drawn.out]).toEqual([0, "curve.svg\n"]);
    expect(readFileSync(join(cwd, "curve.svg"), "utf8")).toMatch(/^<svg.*step.*loss/s);
    put(join(cwd, "two.csv"), Buffer.from("step,a,b\n1,0.5,2\n2,nan,1\n"));
    expect((await cresset(["plot", "two.csv", "--log", "--out", "two.html"], { cwd })).code).toBe(0);
    expect((await cresset(["plot", "two.csv"], { cwd })).code).toBe(0);
  });

  it.each([
    [["plot", "run/history.csv", "--column", "los"], "run/history.csv: there is no column los; it has loss"],
    [
      ["plot", "run/summary.json"],
      "run/summary.json: no history; its first line names columns, the others hold numbers",
    ],
    [["plot", "ragged.csv"], "ragged.csv: line 3 has 1 numbers; there are 2 columns"],
    [["plot", "words.csv"], 'words.csv: line 2: "<svg>" is not a number'],
    [["plot", "run/history.csv", "--open"], "plot: --open opens a file; say which with --out"],
    [
      ["export", "run/weights.safetensors", "--out", "weights.h5"],
      "export: weights.h5 ends in none of .safetensors, .pt, .npz, .onnx",
    ],
    [["export", "run/summary.json", "--out", "a.pt"], "run/summary.json: none of the formats that are read"],
    [
      ["export", "other.safetensors", "--out", "a.onnx"],
      "other.safetensors: a file of weights does not say what computes with them",
    ],
  ])("%j is refused with 1", async (args, message) => {
    put(join(cwd, "ragged.csv"), Buffer.from("step,loss\n1,2\n3\n"));
    put(join(cwd, "words.csv"), Buffer.from("step,loss\n1,<svg>\n"));
    saveFile({ w: tensor([1]) }, join(cwd, "other.safetensors"));
    const { code, err } = await cresset(args, { cwd });
    expect([code, err]).toEqual([1, expect.stringContaining(`cresset: ${message}`)]);
  });

  it("is exported to each format, with the same numbers", async () => {
    const weights = loadFile(join(cwd, "run/weights.safetensors"));
    for (const ending of ["pt", "npz", "safetensors"]) {
      const { code, out } = await cresset(["export", "run/weights.safetensors", "--out", `w.${ending}`], { cwd });
      expect([code, out]).toEqual([0, expect.stringMatching(/: 6 tensors, [\d.]+ kB\n$/)]);
      const back = await load<Record<string, Tensor>>(join(cwd, `w.${ending}`));
      expect(Object.keys(back).toSorted()).toEqual(Object.keys(weights).toSorted());
      for (const [name, value] of Object.entries(back)) expect(value.equal(weights[name]!)).toBe(true);
    }
    const named = await cresset(["export", "run/weights.safetensors", "--out", "w.pt", "--json"], { cwd });
    expect(JSON.parse(named.out)).toMatchObject({ tensors: { "0.weight": [200, 784] } });
    expect((await cresset(["export", "run/weights.safetensors", "--out", "w.onnx"], { cwd })).code).toBe(0);
    const network = await loadOnnx(join(cwd, "w.onnx"));
    const answer = network.forward(zeros([1, 784])) as Tensor;
    expect(answer.shape).toEqual([1, 10]);
  });

  it("answers as JSON", async () => {
    const { out } = await cresset(
      ["mnist", "predict", "--weights", "run/weights.safetensors", "--data", "data", "--index", "3", "--json"],
      { cwd },
    );
    expect(JSON.parse(out)).toEqual([expect.objectContaining({ image: 3, label: 3, outputs: expect.any(Array) })]);
  });
});

describe("this machine", { timeout: 120_000 }, () => {
  it("is described", async () => {
    const text = await cresset(["info"]);
    expect(text.code).toBe(0);
    expect(text.out).toMatch(/^engine +(native|wasm), \d+ threads?$/m);
    expect(text.out).toMatch(/^ {2}wasm +128-bit SIMD/m);
    const facts = JSON.parse((await cresset(["info", "--json"], { env: { CRESSET_CPU: "wasm" } })).out);
    expect(facts).toMatchObject({ engine: "wasm", devices: ["cpu"], engines: { wasm: { works: true } } });
    const without = await cresset(["info"], { env: { PATH: "", CC: "" } });
    expect(without.out).toMatch(/^ {2}native +not here: /m);
  });

  it("is measured", async () => {
    const { code, out } = await cresset(["bench", "--seconds", "0.001", "--json"]);
    expect(code).toBe(0);
    const engines = JSON.parse(out) as { engine: string; results: { name: string; unit: string; value: number }[] }[];
    expect(engines.map(({ engine }) => engine)).toContain("wasm");
    for (const { results } of engines) {
      expect(results.length).toBe(8);
      for (const { value } of results) expect(value).toBeGreaterThan(0);
    }
    expect((await cresset(["bench", "--seconds", "0.001"])).out).toMatch(/^step of the seed, compiled +[\d.,]+ .*µs$/m);
  });
});

describe("usage", { timeout: 30_000 }, () => {
  it.each([
    [["mnist", "--epochs", "0"], /--epochs <n>' argument '0' is invalid/],
    [["mnist", "--lr", "fast"], /must be a number above 0/],
    [["mnist", "--model", "best"], /Allowed choices are refined, seed\.$/m],
    [["mnist", "--model", "refind"], /\(Did you mean refined\?\)/],
    [["mnist", "--dataset", "fash"], /\(Did you mean fashion\?\)/],
    [["mnist", "--epoch", "1"], /\(Did you mean --epochs\?\)/],
    [["mnist", "--batch", ""], /must be a whole number, 1 or more/],
    [["mnst"], /\(Did you mean mnist\?\)/],
    [["export", "w.pt"], /required option '--out <file>' not specified/],
    [["plot"], /missing required argument 'file'/],
    [["completion", "tcsh"], /Allowed choices are zsh, bash, fish, powershell/],
    [["mnist", "--nonsense"], /unknown option '--nonsense'/],
    [["mnist", "predict"], /required option '--weights <file>' not specified/],
    [["nonsense"], /unknown command/],
  ])("%j is refused with 2", async (args, message) => {
    const { code, err } = await cresset(args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it("helps, with examples, and at once", async () => {
    const help = await cresset(["mnist", "--help"]);
    expect(help.code).toBe(0);
    for (const option of [
      "--model",
      "--epochs",
      "--batch",
      "--lr",
      "--seed",
      "--data",
      "--out",
      "--device",
      "Examples:",
    ])
      expect(help.out).toContain(option);
  });

  it("completes commands, options and values in each shell", async () => {
    for (const shell of ["zsh", "bash", "fish", "powershell"]) {
      const { code, out } = await cresset(["completion", shell]);
      expect([code, out]).toEqual([0, expect.stringContaining("cresset")]);
    }
    const completed = async (...words: string[]) =>
      (await cresset(["complete", "--", ...words])).out.split("\n").map((line) => line.split("\t")[0]);
    expect(await completed("")).toEqual(
      expect.arrayContaining(["mnist", "gan", "info", "bench", "export", "plot", "completion"]),
    );
    expect(await completed("mnist", "--e")).toContain("--epochs");
    expect(await completed("mnist", "--dataset", "")).toEqual(expect.arrayContaining(["mnist", "fashion", "digits"]));
  });

  it("documents its exit codes", async () => {
    expect((await cresset(["--help"])).out).toMatch(/Exit codes:\n +0 +done\n +1 .* 2 .* 130 /s);
  });

  it("a folder that cannot be written is known before the work", async () => {
    const cwd = temporaryFolder();
    put(join(cwd, "file"), new Uint8Array(1));
    const { code, out, err } = await cresset(["mnist", "--dataset", "digits", "--out", "file/run"], { cwd });
    expect([code, err]).toEqual([1, expect.stringMatching(/^cresset: cannot write file\/run\/summary\.json: .*\n$/)]);
    expect(out).not.toContain("trained");
  });

  it("an unknown device and a folder without data are errors", async () => {
    const device = await cresset(["mnist", "--dataset", "digits", "--device", "abacus"]);
    expect([device.code, device.err]).toEqual([1, expect.stringMatching(/^cresset: .*abacus.*\n$/)]);
    const folder = temporaryFolder();
    putMnist(folder, "t10k", [1]);
    put(join(folder, "train-images-idx3-ubyte"), new Uint8Array(3));
    put(join(folder, "train-labels-idx1-ubyte"), new Uint8Array(3));
    const damaged = await cresset(["mnist", "--data", folder]);
    expect([damaged.code, damaged.err]).toEqual([
      1,
      expect.stringMatching(/^cresset: .*3 bytes; an IDX file has at least 4\n$/),
    ]);
  });
});
