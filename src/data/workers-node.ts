/**
 * Threads in Node, for loaders. The package's `#workers` import picks this file in Node and `workers-browser.ts` elsewhere.
 * What is said between a loader and its workers is in `worker-pool.ts` and `serve.ts`.
 */
import { isMainThread, parentPort, Worker } from "node:worker_threads";

/** A worker, seen from the loader. */
export interface LoaderWorker {
  post(message: unknown): void;
  /** Called with each message, and once when the worker has ended or could not start. */
  listen(message: (data: unknown) => void, ended: (error: Error) => void): void;
  /** Has it end: at its next turn of the event loop, where it must not be stopped at any moment. */
  end(): void;
  /** Whether the process waits for it. */
  keepAlive(yes: boolean): void;
}

/** The loader, seen from a worker. */
export interface LoaderParent {
  post(message: unknown, transfer: ArrayBuffer[]): void;
  listen(message: (data: unknown) => void): void;
  /** Ends the worker. */
  leave(): void;
}

/** Milliseconds that a worker may take to its next turn of the event loop before it is stopped where it is. */
const patience = 10_000;

/** The script of a worker, or a function that starts it. */
export type WorkerSource = URL | string | (() => object);

export function startWorker(source: WorkerSource): LoaderWorker {
  const worker = typeof source === "function" ? (source() as Worker) : new Worker(source, { name: "cresset loader" });
  return {
    post: (message) => worker.postMessage(message),
    listen(message, ended) {
      worker.on("message", message);
      worker.on("error", ended);
      worker.on("exit", (code) => ended(new Error(`it exited with code ${code}`)));
    },
    // A thread that is stopped while it loads a native module takes the whole process with it: it is asked to leave.
    end() {
      worker.ref();
      worker.postMessage({ cresset: "leave" });
      const stop = setTimeout(() => void worker.terminate(), patience);
      stop.unref();
      worker.once("exit", () => clearTimeout(stop));
    },
    keepAlive: (yes) => void (yes ? worker.ref() : worker.unref()),
  };
}

/** Null outside a worker. */
export function loaderParent(): LoaderParent | null {
  const port = parentPort;
  if (isMainThread || port === null) return null;
  return {
    post: (message, transfer) => port.postMessage(message, transfer),
    listen: (message) => void port.on("message", message),
    leave: () => process.exit(),
  };
}
