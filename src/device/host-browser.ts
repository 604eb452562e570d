/** What a browser hosts: the wasm engine. Chosen by the package's `#host` import. */
import { DeviceError } from "../errors.js";
import type { Engine } from "./engine.js";
import { WasmEngine } from "./wasm/engine.js";
import type { WorkerHost } from "./wasm/pool.js";

export type CpuEngineName = "native" | "wasm";

export const requestedCpuEngine = (): CpuEngineName | null => null;

let said = false;

/**
 * Workers of the page, from a blob: it needs no file that a bundler would have to know of, and it has the page's own isolation.
 * Memory may be shared only where the page is isolated from other origins; elsewhere there is one thread.
 */
function workers(): WorkerHost | null {
  if (globalThis.crossOriginIsolated !== true || typeof Worker === "undefined") return null;
  return {
    threads: navigator.hardwareConcurrency,
    start(source, data, failed) {
      const refused = (): void => {
        failed();
        if (said) return;
        said = true;
        console.warn("cresset: one thread: the page's content security policy allows no workers from blob:");
      };
      const text = `${source} onmessage = ({ data }) => work(data.memory, data.me);`;
      const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      try {
        const worker = new Worker(url, { name: "cresset" });
        worker.onerror = refused;
        worker.postMessage(data);
      } catch {
        refused();
      }
    },
  };
}

export function createCpuEngine(name: CpuEngineName | null, _native: Engine | null, wasm: Engine | null): Engine {
  if (name === "native") throw new DeviceError("native engine: not available in a browser");
  return wasm ?? new WasmEngine({ workers: workers() });
}
