/** `#workers` in a browser: Web Workers. The types are those of `workers-node.ts`. */
import type * as node from "./workers-node.js";

export type { LoaderParent, LoaderWorker, WorkerSource } from "./workers-node.js";

export const startWorker: typeof node.startWorker = (source) => {
  const worker =
    typeof source === "function"
      ? (source() as Worker)
      : new Worker(source, { type: "module", name: "cresset loader" });
  return {
    post: (message) => worker.postMessage(message),
    listen(message, ended) {
      worker.onmessage = ({ data }: MessageEvent) => message(data);
      worker.onerror = (event) => ended(new Error(event.message || "its script did not load"));
    },
    end: () => worker.terminate(),
    keepAlive: () => {},
  };
};

/** What a worker's global object has, and a page's has not in this form. */
interface WorkerScope {
  readonly WorkerGlobalScope?: unknown;
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  close(): void;
}

export const loaderParent: typeof node.loaderParent = () => {
  const scope = globalThis as unknown as WorkerScope;
  if (scope.WorkerGlobalScope === undefined) return null;
  return {
    post: (message, transfer) => scope.postMessage(message, transfer),
    listen: (message) => scope.addEventListener("message", ({ data }) => message(data)),
    leave: () => scope.close(),
  };
};
