/**
 * The workers of a loader, from its side: started, asked for batches ahead of need, ended. Batches come in order whatever
 * worker was faster, and what is random in batch k follows from the round's seed and k alone, so they are the same for any
 * number of workers.
 */
import { type LoaderWorker, startWorker, type WorkerSource } from "#workers";
import { DataError } from "../errors.js";
import type { BatchForm, FromWorker, ToWorker, Wanted } from "./serve.js";
import { unpack } from "./transport.js";

/** The streams of two rounds meet after so many batches. */
const batchesARound = 2 ** 21;

/** Where chance begins in batch `number` of a round; the round's seed has 31 bits, so the result is exact. */
export const batchSeed = (round: number, number: number): number => round * batchesARound + (number % batchesARound);

interface Waiting {
  resolve(batch: unknown): void;
  reject(error: Error): void;
}

export interface PoolOptions {
  readonly source: WorkerSource;
  readonly numWorkers: number;
  /** Batches asked for ahead, for each worker. */
  readonly prefetchFactor: number;
  readonly form: BatchForm;
  /** Items of the loader's own data set; undefined for a stream. */
  readonly length: number | undefined;
}

/** What a stream's worker gives when it has no more. */
const ended = Symbol("ended");

export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #workers: LoaderWorker[];
  readonly #waiting = new Map<number, Waiting & { worker: number }>();
  #failure: Error | undefined;
  /** Why a worker has ended. The batches of the others still come, so that errors do too in the order of batches. */
  readonly #lost = new Map<number, Error>();
  #number = 0;
  #busy = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    const { source, numWorkers, form } = options;
    this.#workers = [];
    try {
      for (let id = 0; id < numWorkers; id++) {
        const worker = startWorker(source);
        this.#workers.push(worker);
        worker.listen(
          (message) => this.#hear(id, message as FromWorker),
          (error) =>
            this.#lose(id, new DataError(`DataLoader: worker ${id} has ended: ${error.message}`, { cause: error })),
        );
        worker.post({ cresset: "start", info: { id, numWorkers }, batch: form } satisfies ToWorker);
      }
    } catch (error) {
      this.end();
      throw new DataError(`DataLoader: no worker could be started: ${(error as Error).message}`, { cause: error });
    }
  }

  /** True when another round may use it. */
  get usable(): boolean {
    return this.#failure === undefined && this.#lost.size === 0 && !this.#busy;
  }

  /** The batches of a round, in order; `batches` null for streams, which each worker reads for itself. */
  async *round(batches: Iterable<ArrayLike<number>> | null, seed: number): AsyncGenerator<unknown> {
    const { numWorkers, prefetchFactor } = this.#options;
    const order = batches?.[Symbol.iterator]();
    const queue: { worker: number; batch: Promise<unknown> }[] = [];
    let number = 0;
    const ask = (worker: number): boolean => {
      const next = order?.next();
      if (next?.done) return false;
      const indices = next === undefined ? null : Int32Array.from(next.value);
      queue.push({ worker, batch: this.#ask(worker, indices, batchSeed(seed, number++)) });
      return true;
    };
    this.#busy = true;
    for (const worker of this.#workers) worker.keepAlive(true);
    try {
      for (let i = 0; i < prefetchFactor * numWorkers && ask(i % numWorkers); i++);
      for (let first = queue.shift(); first !== undefined; first = queue.shift()) {
        const batch = await first.batch;
        // A stream that has ended is not asked again; what it was asked for already ends as well.
        if (batch === ended) continue;
        ask(first.worker);
        yield unpack(batch);
      }
      this.#busy = false;
      for (const worker of this.#workers) worker.keepAlive(false);
    } finally {
      // Left early: batches are on their way that nobody will take.
      if (this.#busy) this.end();
    }
  }

  end(): void {
    this.#failure ??= new DataError("DataLoader: its workers have ended");
    for (const worker of this.#workers) worker.end();
    this.#waiting.clear();
  }

  #ask(worker: number, indices: Int32Array | null, seed: number): Promise<unknown> {
    const number = this.#number++;
    const failure = this.#failure ?? this.#lost.get(worker);
    const batch = new Promise<unknown>((resolve, reject) => {
      if (failure !== undefined) reject(failure);
      else this.#waiting.set(number, { worker, resolve, reject });
    });
    // It may be asked for and never taken.
    batch.catch(() => {});
    const wanted: Wanted = { number, indices, seed };
    if (failure === undefined) this.#workers[worker]?.post({ cresset: "make", wanted } satisfies ToWorker);
    return batch;
  }

  #hear(id: number, message: FromWorker): void {
    const { length } = this.#options;
    switch (message?.cresset) {
      case "ready":
        if ((message.length ?? undefined) !== length) {
          const [theirs, ours] = [message.length, length].map((count) =>
            count == null ? "a stream" : `${count} items`,
          );
          this.#fail(new DataError(`DataLoader: worker ${id} has ${theirs}, the loader's data set ${ours}`));
        }
        break;
      case "batch":
        this.#take(message.number)?.resolve(message.batch);
        break;
      case "end":
        this.#take(message.number)?.resolve(ended);
        break;
      case "failed": {
        const cause = Object.assign(new Error(message.message), { name: message.name, stack: message.stack });
        const error = new DataError(`DataLoader: worker ${id}, ${message.place}: ${message.message}`, { cause });
        if (message.number === null) this.#fail(error);
        else this.#take(message.number)?.reject(error);
      }
    }
  }

  #take(number: number): Waiting | undefined {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    return waiting;
  }

  #lose(worker: number, error: Error): void {
    if (this.#failure !== undefined || this.#lost.has(worker)) return;
    this.#lost.set(worker, error);
    for (const [number, waiting] of this.#waiting) if (waiting.worker === worker) this.#take(number)?.reject(error);
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.end();
  }
}
