/**
 * What a loader draws from. A `Dataset` answers "how many" and "which is number i"; an `IterableDataset` only "what
 * comes next". Order and batches are left to samplers and the `DataLoader`.
 */
import { checkList, checkOptions, checkTensors, refuseArgument } from "../arguments.js";
import { IndexError, ShapeError, ValueError } from "../errors.js";
import { type Generator, randperm, type Tensor, tensor } from "../tensor/index.js";
import type { Collated } from "./collate.js";

/**
 * Items by number. A subclass gives `length` and `get`.
 *
 * @example
 * class Squares extends Dataset<[Tensor, number]> {
 *   get length() { return 100; }
 *   get(index: number): [Tensor, number] { return [torch.tensor(index), index * index]; }
 * }
 */
export abstract class Dataset<T> implements Iterable<T> {
  /** How many items there are. */
  abstract get length(): number;

  /** Item `index`, counted from 0. */
  abstract get(index: number): T;

  /**
   * Optional: a whole batch at once, collated. A data set that holds its items in one block copies them out in one go
   * instead of making a tensor for each and stacking them. `DataLoader` uses it when no `collate` is given, unless a
   * subclass has overridden `get` alone.
   */
  getBatch?(indices: ArrayLike<number>): Collated<T>;

  /** All items in order. */
  *[Symbol.iterator](): Iterator<T> {
    for (let index = 0; index < this.length; index++) yield this.get(index);
  }
}

/**
 * Items that only come one after another: a stream, a generator. A subclass gives `[Symbol.iterator]`, and
 * `[Symbol.asyncIterator]` too (or instead, throwing from the first) when its items arrive with time.
 */
export abstract class IterableDataset<T> implements Iterable<T> {
  abstract [Symbol.iterator](): Iterator<T>;
  [Symbol.asyncIterator]?(): AsyncIterator<T>;
}

/** What `get` gives for each tensor of a `TensorDataset`. */
type Rows<Tensors extends readonly Tensor[]> = { [K in keyof Tensors]: Tensor };

/**
 * Tensors of equal first size: item i is row i of each.
 *
 * Errors: ShapeError when first sizes differ or a tensor has no dimension.
 *
 * @example
 * const data = new TensorDataset(torch.rand([100, 4]), torch.zeros([100]));
 * const [x, y] = data.get(0); // shapes (4) and ()
 */
export class TensorDataset<Tensors extends readonly Tensor[]> extends Dataset<Rows<Tensors>> {
  readonly tensors: Tensors;

  constructor(...tensors: Tensors) {
    super();
    checkTensors("TensorDataset", "tensors", tensors);
    const shapes = tensors.map(({ shape }) => `(${shape.join(", ")})`).join(" and ");
    if (tensors.length === 0) throw new ValueError("TensorDataset: needs at least one tensor");
    if (tensors.some(({ shape }) => shape.length === 0 || shape[0] !== tensors[0]?.shape[0])) {
      throw new ShapeError(`TensorDataset: first sizes differ: ${shapes}`);
    }
    this.tensors = tensors;
  }

  override get length(): number {
    return this.tensors[0]?.shape[0] ?? 0;
  }

  override get(index: number): Rows<Tensors> {
    checkIndex("TensorDataset", index, this.length);
    return this.tensors.map((each) => each.select(0, index)) as Rows<Tensors>;
  }

  override getBatch(indices: ArrayLike<number>): Collated<Rows<Tensors>> {
    const rows = tensor(Int32Array.from(indices));
    return this.tensors.map((each) => each.indexSelect(0, rows)) as Collated<Rows<Tensors>>;
  }
}

/**
 * Some items of another data set, by number.
 *
 * @example
 * const small = new Subset(train, [0, 2, 4]);
 */
export class Subset<T> extends Dataset<T> {
  readonly dataset: Dataset<T>;
  readonly indices: ArrayLike<number>;

  constructor(dataset: Dataset<T>, indices: ArrayLike<number>) {
    super();
    checkDataset("Subset", "dataset", dataset);
    checkList("Subset", "indices", indices);
    this.dataset = dataset;
    this.indices = indices;
    if (batchesAtOnce(dataset)) {
      this.getBatch = (batch) => dataset.getBatch(Array.from(batch, (index) => this.#inner(index)));
    }
  }

  override get length(): number {
    return this.indices.length;
  }

  override get(index: number): T {
    return this.dataset.get(this.#inner(index));
  }

  #inner(index: number): number {
    checkIndex("Subset", index, this.length);
    return this.indices[index] as number;
  }
}

/**
 * Data sets one after another.
 *
 * @example
 * const both = new ConcatDataset([train, extra]); // both.length === train.length + extra.length
 */
export class ConcatDataset<T> extends Dataset<T> {
  readonly datasets: readonly Dataset<T>[];

  constructor(datasets: readonly Dataset<T>[]) {
    super();
    checkList("ConcatDataset", "datasets", datasets);
    for (const [i, dataset] of datasets.entries()) checkDataset("ConcatDataset", `datasets[${i}]`, dataset);
    this.datasets = datasets;
  }

  override get length(): number {
    return this.datasets.reduce((sum, { length }) => sum + length, 0);
  }

  override get(index: number): T {
    checkIndex("ConcatDataset", index, this.length);
    let rest = index;
    for (const dataset of this.datasets) {
      if (rest < dataset.length) return dataset.get(rest);
      rest -= dataset.length;
    }
    throw new IndexError(`ConcatDataset: a data set shrank below item ${index}`);
  }
}

/**
 * Splits a data set at random into parts that share nothing. `parts` are lengths that add up to the data set's, or
 * fractions that add up to 1 (what rounding leaves over goes to the first parts, one each, as in PyTorch).
 *
 * Errors: ValueError when the parts do not add up.
 *
 * @example
 * const [train, validation] = randomSplit(data, [0.9, 0.1], { generator });
 */
export function randomSplit<T>(
  dataset: Dataset<T>,
  parts: readonly number[],
  options: { generator?: Generator | undefined } = {},
): Subset<T>[] {
  checkDataset("randomSplit", "dataset", dataset);
  checkList("randomSplit", "parts", parts);
  checkOptions("randomSplit", options);
  const lengths = partLengths(parts, dataset.length);
  const order = randperm(dataset.length, { generator: options.generator }).toTypedArray() as Int32Array;
  let place = 0;
  return lengths.map((length) => {
    place += length;
    return new Subset(dataset, order.subarray(place - length, place));
  });
}

function partLengths(parts: readonly number[], total: number): number[] {
  const sum = parts.reduce((a, b) => a + b, 0);
  if (parts.some((part) => !(part >= 0))) throw new ValueError(`randomSplit: a part is negative: ${parts.join(", ")}`);
  if (sum === total && parts.every(Number.isInteger)) return [...parts];
  if (Math.abs(sum - 1) > 1e-6) {
    throw new ValueError(`randomSplit: parts add up to ${sum}; lengths must add up to ${total}, fractions to 1`);
  }
  const lengths = parts.map((part) => Math.floor(part * total));
  const left = total - lengths.reduce((a, b) => a + b, 0);
  for (let i = 0; i < left; i++) lengths[i % lengths.length] = (lengths[i % lengths.length] as number) + 1;
  return lengths;
}

function checkDataset(what: string, name: string, value: unknown): void {
  if (typeof (value as Dataset<unknown> | null)?.get !== "function") refuseArgument(what, name, value, "a data set");
}

/** Throws IndexError unless `index` is a whole number in [0, length). */
export function checkIndex(what: string, index: number, length: number): void {
  if (!(index >= 0 && index < length && Number.isInteger(index))) {
    throw new IndexError(`${what}: item ${index} of ${length}`);
  }
}

type BatchedDataset<T> = Dataset<T> & { getBatch: NonNullable<Dataset<T>["getBatch"]> };

/**
 * True when `getBatch` may stand for `get`: it exists and no class below the one that wrote it has a `get` of its own,
 * which batches would then pass by (think of an augmenting subclass of MNIST).
 */
export function batchesAtOnce<T>(dataset: Dataset<T>): dataset is BatchedDataset<T> {
  if (dataset.getBatch === undefined) return false;
  for (let level: object | null = dataset; level !== null; level = Object.getPrototypeOf(level)) {
    if (Object.hasOwn(level, "getBatch")) return true;
    if (Object.hasOwn(level, "get")) return false;
  }
  return false;
}
