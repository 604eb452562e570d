/**
 * `cresset mnist` and `cresset gan`: training, Ctrl-C, going on. Runs what was built (dist).
 */
import { exec } from "node:child_process";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { isTensor, load } from "cresset";
import { loadFile, loadMetadata } from "cresset/io";
import { readImage } from "cresset/vision";
import { describe, expect, it } from "vitest";
import { put, temporaryFolder } from "../vision/fixtures.js";
import { contents, cresset, digest, fileDigest, json, onPrinted, runFiles, smallMnist } from "./command.js";

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
    const data = smallMnist(join(cwd, "data"), 100);
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
    const epochs = String(Math.floor(JSON.parse(second.out).steps / 100) + 2);
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
    const data = smallMnist(join(cwd, "data"), 100);
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

describe("cresset gan", { timeout: 120_000 }, () => {
  it("leaves a grid of images each epoch, and goes on exactly where Ctrl-C came", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const common = ["--data", data, "--batch", "8", "--seed", "7"];
    // A little later, so that it comes within the second epoch.
    const first = await cresset(["gan", ...common, "--epochs", "1000", "--out", "parts", "--json"], {
      cwd,
      watch: onPrinted(/epoch 1\//, "SIGINT", 100),
    });
    expect([first.code, first.err]).toEqual([
      130,
      expect.stringMatching(/stopped +after [\d,]+ steps, .*; to go on: node \S+ gan --resume parts$/m),
    ]);
    expect(JSON.parse(first.out)).toMatchObject({ interrupted: true, folder: "parts", batch: 8 });
    const epochs = Math.floor(JSON.parse(first.out).steps / 40) + 1;
    const [again, whole] = await Promise.all([
      // The images are found where they were, and 1000 epochs were asked for.
      cresset(["gan", "--resume", "parts", "--epochs", String(epochs)], { cwd, env: { CRESSET_DATA: "/nowhere" } }),
      cresset(["gan", ...common, "--epochs", String(epochs), "--out", "whole"], { cwd }),
    ]);
    expect([again.code, again.err]).toEqual([0, expect.stringContaining(`epoch ${epochs}/${epochs} 100 %`)]);
    expect([whole.code, whole.out]).toEqual([0, expect.stringContaining("MNIST, 320 images")]);
    const figures = "40/40 .* discriminator [\\d.e-]+ {2}generator [\\d.e-]+";
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
