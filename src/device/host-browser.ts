/** What a browser hosts: the wasm engine. Chosen by the package's `#host` import. */
import { DeviceError } from "../errors.js";
import type { Engine } from "./engine.js";
import { WasmEngine } from "./wasm/engine.js";

export type CpuEngineName = "native" | "wasm";

export const requestedCpuEngine = (): CpuEngineName | null => null;

export function createCpuEngine(name: CpuEngineName | null, _native: Engine | null, wasm: Engine | null): Engine {
  if (name === "native") throw new DeviceError("native engine: not available in a browser");
  return wasm ?? new WasmEngine({});
}
