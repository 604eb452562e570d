/**
 * The loop's side of data: batches, in order or shuffled, drawn from a data set. It runs in the training thread; what
 * makes it fast is `Dataset.getBatch`, not workers. What a batch looks like is left to `collate.ts`.
 */
import { ValueError } from "../errors.js";
import type { Generator } from "../tensor/index.js";
import { type Collated, type CollateOptions, defaultCollate } from "./collate.js";
import { batchesAtOnce, Dataset, type IterableDataset } from "./dataset.js";
import { BatchSampler, checkCount, RandomSampler, SequentialSampler, type Sized } from "./sampler.js";
import { EventLoopTurns } from "./turns.js";

export interface DataLoaderOptions<T, Batch> extends CollateOptions {
  /** Items in a batch; 1 by default. */
  batchSize?: number;
  /** A new random order every round. */
  shuffle?: boolean;
  /** The order of items, instead of `shuffle`. */
  sampler?: (Iterable<number> & Sized) | undefined;
  /** The lists of items, instead of `batchSize`, `shuffle`, `sampler` and `dropLast`. */
  batchSampler?: (Iterable<ArrayLike<number>> & Sized) | undefined;
  /** Leave out a last batch that is not full. */
  dropLast?: boolean;
  /** Makes a batch of a list of items; `defaultCollate` by default. */
  collate?: ((items: Awaited<T>[]) => Batch) | undefined;
  /** Where `shuffle` gets its chance; by default the generator that `manualSeed` sets. */
  generator?: Generator | undefined;
}

/**
 * Batches of a data set, for `for … of` and `for await … of`. Each iteration is a new round.
 *
 * `for await` also takes items that are promised, and gives the event loop a turn every few milliseconds, so that a
 * page stays alive and signals arrive while a model trains.
 *
 * Errors: ValueError for options that exclude each other.
 *
 * @example
 * for (const [images, labels] of new DataLoader(train, { batchSize: 64, shuffle: true })) {
 *   // images: uint8 (64, 28, 28), labels: int32 (64)
 * }
 */
export class DataLoader<T, Batch = Collated<T>> implements Iterable<Batch>, AsyncIterable<Batch> {
  readonly dataset: Dataset<T> | IterableDataset<T>;
  readonly #draw: Draw<T>;
  readonly #collate: ((items: readonly T[]) => Batch) | undefined;
  readonly #options: DataLoaderOptions<T, Batch>;

  constructor(dataset: Dataset<T> | IterableDataset<T>, options: DataLoaderOptions<T, Batch> = {}) {
    this.dataset = dataset;
    this.#options = options;
    this.#draw = plan(dataset, options);
    this.#collate = options.collate as ((items: readonly T[]) => Batch) | undefined;
  }

  /** How many batches a round has. Throws ValueError for an IterableDataset, whose length nobody knows. */
  get length(): number {
    if (this.#draw.batches === undefined) throw new ValueError("DataLoader: an IterableDataset has no length");
    return this.#draw.batches.length;
  }

  *[Symbol.iterator](): Iterator<Batch> {
    const { batches, dataset } = this.#draw;
    if (batches === undefined) {
      let items: T[] = [];
      for (const item of dataset) {
        items.push(item);
        if (items.length === this.#batchSize) {
          yield this.#make(items);
          items = [];
        }
      }
      if (items.length > 0 && !this.#options.dropLast) yield this.#make(items);
    } else if (this.#collate === undefined && batchesAtOnce(dataset)) {
      for (const indices of batches) yield dataset.getBatch(indices) as Batch;
    } else {
      for (const indices of batches) yield this.#make(Array.from(indices, (index) => dataset.get(index)));
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Batch> {
    const turns = new EventLoopTurns();
    const { batches, dataset } = this.#draw;
    if (batches === undefined) {
      let items: T[] = [];
      for await (const item of dataset as AsyncIterable<T> | Iterable<T>) {
        items.push(item);
        if (items.length === this.#batchSize) {
          await turns.give();
          yield this.#make(items);
          items = [];
        }
      }
      if (items.length > 0 && !this.#options.dropLast) yield this.#make(items);
    } else if (this.#collate === undefined && batchesAtOnce(dataset)) {
      for (const indices of batches) {
        await turns.give();
        yield dataset.getBatch(indices) as Batch;
      }
    } else {
      for (const indices of batches) {
        await turns.give();
        yield this.#make((await Promise.all(Array.from(indices, (index) => dataset.get(index)))) as T[]);
      }
    }
  }

  get #batchSize(): number {
    return this.#options.batchSize ?? 1;
  }

  #make(items: readonly T[]): Batch {
    return this.#collate === undefined ? (defaultCollate(items, this.#options) as Batch) : this.#collate(items);
  }
}

/** Where items come from: by lists of indices, or as they come. */
type Draw<T> =
  | { batches: Iterable<ArrayLike<number>> & Sized; dataset: Dataset<T> }
  | { batches: undefined; dataset: IterableDataset<T> };

function plan<T, Batch>(dataset: Dataset<T> | IterableDataset<T>, options: DataLoaderOptions<T, Batch>): Draw<T> {
  const { batchSize, shuffle, sampler, batchSampler, dropLast, generator } = options;
  const refuse = (what: string): never => {
    throw new ValueError(`DataLoader: ${what}`);
  };
  if (batchSize !== undefined) checkCount("DataLoader", "batchSize", batchSize);
  if (!(dataset instanceof Dataset)) {
    if (shuffle || sampler || batchSampler)
      refuse("an IterableDataset has its own order: shuffle, sampler and batchSampler do not apply");
    return { batches: undefined, dataset };
  }
  if (batchSampler !== undefined) {
    if (batchSize !== undefined || shuffle || sampler || dropLast)
      refuse("batchSampler excludes batchSize, shuffle, sampler and dropLast");
    return { batches: batchSampler, dataset };
  }
  if (sampler !== undefined && shuffle) refuse("sampler excludes shuffle");
  const order = sampler ?? (shuffle ? new RandomSampler(dataset, { generator }) : new SequentialSampler(dataset));
  return { batches: new BatchSampler(order, batchSize ?? 1, dropLast ?? false), dataset };
}
