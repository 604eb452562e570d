/**
 * The command as a user runs it: training, Ctrl-C, predicting, figures, exports, and errors in one line. Runs what was built
 * (dist).
 */
import { exec, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isTensor, load, type Tensor, tensor, zeros } from "cresset";
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
    // npm's variables say how the tests were started, not how the command is.
    env: { ...process.env, npm_command: "", CRESSET_DATA: "", NO_COLOR: "1", ...env },
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

/** Sends a signal when something is printed, once, or so many milliseconds later. */
function onPrinted(text: RegExp, signal: NodeJS.Signals, delay = 0): How["watch"] {
  let sent = false;
  return (printed, kill) => {
    if (sent || !text.test(printed)) return;
    sent = true;
    if (delay === 0) kill(signal);
    else setTimeout(kill, delay, signal);
  };
}

// Bytes are compared by their digests: a matcher takes seconds for megabytes.
const digest = (bytes: NodeJS.ArrayBufferView): string => createHash("sha256").update(bytes).digest("hex");
const fileDigest = (...path: string[]): string => digest(readFileSync(join(...path)));

/** The files of a folder and what is in them. */
const contents = (folder: string) => readdirSync(folder).map((name) => [name, fileDigest(folder, name)]);

/** Every number of a checkpoint's model and optimiser. */
async function learnt(folder: string): Promise<unknown> {
  const { model, optimiser } = await load<{ model: object; optimiser: object }>(join(folder, "last.pt"));
  const plain = (value: unknown): unknown => {
    if (isTensor(value)) return [value.dtype, value.shape, digest(value.toTypedArray())];
    if (typeof value !== "object" || value === null) return value;
    return (Array.isArray(value) ? value : value instanceof Map ? [...value] : Object.entries(value)).map(plain);
  };
  return plain([model, optimiser]);
}

const json = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

/** What a run of `cresset mnist` leaves. */
const runFiles = ["history.csv", "last.pt", "summary.json", "weights.safetensors"];

describe("cresset mnist", { timeout: 120_000 }, () => {
  it("trains, tests, draws, and leaves weights, history and summary", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const { code, out, err } = await cresset(
      ["mnist", "--data", data, "--epochs", "6", "--batch", "32", "--seed", "3"],
      { cwd },
    );
    expect(err).toMatch(/epoch 6\/6 100 % {2}10\/10 {2}[\d,.]+ steps\/s {2}0:00 left {2}loss 0\.\d+/);
    expect(out).toContain("MNIST, 320 images to train on");
    expect(out).toMatch(/accuracy +100\.00 %: 320 of 320 test images/);
    expect(out).toMatch(/label │ +0 +1/);
    expect(out).toContain("◂ label");
    expect(out).not.toContain("\x1b");
    expect(code).toBe(0);

    const [run] = readdirSync(join(cwd, "runs"));
    expect(run).toMatch(/^\d{8}-\d{6}-mnist$/);
    const folder = join(cwd, "runs", run as string);
    expect(readdirSync(folder).toSorted()).toEqual(runFiles);
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
    const weights = async (out: string, seed: string): Promise<string> => {
      const options = [
        "--model",
        "seed",
        "--batch",
        "8",
        "--epochs",
        "1",
        "--data",
        data,
        "--seed",
        seed,
        "--out",
        out,
      ];
      expect((await cresset(["mnist", ...options], { cwd })).code).toBe(0);
      return fileDigest(cwd, out, "weights.safetensors");
    };
    const [a, b, c] = await Promise.all([weights("a", "1"), weights("b", "1"), weights("c", "2")]);
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });

  it("goes on at the very step where Ctrl-C or SIGTERM came, with the line that it says, to the same weights", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const common = ["--data", data, "--batch", "1", "--seed", "5"];
    const first = await cresset(["mnist", ...common, "--epochs", "1000000", "--out", "it's a run"], {
      cwd,
      watch: onPrinted(/epoch 1\/1000000/, "SIGINT"),
    });
    expect(first.code).toBe(130);
    const run = join(cwd, "it's a run");
    expect(readdirSync(run).toSorted()).toEqual(runFiles);
    const { steps, interrupted } = json(join(run, "summary.json"));
    expect(interrupted).toBe(true);
    expect(first.out).toContain(`after ${(steps as number).toLocaleString("en")} steps, all saved in it's a run;`);
    expect(readFileSync(join(run, "history.csv"), "utf8").trim().split("\n").length).toBe(1 + (steps as number));

    const second = await cresset(["mnist", "--resume", "it's a run", "--json"], {
      cwd,
      watch: onPrinted(/epoch \d+\/1000000/, "SIGTERM"),
    });
    expect([second.code, JSON.parse(second.out)]).toEqual([
      143,
      expect.objectContaining({ interrupted: true, seed: 5 }),
    ]);
    const epochs = String(Math.floor(JSON.parse(second.out).steps / 320) + 2);
    const line = /to go on: (.*)$/m.exec(second.err)?.[1] as string;
    const [third, uninterrupted] = await Promise.all([
      promisify(exec)(`${line} --epochs ${epochs}`, {
        cwd,
        env: { ...process.env, NO_COLOR: "1", npm_command: "" },
      }),
      cresset(["mnist", ...common, "--epochs", epochs, "--out", "whole"], { cwd }),
    ]);
    expect(third.stdout).toContain(`resumed   it's a run, after`);
    expect(uninterrupted.code).toBe(0);
    for (const file of ["weights.safetensors", "history.csv"])
      expect(fileDigest(run, file)).toBe(fileDigest(cwd, "whole", file));
    expect(await learnt(run)).toEqual(await learnt(join(cwd, "whole")));
    const [parts, whole] = [run, join(cwd, "whole")].map((folder) => json(join(folder, "summary.json")));
    expect(parts?.["history"]).toEqual(whole?.["history"]);
    expect(parts?.["accuracy"]).toBe(whole?.["accuracy"]);
  });

  it("goes on from the last whole epoch when it was killed", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const common = ["--model", "seed", "--data", data];
    const killed = await cresset(["mnist", ...common, "--epochs", "1000000", "--out", "parts"], {
      cwd,
      watch: onPrinted(/epoch 3\/1000000/, "SIGKILL"),
    });
    expect(killed.code).toBe(null);
    expect(readdirSync(join(cwd, "parts")).filter((name) => !name.startsWith("."))).toEqual(runFiles);
    const { epoch, batch } = await load<{ epoch: number; batch: number }>(join(cwd, "parts/last.pt"));
    expect([epoch >= 2, batch]).toEqual([true, 0]);
    const epochs = String(epoch + 1);
    const [again] = await Promise.all([
      cresset(["mnist", "--resume", "parts", "--epochs", epochs], { cwd }),
      cresset(["mnist", ...common, "--epochs", epochs, "--out", "whole"], { cwd }),
    ]);
    expect(again.code).toBe(0);
    for (const file of ["weights.safetensors", "history.csv"])
      expect(fileDigest(cwd, "parts", file)).toBe(fileDigest(cwd, "whole", file));
  });

  it("goes on with its own run only, and says what is wrong", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const other = join(cwd, "other");
    cpSync(data, other, { recursive: true });
    const images = readFileSync(join(other, "train-images-idx3-ubyte"));
    images[16 + 784] = 9;
    put(join(other, "train-images-idx3-ubyte"), images);
    expect((await cresset(["mnist", "--data", data, "--epochs", "2", "--out", "run"], { cwd })).code).toBe(0);
    const before = contents(join(cwd, "run"));
    put(join(cwd, "empty/note"), new Uint8Array(1));
    put(join(cwd, "foreign/last.pt"), new Uint8Array(1));
    put(join(cwd, "foreign/summary.json"), Buffer.from('{"command":"mnist","batch":1}'));
    cpSync(join(cwd, "run"), join(cwd, "broken"), { recursive: true });
    put(join(cwd, "broken/last.pt"), readFileSync(join(cwd, "run/last.pt")).subarray(0, 5000));
    const refused: [string[], string, code?: number][] = [
      [["--resume", "nowhere"], "cresset: nowhere: there is no such folder"],
      [
        ["--resume", "empty"],
        "cresset: empty: there is no run of cresset mnist to go on with: summary.json is missing",
      ],
      [["--resume", "foreign"], "cresset: foreign/summary.json: this is no run of cresset mnist"],
      [["--resume", "broken", "--epochs", "3"], "cresset: broken/last.pt: "],
      [["--resume", "run"], "cresset: run: this run has 2 epochs, and 2 are asked for; to go on: node "],
      [
        ["--resume", "run", "--epochs", "1"],
        "cresset: run: this run has 2 epochs, and 1 are asked for; to go on: node ",
      ],
      [
        ["--resume", "run", "--lr", "0.5"],
        "cresset: --lr 0.5: the run in run was begun with 0.001, and goes on with it",
      ],
      [["--resume", "run", "--model", "seed"], "cresset: --model seed: the run in run was begun with refined"],
      [["--resume", "run", "--dataset", "digits"], "cresset: --dataset digits: the run in run was begun with mnist"],
      [
        ["--resume", "run", "--data", "other", "--epochs", "3"],
        "cresset: other: these are not the images that the run",
      ],
      [
        ["--resume", "run", "--out", "new"],
        "error: option '--resume <dir>' cannot be used with option '--out <dir>'",
        2,
      ],
    ];
    await Promise.all(
      refused.map(async ([args, message, code = 1]) => {
        const ended = await cresset(["mnist", ...args], { cwd });
        expect([args, ended.code, ended.err]).toEqual([args, code, expect.stringContaining(message)]);
      }),
    );
    const startedBy: [Record<string, string>, RegExp][] = [
      [{}, /node \S+ mnist --resume run/],
      [{ npm_command: "run", npm_lifecycle_event: "mnist" }, /npm run mnist -- --resume run/],
      [{ npm_command: "run-script", npm_lifecycle_event: "mnist" }, /npm run mnist -- --resume run/],
      [{ npm_command: "exec", npm_lifecycle_event: "npx" }, /npx cresset mnist --resume run/],
    ];
    await Promise.all(
      startedBy.map(async ([env, line]) => {
        const gan = await cresset(["gan", "--resume", "run"], { cwd, env });
        const message = `^cresset: run: this is a run of cresset mnist; to go on: ${line.source}\n$`;
        expect(gan.err).toMatch(new RegExp(message));
      }),
    );
    expect(contents(join(cwd, "run"))).toEqual(before);
    const moved = await cresset(["mnist", "--resume", "run", "--data", "data", "--lr", "0.001", "--epochs", "3"], {
      cwd,
    });
    expect([moved.code, moved.out]).toEqual([0, expect.stringContaining("resumed   run, after 20 steps")]);
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
    const common = ["--data", data, "--batch", "4", "--seed", "7"];
    // A little later, so that it comes within the second epoch.
    const first = await cresset(["gan", ...common, "--epochs", "1000", "--out", "parts", "--json"], {
      cwd,
      watch: onPrinted(/epoch 1\//, "SIGINT", 100),
    });
    expect([first.code, first.err]).toEqual([
      130,
      expect.stringMatching(/stopped +after [\d,]+ steps, .*; to go on: node \S+ gan --resume parts$/m),
    ]);
    expect(JSON.parse(first.out)).toMatchObject({ interrupted: true, folder: "parts", batch: 4 });
    const epochs = Math.floor(JSON.parse(first.out).steps / 80) + 1;
    const [again, whole] = await Promise.all([
      // The images are found where they were, and 1000 epochs were asked for.
      cresset(["gan", "--resume", "parts", "--epochs", String(epochs)], { cwd, env: { CRESSET_DATA: "/nowhere" } }),
      cresset(["gan", ...common, "--epochs", String(epochs), "--out", "whole"], { cwd }),
    ]);
    expect([again.code, again.err]).toEqual([0, expect.stringContaining(`epoch ${epochs}/${epochs} 100 %`)]);
    expect([whole.code, whole.out]).toEqual([0, expect.stringContaining("MNIST, 320 images")]);
    const figures = "80/80 .* discriminator [\\d.e-]+ {2}generator [\\d.e-]+";
    expect(whole.err).toMatch(new RegExp(`epoch ${epochs}/${epochs} 100 % {2}${figures}`));

    const grids = Array.from({ length: epochs + 1 }, (_, epoch) => `epoch-${epoch}.png`);
    const files = [...grids, "history.csv", "last.pt", "summary.json"];
    expect(readdirSync(join(cwd, "whole")).toSorted()).toEqual(files.toSorted());
    const grid = await readImage(join(cwd, `whole/epoch-${epochs}.png`));
    expect(grid.shape).toEqual([3, 6 * 30 + 2, 6 * 30 + 2]);
    expect(grid.float().std().item()).toBeGreaterThan(10);

    const history = (folder: string) => readFileSync(join(cwd, folder, "history.csv"), "utf8");
    expect(history("parts").split("\n")[0]).toBe("step,loss,discriminator,generator");
    expect(history("parts")).toBe(history("whole"));
    expect(await learnt(join(cwd, "parts"))).toEqual(await learnt(join(cwd, "whole")));
    expect(fileDigest(cwd, "parts", `epoch-${epochs}.png`)).toBe(fileDigest(cwd, "whole", `epoch-${epochs}.png`));
    const finished = await cresset(["gan", "--resume", "parts"], { cwd });
    expect([finished.code, finished.err]).toEqual([1, expect.stringContaining(`this run has ${epochs} epochs`)]);
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
    [["mnist", "predit"], /unknown command 'predit'\n\(Did you mean predict\?\)/],
    [["mnist", "xyz"], /unknown command 'xyz'\n\(--help/],
  ])("%j is refused with 2", async (args, message) => {
    const { code, err } = await cresset(args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it("helps, with examples, and at once", async () => {
    const help = await cresset(["mnist", "--help"]);
    expect(help.code).toBe(0);
    const lines = (help.out + (await cresset(["gan", "--help"])).out).split("\n");
    expect(lines.filter((line) => line.length > 82)).toEqual([]);
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

  it("completes in bash, without the package bash-completion, files too, and may be loaded twice", async () => {
    const cwd = temporaryFolder();
    put(join(cwd, "bin/cresset"), Buffer.from(`#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`));
    chmodSync(join(cwd, "bin/cresset"), 0o755);
    const script = `
      source <(cresset completion bash) && source <(cresset completion bash) || exit 1
      complete -p cresset
      compopt() { :; } # the real one wants a terminal
      try() {
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        __cresset_complete cresset
        echo "\${COMPREPLY[*]}"
      }
      try cresset mn; try cresset mnist --ep; try cresset mnist --dataset fa; try cresset plot ""`;
    const { stdout, stderr } = await promisify(execFile)("bash", ["--norc", "-c", script], {
      cwd,
      env: { ...process.env, PATH: `${join(cwd, "bin")}:${process.env.PATH}` },
    });
    expect([stdout.split("\n"), stderr]).toEqual([
      [
        expect.stringMatching(/^complete -o default -F __cresset_complete cresset$/),
        "mnist",
        "--epochs",
        "fashion",
        "",
        "",
      ],
      "",
    ]);
    const directive = async (...words: string[]) =>
      (await cresset(["complete", "--", ...words])).out.trim().split("\n").at(-1);
    expect([await directive("plot", ""), await directive("mnist", "--out", ""), await directive("mn")]).toEqual([
      ":0",
      ":0",
      ":4",
    ]);
  });

  it("a full disk behind a pipe is told at the end, and ends no training", async () => {
    if (!existsSync("/dev/full")) return; // Linux has it
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const command = `"${process.execPath}" "${main}" mnist --data "${data}" --epochs 1 --out run > /dev/full`;
    const failed = await promisify(exec)(command, { cwd }).catch((error: { code: number; stderr: string }) => error);
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^cresset: what was printed could not be written: ENOSPC/m),
    });
    expect(readdirSync(join(cwd, "run")).toSorted()).toEqual(runFiles);
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
    // Where a file system lets nobody make folders, Node's own way of making them never ends.
    if (existsSync("/proc/self")) {
      const proc = await cresset(["mnist", "--dataset", "digits", "--out", "/proc/a/b"], { cwd });
      expect([proc.code, proc.err]).toEqual([
        1,
        expect.stringMatching(/^cresset: cannot write \/proc\/a\/b\/summary\.json/),
      ]);
    }
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
