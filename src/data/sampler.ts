/**
 * In which order a loader takes items. A sampler yields indices; a `BatchSampler` gathers them into lists. They know
 * lengths only, never the data.
 *
 * Source of the names and rules: https://docs.pytorch.org/docs/stable/data.html
 */
import { checkList, checkOptions, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { type Generator, rand, randint, randperm } from "../tensor/index.js";

/** Yields indices of items, a new round for every iteration. */
export abstract class Sampler implements Iterable<number> {
  /** How many indices a round has. */
  abstract get length(): number;
  abstract [Symbol.iterator](): Iterator<number>;
}

/** What has a length: a data set, an array. */
export interface Sized {
  readonly length: number;
}

/** 0, 1, 2, … in order. */
export class SequentialSampler extends Sampler {
  readonly #source: Sized;

  constructor(source: Sized) {
    super();
    this.#source = source;
  }

  override get length(): number {
    return this.#source.length;
  }

  override *[Symbol.iterator](): Iterator<number> {
    for (let index = 0; index < this.#source.length; index++) yield index;
  }
}

export interface RandomSamplerOptions {
  /** Draw each index independently, so that some repeat. */
  replacement?: boolean;
  /** How many to draw a round; by default as many as there are. Without replacement it goes round again when more are asked. */
  numSamples?: number | undefined;
  /** Where chance comes from; by default the one that `manualSeed` sets. */
  generator?: Generator | undefined;
}

/**
 * Indices in random order: a new permutation every round, or independent draws with `replacement`.
 *
 * @example
 * const sampler = new RandomSampler(train, { generator: new torch.Generator().manualSeed(1) });
 */
export class RandomSampler extends Sampler {
  readonly #source: Sized;
  readonly #options: RandomSamplerOptions;

  constructor(source: Sized, options: RandomSamplerOptions = {}) {
    super();
    checkOptions("RandomSampler", options);
    const { numSamples } = options;
    if (numSamples !== undefined) checkCount("RandomSampler", "numSamples", numSamples);
    this.#source = source;
    this.#options = options;
  }

  override get length(): number {
    return this.#options.numSamples ?? this.#source.length;
  }

  override *[Symbol.iterator](): Iterator<number> {
    const { replacement, generator } = this.#options;
    const size = this.#source.length;
    if (size === 0) return;
    for (let left = this.length; left > 0; left -= size) {
      const order = replacement
        ? randint(0, size, [Math.min(left, size)], { generator }).toTypedArray()
        : randperm(size, { generator }).toTypedArray();
      const end = Math.min(left, size);
      for (let i = 0; i < end; i++) yield Number(order[i]);
    }
  }
}

export interface WeightedRandomSamplerOptions {
  /** Whether an index may come more than once; true by default, as in PyTorch. */
  replacement?: boolean;
  generator?: Generator | undefined;
}

/**
 * Index i with probability wᵢ / Σw: the cure for classes of unequal size.
 *
 * With replacement: the cumulative weights, searched for a uniform draw. Without: the `numSamples` largest keys
 * log(uᵢ)/wᵢ (Efraimidis and Spirakis, 2006), which is the same as drawing one after another.
 *
 * Errors: ValueError for negative or no weights, or more draws than weights above 0 without replacement.
 *
 * @example
 * new WeightedRandomSampler([0.9, 0.1], 100); // about 90 zeros and 10 ones
 */
export class WeightedRandomSampler extends Sampler {
  readonly #weights: Float64Array;
  readonly #count: number;
  readonly #options: WeightedRandomSamplerOptions;

  constructor(weights: ArrayLike<number>, numSamples: number, options: WeightedRandomSamplerOptions = {}) {
    super();
    checkList("WeightedRandomSampler", "weights", weights);
    checkOptions("WeightedRandomSampler", options);
    checkCount("WeightedRandomSampler", "numSamples", numSamples);
    this.#weights = Float64Array.from(weights);
    if (!this.#weights.every((weight) => weight >= 0 && weight < Infinity)) {
      throw new ValueError("WeightedRandomSampler: weights must be finite and not negative");
    }
    const positive = this.#weights.filter((weight) => weight > 0).length;
    const most = options.replacement === false ? positive : positive > 0 ? Infinity : 0;
    if (numSamples > most) {
      throw new ValueError(`WeightedRandomSampler: ${numSamples} draws from ${positive} weights above 0`);
    }
    this.#count = numSamples;
    this.#options = options;
  }

  override get length(): number {
    return this.#count;
  }

  override [Symbol.iterator](): Iterator<number> {
    return (this.#options.replacement === false ? this.#withoutReplacement() : this.#withReplacement())[
      Symbol.iterator
    ]();
  }

  #uniform(count: number): ArrayLike<number> {
    const { generator } = this.#options;
    return rand([count], { generator, dtype: "float64" }).toTypedArray() as Float64Array;
  }

  #withReplacement(): number[] {
    let total = 0;
    const cumulative = this.#weights.map((weight) => (total += weight));
    const last = this.#weights.findLastIndex((weight) => weight > 0);
    return Array.from(this.#uniform(this.#count), (u) => Math.min(firstAbove(cumulative, u * total), last));
  }

  #withoutReplacement(): number[] {
    const uniform = this.#uniform(this.#weights.length);
    return Array.from(this.#weights, (weight, index) => ({
      index,
      key: weight > 0 ? Math.log(1 - (uniform[index] as number)) / weight : -Infinity,
    }))
      .sort((a, b) => b.key - a.key)
      .slice(0, this.#count)
      .map(({ index }) => index);
  }
}

/** The first place whose value is above `bound`, in ascending values. */
function firstAbove(values: Float64Array, bound: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) > bound) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Gathers another sampler's indices into lists of `batchSize`; the last may be shorter, or is left out (`dropLast`).
 *
 * @example
 * [...new BatchSampler(new SequentialSampler({ length: 5 }), 2, false)]; // [[0, 1], [2, 3], [4]]
 */
export class BatchSampler implements Iterable<number[]> {
  readonly #sampler: Iterable<number> & Sized;
  readonly #batchSize: number;
  readonly #dropLast: boolean;

  constructor(sampler: Iterable<number> & Sized, batchSize: number, dropLast: boolean) {
    checkCount("BatchSampler", "batchSize", batchSize);
    this.#sampler = sampler;
    this.#batchSize = batchSize;
    this.#dropLast = dropLast;
  }

  /** How many batches a round has. */
  get length(): number {
    const batches = this.#sampler.length / this.#batchSize;
    return this.#dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  *[Symbol.iterator](): Iterator<number[]> {
    let batch: number[] = [];
    for (const index of this.#sampler) {
      batch.push(index);
      if (batch.length === this.#batchSize) {
        yield batch;
        batch = [];
      }
    }
    if (batch.length > 0 && !this.#dropLast) yield batch;
  }
}

/** Throws ValueError unless `value` is a whole number above 0. */
export function checkCount(what: string, name: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value > 0)) {
    refuseArgument(what, name, value, "a whole number above 0");
  }
}
