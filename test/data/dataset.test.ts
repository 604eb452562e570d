/** Data sets made of others: which item is where, and what is refused. */
import { Generator, type Tensor, tensor } from "cresset";
import { ConcatDataset, DataLoader, Dataset, randomSplit, Subset, TensorDataset } from "cresset/data";
import { describe, expect, it } from "vitest";

class Squares extends Dataset<number> {
  constructor(readonly length: number) {
    super();
  }
  get(index: number): number {
    return index * index;
  }
}

const seeded = (seed: number) => {
  const generator = new Generator();
  generator.manualSeed(seed);
  return generator;
};

describe("Dataset", () => {
  it("is iterable in order", () => {
    expect([...new Squares(4)]).toEqual([0, 1, 4, 9]);
  });
});

describe("TensorDataset", () => {
  const data = new TensorDataset(
    tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]),
    tensor([10, 20, 30]),
  );

  it("gives rows", () => {
    const [x, y] = data.get(1);
    expect(data.length).toBe(3);
    expect(x.tolist()).toEqual([3, 4]);
    expect(y.item()).toBe(20);
  });

  it("gives batches that equal stacked rows", () => {
    const [x, y]: [Tensor, Tensor] = data.getBatch([2, 0]);
    expect(x.tolist()).toEqual([
      [5, 6],
      [1, 2],
    ]);
    expect(y.tolist()).toEqual([30, 10]);
  });

  it("refuses tensors of different first sizes, and no such item", () => {
    expect(() => new TensorDataset(tensor([1, 2]), tensor([1, 2, 3]))).toThrow(/first sizes differ: \(2\) and \(3\)/);
    expect(() => new TensorDataset(tensor(1))).toThrow(/first sizes differ/);
    for (const index of [-1, 3, 0.5]) expect(() => data.get(index)).toThrow(/item .* of 3/);
  });
});

describe("Subset and ConcatDataset", () => {
  it("number anew", () => {
    expect([...new Subset(new Squares(10), [3, 1])]).toEqual([9, 1]);
    const both = new ConcatDataset([new Squares(2), new Squares(0), new Squares(3)]);
    expect([...both]).toEqual([0, 1, 0, 1, 4]);
    expect(() => both.get(5)).toThrow(/item 5 of 5/);
  });

  it("a subset of a data set with batches has batches", () => {
    const subset = new Subset(new TensorDataset(tensor([10, 20, 30])), [2, 1]);
    const batches = [...new DataLoader(subset, { batchSize: 2 })];
    expect(batches.map(([x]) => x.tolist())).toEqual([[30, 20]]);
    expect(new Subset(new Squares(3), [0]).getBatch).toBeUndefined();
  });
});

describe("randomSplit", () => {
  it("shares every item out once, the same way for the same seed", () => {
    const split = (seed: number) =>
      randomSplit(new Squares(10), [7, 3], { generator: seeded(seed) }).map((part) => [...part]);
    const [a, b] = split(1) as [number[], number[]];
    expect([a.length, b.length]).toEqual([7, 3]);
    expect([...a, ...b].toSorted((x, y) => x - y)).toEqual([...new Squares(10)]);
    expect(split(1)).toEqual([a, b]);
    expect(split(2)).not.toEqual([a, b]);
  });

  it("takes fractions; the first parts get what rounding leaves", () => {
    expect(randomSplit(new Squares(10), [0.5, 0.25, 0.25]).map(({ length }) => length)).toEqual([6, 2, 2]);
    expect(randomSplit(new Squares(11), [1 / 3, 1 / 3, 1 / 3]).map(({ length }) => length)).toEqual([4, 4, 3]);
    expect(randomSplit(new Squares(1), [1]).map(({ length }) => length)).toEqual([1]);
  });

  it("refuses parts that do not add up", () => {
    expect(() => randomSplit(new Squares(10), [5, 4])).toThrow(/add up to 9/);
    expect(() => randomSplit(new Squares(10), [0.5, 0.4])).toThrow(/add up to 0.9/);
    expect(() => randomSplit(new Squares(10), [11, -1])).toThrow(/negative/);
  });
});
