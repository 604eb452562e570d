/** DataLoader and collation: what a batch holds, its types, and the rules about numbers. */
import { Generator, type Tensor, tensor } from "cresset";
import { type Collated, DataLoader, Dataset, defaultCollate, IterableDataset, TensorDataset } from "cresset/data";
import { describe, expect, expectTypeOf, it } from "vitest";

class Pairs extends Dataset<[Tensor, number]> {
  constructor(readonly length: number) {
    super();
  }
  get(index: number): [Tensor, number] {
    return [tensor([index, index + 0.5]), index];
  }
}

/** Notes whether batches came at once. */
class Fast extends Pairs {
  batches = 0;
  override getBatch(indices: ArrayLike<number>): [Tensor, Tensor] {
    this.batches += 1;
    const [x, y] = defaultCollate(Array.from(indices, (index) => this.get(index)));
    return [x, y];
  }
}

class Doubled extends Fast {
  override get(index: number): [Tensor, number] {
    return [tensor([0, 0]), 2 * index];
  }
}

const labels = (loader: Iterable<[Tensor, Tensor]>) => [...loader].map(([, y]) => y.tolist());
const seeded = (seed: number) => {
  const generator = new Generator();
  generator.manualSeed(seed);
  return generator;
};

describe("DataLoader", () => {
  it("makes batches in order, the last one shorter", () => {
    const loader = new DataLoader(new Pairs(5), { batchSize: 2 });
    const batches = [...loader];
    expect(loader.length).toBe(3);
    expect(batches.map(([x]) => x.shape)).toEqual([
      [2, 2],
      [2, 2],
      [1, 2],
    ]);
    expect(labels(batches)).toEqual([[0, 1], [2, 3], [4]]);
    expect(batches[0]?.[0].tolist()).toEqual([
      [0, 0.5],
      [1, 1.5],
    ]);
  });

  it("has the types of a batch", () => {
    const loader = new DataLoader(new Pairs(5), { batchSize: 2, shuffle: true });
    expectTypeOf(loader).toEqualTypeOf<DataLoader<[Tensor, number], [Tensor, Tensor]>>();
    expectTypeOf<Collated<{ x: Tensor; name: string; n: readonly [number, boolean] }>>().toEqualTypeOf<{
      x: Tensor;
      name: string[];
      n: [Tensor, Tensor];
    }>();
    const custom = new DataLoader(new Pairs(5), { collate: (items) => items.map(([, y]) => y) });
    expectTypeOf(custom).toEqualTypeOf<DataLoader<[Tensor, number], number[]>>();
    expect([...custom]).toEqual([[0], [1], [2], [3], [4]]);
  });

  it("drops a last batch that is not full", () => {
    const loader = new DataLoader(new Pairs(5), { batchSize: 2, dropLast: true });
    expect(loader.length).toBe(2);
    expect(labels(loader)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("shuffles: every item once, the same for the same seed, anew each round", () => {
    const loader = (seed: number) =>
      new DataLoader(new Pairs(20), { batchSize: 20, shuffle: true, generator: seeded(seed) });
    const one = loader(1);
    const [first] = labels(one) as [number[]];
    expect(first.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(labels(loader(1))[0]).toEqual(first);
    expect(labels(one)[0]).not.toEqual(first);
  });

  it("takes a sampler or a batch sampler", () => {
    expect(labels(new DataLoader(new Pairs(5), { batchSize: 2, sampler: [4, 3, 2] }))).toEqual([[4, 3], [2]]);
    const loader = new DataLoader(new Pairs(5), { batchSampler: [[0], [1, 2, 3]] });
    expect(labels(loader)).toEqual([[0], [1, 2, 3]]);
    expect(loader.length).toBe(2);
  });

  it("takes whole batches from a data set that gives them", () => {
    const fast = new Fast(4);
    expect(labels(new DataLoader(fast, { batchSize: 2 }))).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(fast.batches).toBe(2);
  });

  it("does not pass by a get that a subclass has overridden", () => {
    const doubled = new Doubled(4);
    expect(labels(new DataLoader(doubled, { batchSize: 2 }))).toEqual([
      [0, 2],
      [4, 6],
    ]);
    expect(doubled.batches).toBe(0);
  });

  it("refuses options that exclude each other", () => {
    const pairs = new Pairs(3);
    expect(() => new DataLoader(pairs, { batchSize: 0 })).toThrow(/batchSize is 0/);
    expect(() => new DataLoader(pairs, { sampler: [0], shuffle: true })).toThrow(/sampler excludes shuffle/);
    expect(() => new DataLoader(pairs, { batchSampler: [[0]], batchSize: 2 })).toThrow(/batchSampler excludes/);
  });

  it("gives the same batches to for await", async () => {
    const batches: unknown[] = [];
    for await (const [, y] of new DataLoader(new Pairs(5), { batchSize: 2 })) batches.push(y.tolist());
    expect(batches).toEqual([[0, 1], [2, 3], [4]]);
  });

  it("lets timers run in for await", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    for await (const _ of new DataLoader(new Pairs(20))) {
      const end = performance.now() + 3;
      while (performance.now() < end);
    }
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(2);
  });

  it("awaits promised items in for await and says so in for of", async () => {
    class Late extends Dataset<Promise<number>> {
      readonly length = 3;
      async get(index: number): Promise<number> {
        return index;
      }
    }
    const loader = new DataLoader(new Late(), { batchSize: 3 });
    for await (const batch of loader) {
      expectTypeOf(batch).toEqualTypeOf<Tensor>();
      expect(batch.tolist()).toEqual([0, 1, 2]);
    }
    expect(() => [...loader]).toThrow(/for await/);
  });
});

describe("DataLoader over an IterableDataset", () => {
  class Stream extends IterableDataset<number> {
    *[Symbol.iterator]() {
      yield* [1, 2, 3];
    }
  }

  it("gathers items as they come", async () => {
    const loader = new DataLoader(new Stream(), { batchSize: 2 });
    expect([...loader].map((batch) => batch.tolist())).toEqual([[1, 2], [3]]);
    expect([...new DataLoader(new Stream(), { batchSize: 2, dropLast: true })].length).toBe(1);
    const batches: unknown[] = [];
    for await (const batch of loader) batches.push(batch.tolist());
    expect(batches).toEqual([[1, 2], [3]]);
    expect(() => loader.length).toThrow(/no length/);
    expect(() => new DataLoader(new Stream(), { shuffle: true })).toThrow(/its own order/);
  });

  it("reads an async stream", async () => {
    class Late extends Stream {
      override async *[Symbol.asyncIterator]() {
        yield 7;
        yield 8;
      }
    }
    for await (const batch of new DataLoader(new Late(), { batchSize: 2 })) expect(batch.tolist()).toEqual([7, 8]);
  });
});

describe("defaultCollate", () => {
  it("keeps the form of what it is given", () => {
    const { x, y, name, deep } = defaultCollate([
      { x: tensor([1, 2]), y: 3, name: "a", deep: [true, { z: 1 }] as [boolean, { z: number }] },
      { x: tensor([3, 4]), y: 4, name: "b", deep: [false, { z: 2 }] as [boolean, { z: number }] },
    ]);
    expect(x.tolist()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect([y.dtype, y.tolist()]).toEqual(["int32", [3, 4]]);
    expect(name).toEqual(["a", "b"]);
    expect([deep[0].dtype, deep[0].tolist()]).toEqual(["bool", [true, false]]);
    expect(deep[1].z.tolist()).toEqual([1, 2]);
  });

  it("stacks typed arrays", () => {
    const batch = defaultCollate([new Uint8Array([1, 2]), new Uint8Array([3, 4])]);
    expect([batch.dtype, batch.tolist()]).toEqual([
      "uint8",
      [
        [1, 2],
        [3, 4],
      ],
    ]);
  });

  it("never rounds a number, and never changes a dtype by itself", () => {
    expect(() => defaultCollate([1, 0.5])).toThrow(/item is 0.5, not a 32-bit integer.*numberDtype: "float32"/);
    expect(() => defaultCollate([[1], [2 ** 31]])).toThrow(/item\[0\] is 2147483648/);
    expect(defaultCollate([1, 2], { numberDtype: "float32" }).dtype).toBe("float32");
    const [, y] = [...new DataLoader(new TensorDataset(tensor([0.5, 1])))].map(([v]) => v);
    expect(y?.dtype).toBe("float32");
    class Halves extends Dataset<number> {
      readonly length = 2;
      get = (index: number) => index / 2;
    }
    const [batch] = new DataLoader(new Halves(), { batchSize: 2, numberDtype: "float32" });
    expect(batch?.tolist()).toEqual([0, 0.5]);
  });

  it("says what does not fit", () => {
    expect(() => defaultCollate([])).toThrow(/empty batch/);
    expect(() => defaultCollate<unknown>([1, "a"])).toThrow(
      /item is a number in the batch's first item, not in item 1/,
    );
    expect(() => defaultCollate([[1], [1, 2]])).toThrow(/lengths differ: 1 and 2/);
    expect(() => defaultCollate([null])).toThrow(/null, which has no batch/);
    expect(() => defaultCollate([tensor([1]), tensor([1, 2])])).toThrow();
  });
});
