/** Samplers: every index once, the same order for the same seed, lengths as promised. */
import { Generator } from "cresset";
import { BatchSampler, RandomSampler, SequentialSampler, WeightedRandomSampler } from "cresset/data";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const seeded = (seed: number) => {
  const generator = new Generator();
  generator.manualSeed(seed);
  return generator;
};
const upTo = (length: number) => Array.from({ length }, (_, i) => i);

describe("RandomSampler", () => {
  it("is a permutation, a new one each round", () => {
    const sampler = new RandomSampler({ length: 50 }, { generator: seeded(1) });
    const first = [...sampler];
    const second = [...sampler];
    expect(first.toSorted((a, b) => a - b)).toEqual(upTo(50));
    expect(second.toSorted((a, b) => a - b)).toEqual(upTo(50));
    expect(second).not.toEqual(first);
  });

  it("gives the same order for the same seed and another for another", () => {
    const order = (seed: number) => [...new RandomSampler({ length: 50 }, { generator: seeded(seed) })];
    expect(order(3)).toEqual(order(3));
    expect(order(3)).not.toEqual(order(4));
  });

  it("goes round again for more samples than items", () => {
    const sampler = new RandomSampler({ length: 3 }, { numSamples: 7, generator: seeded(1) });
    const drawn = [...sampler];
    expect(sampler.length).toBe(7);
    expect(drawn.length).toBe(7);
    expect(drawn.slice(0, 3).toSorted()).toEqual([0, 1, 2]);
    expect(drawn.slice(3, 6).toSorted()).toEqual([0, 1, 2]);
  });

  it("repeats with replacement and stays in range", () => {
    const drawn = [...new RandomSampler({ length: 4 }, { replacement: true, numSamples: 40, generator: seeded(1) })];
    expect(drawn.length).toBe(40);
    expect(new Set(drawn)).toEqual(new Set([0, 1, 2, 3]));
  });

  it("is empty for nothing", () => {
    expect([...new RandomSampler({ length: 0 })]).toEqual([]);
  });
});

describe("WeightedRandomSampler", () => {
  it("draws in proportion and never what weighs nothing", () => {
    const drawn = [...new WeightedRandomSampler([0, 3, 1, 0], 4000, { generator: seeded(7) })];
    const share = drawn.filter((index) => index === 1).length / drawn.length;
    expect(new Set(drawn)).toEqual(new Set([1, 2]));
    // Deviation √(0.75·0.25/4000) = 0.0068; five of them.
    expect(Math.abs(share - 0.75)).toBeLessThan(0.035);
  });

  it("without replacement takes each once", () => {
    const drawn = [...new WeightedRandomSampler([1, 0, 5, 2], 3, { replacement: false, generator: seeded(7) })];
    expect(drawn.toSorted()).toEqual([0, 2, 3]);
  });

  it("refuses weights it cannot draw from", () => {
    expect(() => new WeightedRandomSampler([1, -1], 1)).toThrow(/not negative/);
    expect(() => new WeightedRandomSampler([0, 0], 1)).toThrow(/1 draws from 0 weights/);
    expect(() => new WeightedRandomSampler([1, 0], 2, { replacement: false })).toThrow(/2 draws from 1/);
    expect(() => new WeightedRandomSampler([1], 0)).toThrow(/numSamples is 0/);
  });
});

describe("BatchSampler", () => {
  it("cuts any length into batches that join to the whole", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 12 }), fc.boolean(), (length, batchSize, dropLast) => {
        const sampler = new BatchSampler(new SequentialSampler({ length }), batchSize, dropLast);
        const batches = [...sampler];
        expect(batches.length).toBe(sampler.length);
        expect(batches.flat()).toEqual(upTo(dropLast ? length - (length % batchSize) : length));
        for (const batch of batches.slice(0, -1)) expect(batch.length).toBe(batchSize);
      }),
    );
  });

  it("refuses a size that is none", () => {
    for (const size of [0, -1, 1.5, Number.NaN]) {
      expect(() => new BatchSampler(new SequentialSampler({ length: 3 }), size, false)).toThrow(/batchSize is/);
    }
  });
});
