/** The native CPU engine: kernels as C, compiled by the system's compiler, called through koffi on a small thread pool. */
import * as os from "node:os";
import { CompileError, DeviceError } from "../../errors.js";
import { renderConvolution } from "../../kernel/c/convolution.js";
import { renderLoop } from "../../kernel/c/loop.js";
import { renderMatmul, type Tiling, tilingFor } from "../../kernel/c/matmul.js";
import { bytesOf, type Kernel, topological } from "../../kernel/ir.js";
import type { Buffer, Engine, Executable } from "../engine.js";
import { Compiler, detectProcessor } from "./compiler.js";
import { launchConvolution } from "./convolution.js";
import { loadKoffi, type NativeLibrary } from "./koffi.js";
import type { Launcher } from "./launcher.js";
import { launchMatmul } from "./matmul.js";
import { type NativeBuffer, NativeMemory } from "./memory.js";
import { runtimeSource } from "./runtime-source.js";

export interface NativeExecutable extends Executable {
  readonly id: number;
  /** Bytes of one element of each operand of a loop. */
  readonly itemBytes: readonly number[];
  /** What one element of the index space costs, roughly in scalar operations. */
  readonly cost: number;
}

function loadRuntime(compiler: Compiler): NativeLibrary {
  const koffi = loadKoffi();
  const { file } = compiler.library(runtimeSource, []);
  try {
    return koffi.load(file);
  } catch (cause) {
    throw new CompileError(`compile: what ${compiler.executable} made does not load: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Operations of an element, and for each operand what moving a number from memory is worth in operations. */
function costOf(kernel: Kernel): number {
  if (kernel.kind !== "loop") return 1;
  return topological(kernel.stores.map((s) => s.value)).length + 8 * kernel.operands.length;
}

export type CompileListener = (kernel: Kernel, milliseconds: number, source: string) => void;

/** A thread is given at least so much work at a time (see costOf): some microseconds. */
const threadWork = 1 << 18;
/** Multiplications of a product from which on it is shared: two microseconds for each thread. */
const productWork = 3 << 17;
const argumentCount = 4096;

export class NativeEngine implements Engine {
  readonly name = "native";
  readonly host = true;
  threads = Math.max(1, os.availableParallelism());

  private readonly memory: NativeMemory;
  private readonly args: Float64Array;
  private readonly argsAddress: number;
  private readonly load: (path: string) => number;
  private readonly error: () => string;
  private readonly run: (args: number, id: number, units: number, chunk: number, threads: number) => void;
  private readonly tiling: Tiling;
  private readonly launcher: Launcher;
  private scratch: NativeBuffer | null = null;

  private constructor(
    private readonly compiler: Compiler,
    private readonly onCompile: CompileListener | null,
  ) {
    const library = loadRuntime(compiler);
    this.load = library.func("int cresset_load(const char* path)") as (path: string) => number;
    this.error = library.func("const char* cresset_error()") as () => string;
    this.run = library.func(
      "void cresset_launch(double args, int id, double units, double chunk, int threads)",
    ) as NativeEngine["run"];
    const addressOf = library.func("double cresset_address(void* memory)") as (memory: ArrayBuffer) => number;
    const advise = library.func("void cresset_advise(double address, double bytes)") as (
      address: number,
      bytes: number,
    ) => void;
    this.memory = new NativeMemory(addressOf, advise);
    const block = new ArrayBuffer(argumentCount * 8);
    this.args = new Float64Array(block);
    this.argsAddress = addressOf(block);
    this.tiling = tilingFor(compiler.processor.vector);
    this.launcher = {
      args: this.args,
      vector: compiler.processor.vector,
      threadsFor: (work) => (work < productWork ? 1 : this.threads),
      scratch: (bytes) => {
        if (this.scratch === null || this.scratch.bytes < bytes) this.scratch = this.memory.alloc(bytes);
        return this.scratch.address;
      },
      run: (id, units, chunk, threads) => this.run(this.argsAddress, id, units, chunk, threads),
    };
  }

  /** Null where there is no compiler; a CompileError where there is one that does not work. */
  static create(onCompile: CompileListener | null = null): NativeEngine | null {
    const compiler = Compiler.find(detectProcessor());
    return compiler === null ? null : new NativeEngine(compiler, onCompile);
  }

  alloc(bytes: number): NativeBuffer {
    return this.memory.alloc(bytes);
  }

  free(buffer: Buffer): void {
    this.memory.release(buffer as NativeBuffer);
  }

  view(buffer: Buffer): Uint8Array {
    const b = buffer as NativeBuffer;
    return new Uint8Array(b.memory, b.offset, b.bytes);
  }

  compile(kernel: Kernel): NativeExecutable {
    const started = performance.now();
    const source =
      kernel.kind === "loop"
        ? renderLoop(kernel)
        : kernel.kind === "matmul"
          ? renderMatmul(kernel, this.tiling)
          : renderConvolution(kernel, this.tiling.vector);
    // Contraction would change the digits of element-wise results between engines; products want fused multiply-add.
    // They come unrolled already: -O3 would only take longer.
    const extra = kernel.kind === "loop" ? ["-ffp-contract=off"] : ["-ffp-contract=fast", "-O2"];
    let { file, fresh } = this.compiler.library(source, extra);
    let id = this.load(file);
    if (id < 0 && !fresh) {
      ({ file, fresh } = this.compiler.library(source, extra, true));
      id = this.load(file);
    }
    if (id < 0) throw new CompileError(`compile: ${file} does not load: ${this.error()}`);
    this.onCompile?.(kernel, performance.now() - started, source);
    const itemBytes = kernel.kind === "loop" ? kernel.operands.map((o) => bytesOf[o.type]) : [];
    return { kernel, id, itemBytes, cost: costOf(kernel) };
  }

  launch(
    executable: Executable,
    buffers: readonly Buffer[],
    offsets: readonly number[],
    params: Float64Array,
    count: number,
    units: number,
    work: number,
  ): void {
    const e = executable as NativeExecutable;
    const { kernel } = e;
    if (kernel.kind === "matmul") {
      launchMatmul(this.launcher, e.id, kernel, this.tiling, buffers, offsets, params);
      return;
    }
    if (kernel.kind === "convolution") {
      launchConvolution(this.launcher, e.id, kernel, buffers, offsets, params, units);
      return;
    }
    const { args } = this;
    const n = buffers.length;
    if (n + count > argumentCount) throw new DeviceError(`launch: ${n + count} arguments; at most ${argumentCount}`);
    for (let i = 0; i < n; i++) {
      args[i] = (buffers[i] as NativeBuffer).address + (offsets[i] as number) * (e.itemBytes[i] as number);
    }
    for (let i = 0; i < count; i++) args[n + i] = params[i] as number;
    const share = (work * e.cost) / threadWork;
    const threads = share < 2 ? 1 : this.threads;
    const chunk = threads === 1 ? units : Math.max(1, Math.ceil(units / Math.min(threads * 4, share)));
    this.run(this.argsAddress, e.id, units, chunk, threads);
  }
}
