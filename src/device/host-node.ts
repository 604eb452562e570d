/** What Node hosts: both CPU engines. Chosen by the package's `#host` import. */
import * as os from "node:os";
import { Worker } from "node:worker_threads";
import { CompileError, DeviceError, ValueError } from "../errors.js";
import type { Kernel } from "../kernel/ir.js";
import { printKernel } from "../kernel/print.js";
import { createCollector } from "./collector-node.js";
import type { Engine } from "./engine.js";
import { NativeEngine } from "./native/engine.js";
import { WasmEngine } from "./wasm/engine.js";
import type { WorkerHost } from "./wasm/pool.js";

export type CpuEngineName = "native" | "wasm";

/** The engine that the environment asks for: CRESSET_CPU=native or wasm. */
export function requestedCpuEngine(): CpuEngineName | null {
  const name = process.env["CRESSET_CPU"];
  if (!name) return null;
  if (name !== "native" && name !== "wasm") throw new ValueError(`CRESSET_CPU: '${name}' is not "native" or "wasm"`);
  return name;
}

const debugging = (process.env["CRESSET_DEBUG"] ?? "").split(",").includes("kernels");

function listener(kernel: Kernel, milliseconds: number, source?: string): void {
  process.stderr.write(`── ${kernel.name}, ${milliseconds.toFixed(1)} ms\n${printKernel(kernel)}\n${source ?? ""}\n`);
}

const say = (line: string): void => {
  if (!process.env["CRESSET_QUIET"]) process.stderr.write(`cresset: ${line}\n`);
};

let refused = false;

/** Workers of Node's own. They take nothing from this process: no flags, no loaders, no input. */
export const workers: WorkerHost = {
  threads: os.availableParallelism(),
  start(source, workerData, failed) {
    const refuse = (error: Error): void => {
      failed();
      if (!refused) say(`the wasm engine runs on one thread: a worker did not start: ${error.message}`);
      refused = true;
    };
    const text = `${source} const { memory, me } = require("node:worker_threads").workerData; work(memory, me);`;
    try {
      const worker = new Worker(text, { eval: true, workerData, execArgv: [], name: "cresset" });
      worker.on("error", refuse);
      worker.unref();
    } catch (error) {
      refuse(error as Error);
    }
  },
};

export function createCpuEngine(name: CpuEngineName | null, native: Engine | null, wasm: Engine | null): Engine {
  const onCompile = debugging ? listener : undefined;
  const makeWasm = (): Engine => wasm ?? new WasmEngine({ onCompile, workers, collector: createCollector });
  if (name === "wasm") return makeWasm();
  if (native !== null) return native;
  try {
    const engine = NativeEngine.create(onCompile ?? null);
    if (engine !== null) return engine;
    if (name === "native") throw new DeviceError("native engine: no C compiler (cc, gcc or clang) on the PATH");
    say("no C compiler (cc, gcc or clang) on the PATH: running on WebAssembly, which is slower");
  } catch (error) {
    if (name === "native" || !(error instanceof DeviceError)) throw error;
    const kind =
      error instanceof CompileError ? "the C compiler does not work here" : "the native engine does not load";
    say(`${kind}: running on WebAssembly, which is slower\n  ${error.message}`);
  }
  return makeWasm();
}
