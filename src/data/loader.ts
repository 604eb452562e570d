/**
 * The loop's side of data: batches, in order or shuffled, drawn from a data set, in the training thread or by workers
 * (`worker-pool.ts`). For data in memory `Dataset.getBatch` is faster than any worker; workers are for items that take time,
 * such as images to be decoded. What a batch looks like is left to `collate.ts`.
 */
import type { WorkerSource } from "#workers";
import { checkOptions, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { defaultGenerator, type Generator, randint } from "../tensor/index.js";
import { type Collated, type CollateOptions, defaultCollate } from "./collate.js";
import { batchesAtOnce, Dataset, type IterableDataset } from "./dataset.js";
import { BatchSampler, checkCount, RandomSampler, SequentialSampler, type Sized } from "./sampler.js";
import { EventLoopTurns } from "./turns.js";
import { batchSeed, WorkerPool } from "./worker-pool.js";

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
  /** How many threads make batches; 0 by default: the training thread does. Needs `worker` and `for await`. */
  numWorkers?: number;
  /**
   * The workers' script: a module that calls `serveDataset`. Where a bundler must see it, a function that starts it:
   * `() => new Worker(new URL("./cats.js", import.meta.url), { type: "module" })`.
   */
  worker?: WorkerSource | undefined;
  /** Batches that each worker makes ahead; 2 by default. */
  prefetchFactor?: number;
  /** Keep the workers from one round to the next. They do not keep the process alive. */
  persistentWorkers?: boolean;
}

/**
 * Batches of a data set, for `for … of` and `for await … of`. Each iteration is a new round.
 *
 * `for await` also takes items that are promised, and gives the event loop a turn every few milliseconds, so that a
 * page stays alive and signals arrive while a model trains.
 *
 * What is random in the making of a batch (draws from the default generator in `get`) depends on the round and on the batch
 * alone: the batches are the same for any number of workers, and the draws leave the training's own stream as it was. Items
 * that are promised in the training thread must draw before they first wait.
 *
 * Errors: ValueError for options that exclude each other; DataError for what fails in a worker, naming the item, with the
 * worker's error and its stack as the cause.
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
  #pool: WorkerPool | undefined;

  constructor(dataset: Dataset<T> | IterableDataset<T>, options: DataLoaderOptions<T, Batch> = {}) {
    checkOptions("DataLoader", options);
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
    if (this.#options.numWorkers) throw new ValueError("DataLoader: workers take time to answer: use for await");
    const { batches, dataset } = this.#draw;
    const chance = new Chance(this.#options.generator);
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
      for (const indices of batches) yield chance.with(() => dataset.getBatch(indices) as Batch);
    } else {
      for (const indices of batches) {
        yield chance.with(() => this.#make(Array.from(indices, (index) => dataset.get(index))));
      }
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Batch> {
    if (this.#options.numWorkers) {
      yield* this.#fromWorkers();
      return;
    }
    const turns = new EventLoopTurns();
    const { batches, dataset } = this.#draw;
    const chance = new Chance(this.#options.generator);
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
        yield chance.with(() => dataset.getBatch(indices) as Batch);
      }
    } else {
      for (const indices of batches) {
        await turns.give();
        const items = chance.with(() => Promise.all(Array.from(indices, (index) => dataset.get(index))));
        yield this.#make((await items) as T[]);
      }
    }
  }

  async *#fromWorkers(): AsyncGenerator<Batch> {
    const { numWorkers, worker, prefetchFactor, persistentWorkers, numberDtype, dropLast } = this.#options;
    const { batches, dataset } = this.#draw;
    const seed = roundSeed(this.#options.generator);
    const pool = this.#pool?.usable
      ? this.#pool
      : new WorkerPool({
          source: worker as WorkerSource,
          numWorkers: numWorkers as number,
          prefetchFactor: prefetchFactor ?? 2,
          form: {
            // A function cannot be sent: with one of the user's own the workers give items, and batches are made here.
            collate: this.#collate === undefined,
            options: numberDtype === undefined ? {} : { numberDtype },
            batchSize: this.#batchSize,
            dropLast: dropLast ?? false,
          },
          length: batches === undefined ? undefined : (dataset as Dataset<T>).length,
        });
    this.#pool = persistentWorkers ? pool : undefined;
    try {
      for await (const batch of pool.round(batches ?? null, seed)) {
        yield this.#collate === undefined ? (batch as Batch) : this.#make(batch as T[]);
      }
    } finally {
      if (!persistentWorkers) pool.end();
    }
  }

  get #batchSize(): number {
    return this.#options.batchSize ?? 1;
  }

  #make(items: readonly T[]): Batch {
    return this.#collate === undefined ? (defaultCollate(items, this.#options) as Batch) : this.#collate(items);
  }
}

/** A round's seed, drawn from its generator, as in PyTorch. */
const roundSeed = (generator: Generator | undefined): number => randint(2 ** 31 - 1, [1], { generator }).item();

/** The default generator, set for the batches of a round one after another, and put back after each. */
class Chance {
  readonly #seed: number;
  #number = 0;

  constructor(generator: Generator | undefined) {
    this.#seed = roundSeed(generator);
  }

  with<R>(make: () => R): R {
    const generator = defaultGenerator();
    const before = generator.getState();
    generator.manualSeed(batchSeed(this.#seed, this.#number++));
    try {
      return make();
    } finally {
      generator.setState(before);
    }
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
  const { numWorkers = 0, prefetchFactor, worker } = options;
  if (numWorkers !== 0) checkCount("DataLoader", "numWorkers", numWorkers);
  if (prefetchFactor !== undefined) checkCount("DataLoader", "prefetchFactor", prefetchFactor);
  if (numWorkers > 0 && worker === undefined)
    refuse("numWorkers needs worker, the URL of a module that calls serveDataset");
  if (!(dataset instanceof Dataset)) {
    const given = dataset as Partial<AsyncIterable<T> & Iterable<T>> | null | undefined;
    if (
      typeof (given?.[Symbol.iterator] ?? given?.[Symbol.asyncIterator]) !== "function" ||
      typeof given === "string"
    ) {
      refuseArgument("DataLoader", "dataset", dataset, "a Dataset, an IterableDataset or a list");
    }
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
