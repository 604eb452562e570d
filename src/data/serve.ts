/**
 * A loader's worker: it holds a copy of the data set and makes the batches it is asked for. Who asks, and in which order, is
 * the business of `worker-pool.ts`.
 */
import { loaderParent } from "#workers";
import { setNumThreads } from "../device/index.js";
import { defaultGenerator } from "../tensor/index.js";
import { type CollateOptions, defaultCollate } from "./collate.js";
import { batchesAtOnce, type Dataset, type IterableDataset } from "./dataset.js";
import { pack } from "./transport.js";

/** Which of a loader's workers this is. */
export interface WorkerInfo {
  /** From 0. */
  readonly id: number;
  readonly numWorkers: number;
}

export interface ServeOptions {
  /** Called once in each worker, before the data set is made: PyTorch's `worker_init_fn`. */
  init?: (worker: WorkerInfo) => void | PromiseLike<void>;
}

/** From the loader to a worker. */
export type ToWorker =
  | { cresset: "start"; info: WorkerInfo; batch: BatchForm }
  | { cresset: "make"; wanted: Wanted }
  | { cresset: "leave" };

/** How a worker makes batches; without `collate` it gives the items. */
export interface BatchForm {
  readonly collate: boolean;
  readonly options: CollateOptions;
  readonly batchSize: number;
  readonly dropLast: boolean;
}

export interface Wanted {
  readonly number: number;
  /** Null: the next ones of a stream. */
  readonly indices: Int32Array | null;
  /** Where chance begins in this batch. */
  readonly seed: number;
}

/** From a worker to the loader. `length` is null for a stream; `end` says that a stream has none left. */
export type FromWorker =
  | { cresset: "ready"; length: number | null }
  | { cresset: "batch"; number: number; batch: unknown }
  | { cresset: "end"; number: number }
  | { cresset: "failed"; number: number | null; place: string; name: string; message: string; stack: string };

let present: WorkerInfo | null = null;

/** This worker of a `DataLoader`, or null outside one: a stream asks, to give its share only. */
export const getWorkerInfo = (): WorkerInfo | null => present;

type AnyDataset = Dataset<unknown> | IterableDataset<unknown>;

/**
 * Makes a module the script of a loader's workers. Functions cannot be sent to a thread, so the workers import the module
 * that makes the data set; in the main thread the call does nothing, so that one module serves both. In a browser it must come
 * before the module's first top-level `await`: messages that nobody listens for are lost there.
 *
 * ```ts
 * // fragment: cats.js
 * import { serveDataset } from "cresset/data";
 * import { ImageFolder } from "cresset/vision";
 *
 * export const cats = () => new ImageFolder("cats", { transform });
 * serveDataset(cats);
 *
 * // train.js
 * import { cats } from "./cats.js";
 *
 * const loader = new DataLoader(cats(), { batchSize: 32, numWorkers: 4, worker: new URL("./cats.js", import.meta.url) });
 * ```
 *
 * @param factory makes the data set, in each worker anew; it may be async
 */
export function serveDataset(factory: () => AnyDataset | PromiseLike<AnyDataset>, options: ServeOptions = {}): void {
  const parent = loaderParent();
  if (parent === null) return;
  const answer = (message: FromWorker, transfer: ArrayBufferLike[] = []): void =>
    parent.post(message, transfer as ArrayBuffer[]);
  const failed = (number: number | null, place: string, error: unknown): void => {
    const { name, message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    answer({ cresset: "failed", number, place, name, message, stack });
  };
  let maker: Promise<Maker | null> = Promise.resolve(null);
  const begin = async ({ info, batch }: Extract<ToWorker, { cresset: "start" }>): Promise<Maker | null> => {
    try {
      present = info;
      // The loader's threads are the workers themselves.
      setNumThreads(1);
      await options.init?.(info);
      const dataset = await factory();
      answer({ cresset: "ready", length: "length" in dataset ? dataset.length : null });
      return new Maker(dataset, batch);
    } catch (error) {
      failed(null, "making the data set", error);
      return null;
    }
  };
  parent.listen((data) => {
    const message = data as Partial<ToWorker> | null;
    if (message?.cresset === "start") maker = begin(message as Extract<ToWorker, { cresset: "start" }>);
    if (message?.cresset === "leave") parent.leave();
    if (message?.cresset !== "make") return;
    const { wanted } = message as Extract<ToWorker, { cresset: "make" }>;
    // One after another: what is random in a batch then follows from its seed alone.
    maker = maker.then(async (ready) => {
      if (ready === null) return null;
      try {
        const batch = await ready.make(wanted);
        const transfer: ArrayBufferLike[] = [];
        if (batch === undefined) answer({ cresset: "end", number: wanted.number });
        else answer({ cresset: "batch", number: wanted.number, batch: pack(batch, transfer) }, transfer);
      } catch (error) {
        failed(wanted.number, ready.place, error);
      }
      return ready;
    });
  });
}

/** Makes batches of a data set, and knows which item it is at. */
class Maker {
  place = "";
  readonly #dataset: AnyDataset;
  readonly #form: BatchForm;
  #stream: AsyncIterator<unknown> | Iterator<unknown> | undefined;

  constructor(dataset: AnyDataset, form: BatchForm) {
    this.#dataset = dataset;
    this.#form = form;
  }

  /** A batch, or the items of one; undefined when a stream has ended. */
  async make({ indices, seed }: Wanted): Promise<unknown> {
    defaultGenerator().manualSeed(seed);
    const dataset = this.#dataset;
    const { collate, options } = this.#form;
    let items: unknown[];
    if (indices === null) {
      items = await this.#next(dataset as IterableDataset<unknown>);
      if (items.length === 0) return undefined;
    } else {
      const known = dataset as Dataset<unknown>;
      if (collate && batchesAtOnce(known)) {
        this.place = `items ${Array.from(indices).join(", ").slice(0, 60)}`;
        return known.getBatch(indices);
      }
      items = [];
      for (const index of indices) {
        this.place = `item ${index}`;
        items.push(await known.get(index));
      }
    }
    if (!collate) return items;
    this.place = "collating";
    return defaultCollate(items, options);
  }

  async #next(dataset: IterableDataset<unknown>): Promise<unknown[]> {
    this.place = "the stream";
    this.#stream ??= dataset[Symbol.asyncIterator]?.() ?? dataset[Symbol.iterator]();
    const items: unknown[] = [];
    while (items.length < this.#form.batchSize) {
      const { done, value } = await this.#stream.next();
      if (done) return this.#form.dropLast ? [] : items;
      items.push(await value);
    }
    return items;
  }
}
