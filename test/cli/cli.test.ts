/** The command as a user runs it: training, Ctrl-C, predicting, and errors in one line. Runs what was built (dist). */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadFile, loadMetadata } from "cresset/io";
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

describe("usage", { timeout: 30_000 }, () => {
  it.each([
    [["mnist", "--epochs", "0"], /--epochs <n>' argument '0' is invalid/],
    [["mnist", "--lr", "fast"], /must be a number above 0/],
    [["mnist", "--model", "best"], /Allowed choices are refined, seed/],
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
