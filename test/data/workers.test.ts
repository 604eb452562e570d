/** Loader workers, in threads of their own. They load what was built (dist), and so does this file. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as core from "cresset";
import type * as data from "cresset/data";
import { describe, expect, it } from "vitest";

const require = createRequire(import.meta.url);
const { CsvStream, DataLoader, Dataset } = require("cresset/data") as typeof data;
const { DataError, defaultGenerator, manualSeed, tensor } = require("cresset") as typeof core;
const at = (name: string): URL => new URL(`./workers/${name}.mjs`, import.meta.url);
const { Noisy } = require("./workers/noisy.mjs") as {
  Noisy: new () => data.Dataset<{ x: core.Tensor; label: number }>;
};
const { Failing } = require("./workers/failing.mjs") as { Failing: new () => data.Dataset<number> };
const { Numbers } = require("./workers/stream.mjs") as { Numbers: new () => data.IterableDataset<number> };

/** Two rounds as plain data, and where the generator stands after them. */
async function rounds(options: data.DataLoaderOptions<{ x: core.Tensor; label: number }, unknown>): Promise<unknown[]> {
  manualSeed(11);
  const loader = new DataLoader<{ x: core.Tensor; label: number }, unknown>(new Noisy(), {
    batchSize: 4,
    shuffle: true,
    ...options,
  });
  const seen: unknown[] = [];
  const plain = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if ("dtype" in value) return [(value as core.Tensor).dtype, (value as core.Tensor).tolist()];
    return Array.isArray(value) ? value.map(plain) : Object.entries(value).map(([key, item]) => [key, plain(item)]);
  };
  for (let round = 0; round < 2; round++) for await (const batch of loader) seen.push(plain(batch));
  return [seen, defaultGenerator().getState()];
}

describe("numWorkers", { timeout: 60_000 }, () => {
  it("gives each line of a CsvStream once, whatever the number of workers", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cresset-lines-"));
    const path = join(folder, "lines.csv");
    process.env["CRESSET_TEST_LINES"] = path;
    try {
      writeFileSync(path, Array.from({ length: 5001 }, (_, i) => `${i % 10},${i}`).join("\n"));
      for (const numWorkers of [0, 1, 3]) {
        const options = numWorkers === 0 ? {} : { numWorkers, worker: at("lines") };
        const seen: number[] = [];
        for await (const [x] of new DataLoader(new CsvStream(path), { batchSize: 64, ...options }))
          seen.push(...(x.flatten().tolist() as number[]));
        expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 5001 }, (_, i) => i));
      }
    } finally {
      delete process.env["CRESSET_TEST_LINES"];
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("gives the same batches, in the same order, for any number of workers", async () => {
    const none = await rounds({});
    expect((none[0] as unknown[]).length).toBe(12);
    const worker = at("noisy");
    expect(await rounds({ numWorkers: 1, worker })).toEqual(none);
    expect(await rounds({ numWorkers: 3, worker, prefetchFactor: 1 })).toEqual(none);
    expect(await rounds({ numWorkers: 2, worker, persistentWorkers: true })).toEqual(none);
  });

  it("collates here where the function is the user's own", async () => {
    const collate = (items: { label: number }[]): number[] => items.map(({ label }) => label);
    expect(await rounds({ numWorkers: 2, worker: at("noisy"), collate })).toEqual(await rounds({ collate }));
  });

  it("names the item that failed, with the worker's own error as the cause", async () => {
    const loader = new DataLoader(new Failing(), {
      sampler: [0, 1, 2, 3, 4, 5, 6, 7, 8],
      batchSize: 3,
      numWorkers: 2,
      worker: at("failing"),
    });
    const seen: unknown[] = [];
    const read = async () => {
      for await (const batch of loader) seen.push(batch.tolist());
    };
    const error = await read().then(
      () => new Error("nothing failed"),
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toBe("DataLoader: worker 0, item 7: cat 7 has no tail");
    expect((error.cause as Error).name).toBe("TypeError");
    expect((error.cause as Error).stack).toContain("failing.mjs");
    expect(seen).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
  });

  it.each([
    [
      "ends in the middle",
      "failing",
      () => new DataLoader(new Failing(), { sampler: [9], numWorkers: 1, worker: at("failing") }),
      /worker 0 has ended: it exited with code 3/,
    ],
    [
      "has other data",
      "short",
      () => new DataLoader(new Failing(), { numWorkers: 1, worker: at("short") }),
      /worker 0 has 3 items, the loader's data set 10 items/,
    ],
    [
      "cannot make the data set",
      "broken",
      () => new DataLoader(new Failing(), { numWorkers: 1, worker: at("broken") }),
      /worker 0, making the data set: no such folder/,
    ],
    [
      "is not there",
      "absent",
      () => new DataLoader(new Failing(), { numWorkers: 1, worker: at("absent") }),
      /worker 0 has ended: Cannot find module/,
    ],
  ])("says that a worker %s", async (_, __, make, message) => {
    const read = async () => {
      for await (const _ of make());
    };
    await expect(read()).rejects.toThrow(message);
  });

  it("reads a stream in shares, until all have ended", async () => {
    const loader = new DataLoader(new Numbers(), { batchSize: 2, numWorkers: 2, worker: at("stream") });
    const seen: unknown[] = [];
    for await (const batch of loader) seen.push(batch.tolist());
    expect(seen).toEqual([[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]);
  });

  it("ends its workers when the loop is left, and lets the process end", async () => {
    const loader = new DataLoader(new Noisy(), { numWorkers: 3, worker: at("noisy") });
    for await (const _ of loader) break;
    const ports = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
    await expect.poll(ports, { timeout: 10_000 }).toBe(0);
    const script = fileURLToPath(at("persistent"));
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8", timeout: 30_000 });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "46\n", stderr: "" });
  });

  it("outlives workers that are given up while they start", () => {
    const script = `
      import { DataLoader, Dataset } from "cresset/data";
      class Eight extends Dataset { length = 8; get(i) { return i; } }
      for (let wait = 150; wait < 500; wait += 30) {
        const loader = new DataLoader(new Eight(), { numWorkers: 3, worker: new URL(${JSON.stringify(at("lines").href)}) });
        const batches = loader[Symbol.asyncIterator]();
        batches.next().catch(() => {});
        await new Promise((done) => setTimeout(done, wait));
        await batches.return();
      }
      console.log("alive");`;
    const cwd = fileURLToPath(new URL("../..", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd,
      encoding: "utf8",
      timeout: 100_000,
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "alive\n", stderr: "" });
  }, 120_000);

  it("refuses what cannot be", () => {
    expect(() => new DataLoader(new Noisy(), { numWorkers: 2 })).toThrow("numWorkers needs worker");
    expect(() => new DataLoader(new Noisy(), { numWorkers: -1 })).toThrow("whole number above 0");
    expect(() => [...new DataLoader(new Noisy(), { numWorkers: 1, worker: at("noisy") })]).toThrow("use for await");
  });
});

it("what is drawn in a batch leaves the training's own stream as it was", () => {
  class Drawing extends Dataset<core.Tensor> {
    length = 4;
    get(): core.Tensor {
      return (require("cresset") as typeof core).rand([3]);
    }
  }
  class Still extends Dataset<core.Tensor> {
    length = 4;
    get(): core.Tensor {
      return tensor([0]);
    }
  }
  const after = (dataset: data.Dataset<core.Tensor>) => {
    manualSeed(1);
    const batches = [...new DataLoader(dataset, { batchSize: 2 })].map((batch) => batch.tolist());
    return { batches, state: defaultGenerator().getState() };
  };
  const drawing = after(new Drawing());
  expect(drawing.state).toEqual(after(new Still()).state);
  expect(drawing.batches[0]).not.toEqual(drawing.batches[1]);
});
