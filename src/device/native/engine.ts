/** The native CPU engine: kernels as C, compiled by the system's compiler, called through koffi on a small thread pool. */
import * as os from "node:os";
import { CompileError, DeviceError } from "../../errors.js";
import { renderLoop, type Schedule, splitPhases, splitScratch, splits, streams } from "../../kernel/c/loop.js";
import { matmulArguments, renderMatmul, sliverColumns, type Tiling, tilingFor } from "../../kernel/c/matmul.js";
import { bytesOf, type Kernel, type LoopKernel, type MatmulKernel, topological } from "../../kernel/ir.js";
import type { Buffer, Engine, Executable } from "../engine.js";
import { Compiler, detectProcessor } from "./compiler.js";
import { loadKoffi, type NativeLibrary } from "./koffi.js";
import { type NativeBuffer, NativeMemory } from "./memory.js";
import { runtimeSource } from "./runtime-source.js";

export interface NativeExecutable extends Executable {
  readonly id: number;
  /** Bytes of one element of each operand. */
  readonly itemBytes: readonly number[];
  /** What one element of the index space costs, roughly in scalar operations. */
  readonly cost: number;
  readonly matmul: MatmulKernel | null;
  readonly loop: LoopKernel | null;
  /** The same kernel on other schedules, compiled when a launch first wants them; null where it has no such schedule. */
  readonly stream: Variant | null;
  readonly split: Variant | null;
  /** Bytes stored for each element of the index space. */
  readonly storedBytes: number;
}
interface Variant {
  id: number | null;
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

/** Pairs of operations of an element, and for each operand what moving a number from memory is worth in operations. */
function costOf(kernel: Kernel): number {
  if (kernel.kind === "matmul") return 1;
  return topological(kernel.stores.map((s) => s.value)).length / 2 + 8 * kernel.operands.length;
}

export type CompileListener = (kernel: Kernel, milliseconds: number, source: string) => void;

/** A thread is given at least so much work at a time (see costOf): some microseconds. */
const threadWork = 1 << 18;
const argumentCount = 4096;
/** Few rows as long as this are folded in parts of the second length. */
const longRow = 1 << 18;
const rowPart = 1 << 16;
const fewRows = 32;
/** Columns as long as this are folded in parts: for the threads, and because a float sum in one run would lose digits. */
const longColumn = 1024;
const leastColumnPart = 256;
/** At most so much is spent on the partial folds. */
const partialBytes = 64 << 20;
const blockMArgument = matmulArguments.indexOf("block_m");
const blockNArgument = matmulArguments.indexOf("block_n");

export class NativeEngine implements Engine {
  readonly name = "native";
  readonly host = true;
  threads = Math.max(1, os.availableParallelism());

  private readonly memory: NativeMemory;
  private readonly args: Float64Array;
  private readonly argsAddress: number;
  private readonly load: (path: string) => number;
  private readonly error: () => string;
  private readonly flush: (on: number) => number;
  private readonly run: (args: number, id: number, units: number, chunk: number, threads: number) => void;
  private readonly tiling: Tiling;
  private scratch: NativeBuffer | null = null;
  private partials: NativeBuffer | null = null;
  private readonly streamBytes: number;

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
    this.flush = library.func("int cresset_flush(int on)") as (on: number) => number;
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
    // A result of a quarter of the cache, with its operands, pushes out most of it.
    this.streamBytes = compiler.processor.cache / 4;
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

  setFlushDenormal(on: boolean): boolean {
    return this.flush(on ? 1 : 0) === 1;
  }

  view(buffer: Buffer): Uint8Array {
    const b = buffer as NativeBuffer;
    return new Uint8Array(b.memory, b.offset, b.bytes);
  }

  compile(kernel: Kernel): NativeExecutable {
    const started = performance.now();
    const source = kernel.kind === "loop" ? renderLoop(kernel) : renderMatmul(kernel, this.tiling);
    const id = this.build(kernel, source);
    this.onCompile?.(kernel, performance.now() - started, source);
    const loop = kernel.kind === "loop" ? kernel : null;
    const itemBytes =
      kernel.kind === "loop"
        ? kernel.operands.map((o) => bytesOf[o.type])
        : Array.from({ length: 4 }, () => bytesOf[kernel.type]);
    return {
      kernel,
      id,
      itemBytes,
      cost: costOf(kernel),
      matmul: kernel.kind === "matmul" ? kernel : null,
      loop,
      stream: loop !== null && streams(loop) ? { id: null } : null,
      split: loop !== null && splits(loop) ? { id: null } : null,
      storedBytes: loop === null ? 0 : loop.stores.reduce((sum, s) => sum + (itemBytes[s.operand] as number), 0),
    };
  }

  private build(kernel: Kernel, source: string): number {
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
    return id;
  }

  private variant(kernel: LoopKernel, variant: Variant, schedule: Schedule): number {
    if (variant.id === null) {
      const started = performance.now();
      const source = renderLoop(kernel, schedule);
      variant.id = this.build(kernel, source);
      this.onCompile?.(kernel, performance.now() - started, source);
    }
    return variant.id;
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
    if (e.split !== null && this.launchSplit(e, e.split, n + count, params, work)) return;
    let id = e.id;
    if (e.stream !== null && work * e.storedBytes >= this.streamBytes && !inPlace(e, buffers)) {
      id = this.variant(e.loop as LoopKernel, e.stream, "stream");
    }
    this.runUnits(id, units, work * e.cost);
  }

  private runUnits(id: number, units: number, cost: number): void {
    const share = cost / threadWork;
    const threads = share < 2 ? 1 : this.threads;
    const chunk = threads === 1 ? units : Math.max(1, Math.ceil(units / Math.min(threads * 4, share)));
    this.run(this.argsAddress, id, units, chunk, threads);
  }

  /** Runs a fold in parts if its sizes are such; false if they are not. Threads play no role in the choice. */
  private launchSplit(e: NativeExecutable, split: Variant, count: number, params: Float64Array, work: number): boolean {
    const kernel = e.loop as LoopKernel;
    const { outer } = kernel;
    const folded = params[outer] as number;
    const outputs = work / folded;
    const down = kernel.vector === "outer";
    if (down ? folded < longColumn : folded < longRow || outputs >= fewRows) return false;
    const length = down ? Math.max(leastColumnPart, Math.ceil(Math.sqrt(folded))) : rowPart;
    const parts = Math.ceil(folded / length);
    const bytes = splitScratch(kernel, parts, outputs);
    if (bytes > partialBytes) return false;
    const id = this.variant(kernel, split, "split");
    if (this.partials === null || this.partials.bytes < bytes) this.partials = this.memory.alloc(bytes);
    const { args } = this;
    args[count] = this.partials.address;
    args[count + 2] = parts;
    args[count + 3] = length;
    args[count + 4] = outputs;
    const units = (down ? outputs / (params[outer - 1] as number) : outputs) * parts;
    const phases = splitPhases(kernel);
    const elements = kernel.stores.some((s) => s.per === "element");
    for (let phase = 0; phase < phases; phase++) {
      args[count + 1] = phase;
      if (phase % 2 === 1) this.runUnits(id, outputs, outputs * parts * 8);
      else if (phase < phases - 1 || elements) this.runUnits(id, units, work * e.cost);
      else this.runUnits(id, units, outputs * e.cost);
    }
    return true;
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
    const threads = batch * M * N * K < threadWork * 2 ? 1 : this.threads;
    const [blockM, blockN] = this.blocks(M, N, batch, slivers, NR, threads);
    args[blockMArgument] = blockM;
    args[blockNArgument] = blockN;
    const packUnits = batch * slivers * Math.ceil(K / tiling.depth);
    if (packUnits > 0) {
      this.run(
        this.argsAddress,
        e.id + 1,
        packUnits,
        Math.ceil(packUnits / (threads * 2)),
        batch * K * N < threadWork / 4 ? 1 : threads,
      );
    }
    const units = batch * Math.ceil(M / blockM) * Math.ceil(N / blockN);
    this.run(this.argsAddress, e.id, units, Math.max(1, Math.floor(units / (threads * 8))), threads);
  }

  /** Task sizes: rows or columns cut so that the threads finish together. */
  private blocks(M: number, N: number, batch: number, slivers: number, NR: number, threads: number): [number, number] {
    if (threads === 1 || batch >= threads * 4) return [M, N];
    const { rows } = this.tiling;
    const rowTiles = Math.ceil(M / rows);
    const byRows = cut(rowTiles, threads, 4);
    // Every task packs all of A's rows that it reads: columns are cut once a thread.
    const byColumns = cut(slivers, threads, 1);
    return byRows.span / rowTiles <= byColumns.span / slivers ? [byRows.size * rows, N] : [M, byColumns.size * NR];
  }
}

/** Whether a result lies where an operand does: then its cache lines are there already. */
function inPlace(e: NativeExecutable, buffers: readonly Buffer[]): boolean {
  const { stores } = e.loop as LoopKernel;
  return stores.some((s) => {
    const { address } = buffers[s.operand] as NativeBuffer;
    return buffers.some((b, i) => i !== s.operand && (b as NativeBuffer).address === address);
  });
}

/** Cuts `tiles` into at most `threads·most` tasks of equal size; `span` is what the busiest thread runs. */
function cut(tiles: number, threads: number, most: number): { size: number; span: number } {
  let best = { size: tiles, span: tiles };
  for (let each = 1; each <= most; each++) {
    const size = Math.ceil(tiles / (threads * each));
    const span = Math.ceil(Math.ceil(tiles / size) / threads) * size;
    if (span <= best.span) best = { size, span };
  }
  return best;
}
