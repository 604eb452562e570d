/**
 * `cresset info`: what cresset has found on this machine. It starts both engines, so what it says works.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join } from "node:path";
import pc from "picocolors";
import { userDataFolder } from "#files";
import { Compiler, cacheFolder, detectProcessor } from "../device/native/compiler.js";
import { cpuEngineName, cuda, getNumThreads, setCpuEngine, tensor } from "../index.js";
import { probeRelaxed } from "../kernel/wasm/features.js";
import { bytes, count, print, printJson, result } from "./output.js";

export interface InfoOptions {
  json?: boolean;
  version: string;
}

interface Engine {
  readonly works: boolean;
  /** How it is built, or why it does not work. */
  readonly detail: string;
}

export function info({ json, version }: InfoOptions): void {
  printJson(json);
  const chosen = cpuEngineName();
  const threads = getNumThreads();
  const processor = detectProcessor();
  const native = tried("native", () => {
    const compiler = Compiler.find(processor);
    return `C by ${compiler?.executable}, vectors of ${8 * processor.vectors.bytes} bits`;
  });
  const relaxed = WebAssembly.validate(probeRelaxed());
  const wasm = tried("wasm", () => `128-bit SIMD${relaxed ? ", fused multiply-add" : ""}`);
  setCpuEngine(chosen);
  const folders = { kernels: cacheFolder(), data: userDataFolder() };
  const facts = {
    cresset: version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processor: cpus()[0]?.model.trim() || "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    engine: chosen,
    threads,
    engines: { native, wasm },
    devices: ["cpu", ...Array.from({ length: cuda.deviceCount() }, (_, i) => `cuda:${i}`)],
    cache: { folder: folders.kernels, ...measure(folders.kernels, [folders.data]) },
    data: { folder: folders.data, ...measure(folders.data, []) },
  };
  result(facts);
  if (json) return;
  const lines: [string, string][] = [
    ["cresset", `${version}, Node ${process.version}, ${facts.platform}`],
    ["processor", `${facts.processor}, ${facts.cores} cores, ${bytes(facts.memoryBytes)}`],
    ["engine", `${pc.bold(chosen)}, ${threads} ${threads === 1 ? "thread" : "threads"}`],
    ["  native", engineText(native)],
    ["  wasm", engineText(wasm)],
    ["devices", `${facts.devices.join(", ")}${cuda.isAvailable() ? "" : pc.dim(" (no CUDA, no WebGPU)")}`],
    ["kernels", `${bytes(facts.cache.bytes)} in ${count(facts.cache.files)} files, ${facts.cache.folder}`],
    ["data", `${bytes(facts.data.bytes)} in ${count(facts.data.files)} files, ${facts.data.folder}`],
  ];
  for (const [what, text] of lines) print(`${pc.cyan(what.padEnd(10))} ${text}`);
}

/** Whether an engine adds one and one. */
function tried(name: "native" | "wasm", detail: () => string): Engine {
  try {
    setCpuEngine(name);
    if (tensor([1]).add(1).item() !== 2) throw new Error("one and one is not two");
    return { works: true, detail: detail() };
  } catch (error) {
    return { works: false, detail: error instanceof Error ? (error.message.split("\n")[0] as string) : String(error) };
  }
}

const engineText = ({ works, detail }: Engine): string => (works ? detail : `${pc.yellow("not here:")} ${detail}`);

/** Files and bytes below a folder, without those of other folders in it. */
function measure(folder: string, without: readonly string[]): { files: number; bytes: number } {
  const sum = { files: 0, bytes: 0 };
  if (!existsSync(folder)) return sum;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (without.includes(path)) continue;
    if (entry.isDirectory()) {
      const inside = measure(path, without);
      sum.files += inside.files;
      sum.bytes += inside.bytes;
    } else {
      sum.files += 1;
      sum.bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    }
  }
  return sum;
}
