/** The native CPU engine: kernels as C, compiled by the system's compiler, called through koffi on a small thread pool. */
import * as os from "node:os";
import { CompileError, DeviceError } from "../../errors.js";
import { renderLoop } from "../../kernel/c/loop.js";
import { matmulArguments, renderMatmul, sliverColumns, type Tiling, tilingFor } from "../../kernel/c/matmul.js";
import { bytesOf, type Kernel, type MatmulKernel } from "../../kernel/ir.js";
import type { Buffer, Engine, Executable } from "../engine.js";
import { Compiler, detectProcessor } from "./compiler.js";
import { loadKoffi } from "./koffi.js";
import { type NativeBuffer, NativeMemory } from "./memory.js";
import { runtimeSource } from "./runtime-source.js";

export interface NativeExecutable extends Executable {
  readonly id: number;
  /** Bytes of one element of each operand. */
  readonly itemBytes: readonly number[];
  /** Units handed to a thread at a time are at least so many scalar operations. */
  readonly matmul: MatmulKernel | null;
}

export type CompileListener = (kernel: Kernel, milliseconds: number, source: string) => void;

/** Fewer scalar operations than this are not worth waking a second thread for. */
const threadWork = 1 << 16;
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
  private scratch: NativeBuffer | null = null;

  private constructor(
    private readonly compiler: Compiler,
    private readonly onCompile: CompileListener | null,
  ) {
    const { file } = compiler.library(runtimeSource, []);
    const library = loadKoffi().load(file);
    this.load = library.func("int cresset_load(const char* path)") as (path: string) => number;
    this.error = library.func("const char* cresset_error()") as () => string;
    this.run = library.func(
      "void cresset_launch(double args, int id, double units, double chunk, int threads)",
    ) as NativeEngine["run"];
    const addressOf = library.func("double cresset_address(void* memory)") as (memory: ArrayBuffer) => number;
    this.memory = new NativeMemory(addressOf);
    const block = new ArrayBuffer(argumentCount * 8);
    this.args = new Float64Array(block);
    this.argsAddress = addressOf(block);
    this.tiling = tilingFor(compiler.processor.vector);
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
    const source = kernel.kind === "loop" ? renderLoop(kernel) : renderMatmul(kernel, this.tiling);
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
    const itemBytes =
      kernel.kind === "loop"
        ? kernel.operands.map((o) => bytesOf[o.type])
        : Array.from({ length: 4 }, () => bytesOf[kernel.type]);
    return { kernel, id, itemBytes, matmul: kernel.kind === "matmul" ? kernel : null };
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
    if (e.matmul !== null) {
      this.launchMatmul(e, e.matmul, buffers, offsets, params, count);
      return;
    }
    const { args } = this;
    const n = buffers.length;
    if (n + count > argumentCount) throw new DeviceError(`launch: ${n + count} arguments; at most ${argumentCount}`);
    for (let i = 0; i < n; i++) {
      args[i] = (buffers[i] as NativeBuffer).address + (offsets[i] as number) * (e.itemBytes[i] as number);
    }
    for (let i = 0; i < count; i++) args[n + i] = params[i] as number;
    const threads = work < threadWork * 2 ? 1 : this.threads;
    const chunk = threads === 1 ? units : Math.max(1, Math.ceil(units / (threads * 4)), Math.ceil((units * threadWork) / work));
    this.run(this.argsAddress, e.id, units, chunk, threads);
  }

  private launchMatmul(
    e: NativeExecutable,
    kernel: MatmulKernel,
    buffers: readonly Buffer[],
    offsets: readonly number[],
    params: Float64Array,
    count: number,
  ): void {
    const { args, tiling } = this;
    const bytes = bytesOf[kernel.type];
    for (let i = 0; i < 4; i++) {
      const b = buffers[i] as NativeBuffer | undefined;
      args[i] = b === undefined ? 0 : b.address + (offsets[i] as number) * bytes;
    }
    for (let i = 0; i < count; i++) args[5 + i] = params[i] as number;
    const [batch, M, N, K] = params as unknown as [number, number, number, number];
    const NR = sliverColumns(tiling, bytes);
    const slivers = Math.ceil(N / NR);
    const needed = (batch * K * slivers * NR + NR) * bytes;
    if (this.scratch === null || this.scratch.bytes < needed) this.scratch = this.memory.alloc(needed);
    args[4] = this.scratch.address;
    const work = batch * M * N * K;
    const threads = work < threadWork * 8 ? 1 : this.threads;
    const [blockM, blockN] = this.blocks(M, N, batch, slivers, NR, threads);
    args[matmulArguments.indexOf("block_m")] = blockM;
    args[matmulArguments.indexOf("block_n")] = blockN;
    const packUnits = batch * slivers * Math.ceil(K / tiling.depth);
    if (packUnits > 0) {
      this.run(this.argsAddress, e.id + 1, packUnits, Math.ceil(packUnits / (threads * 2)), batch * K * N < threadWork ? 1 : threads);
    }
    const units = batch * Math.ceil(M / blockM) * Math.ceil(N / blockN);
    this.run(this.argsAddress, e.id, units, Math.max(1, Math.floor(units / (threads * 8))), threads);
  }

  /** Task sizes: whole row blocks where there are many, else the split of rows or columns that balances best. */
  private blocks(M: number, N: number, batch: number, slivers: number, NR: number, threads: number): [number, number] {
    const { rows, blockRows } = this.tiling;
    const full = Math.ceil(M / blockRows);
    if (threads === 1) return [M, N];
    if (batch >= threads * 4) return [M, N];
    if (full * batch >= threads * 4) return [blockRows, N];
    const rowTiles = Math.ceil(M / rows);
    const share = (tiles: number): number => Math.ceil(tiles / threads) / tiles;
    if (share(rowTiles) <= share(slivers)) return [Math.ceil(rowTiles / threads) * rows, N];
    return [M, Math.ceil(slivers / threads) * NR];
  }
}
