/** The native CPU engine: kernels as C, compiled by the system's compiler, called through koffi on a small thread pool. */
import * as os from "node:os";
import { CompileError, DeviceError } from "../../errors.js";
import { renderConvolution } from "../../kernel/c/convolution.js";
import { renderEpilogue } from "../../kernel/c/epilogue.js";
import { renderLoop, type Schedule, splitPhases, splitScratch, splits, streams } from "../../kernel/c/loop.js";
import { renderMatmul, type Tiling, tilingFor } from "../../kernel/c/matmul.js";
import { bytesOf, type Kernel, type LoopKernel, type MatmulKernel, topological } from "../../kernel/ir.js";
import { computesLong } from "../../kernel/stages.js";
import type { Buffer, Engine, Executable } from "../engine.js";
import type { PreparedLaunch, Program } from "../program.js";
import { Compiler, detectProcessor, type Processor } from "./compiler.js";
import { launchConvolution } from "./convolution.js";
import { loadKoffi, type NativeLibrary } from "./koffi.js";
import type { Launcher } from "./launcher.js";
import { launchMatmul } from "./matmul.js";
import { type NativeBuffer, NativeMemory } from "./memory.js";
import { NativeProgram } from "./program.js";
import { runtimeSource } from "./runtime-source.js";

export interface NativeExecutable extends Executable {
  readonly id: number;
  /** Bytes of one element of each operand of a loop. */
  readonly itemBytes: readonly number[];
  /** The address of a product's epilogue; 0 where there is none. */
  readonly epilogue: number;
  /** What one element of the index space costs, roughly in scalar operations. */
  readonly cost: number;
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
  if (kernel.kind !== "loop") return 1;
  return topological(kernel.stores.map((s) => s.value)).length / 2 + 8 * kernel.operands.length;
}

export type CompileListener = (kernel: Kernel, milliseconds: number, source: string) => void;

/** Products want fused multiply-add. Micro-kernels come unrolled already: -O3 would only take longer. */
const productFlags = ["-ffp-contract=fast", "-O2"];
/** A thread is given at least so much work at a time (see costOf): some microseconds. */
const threadWork = 1 << 18;
/** Multiplications of a product from which on it is shared: two microseconds for each thread. */
const productWork = 3 << 17;
const argumentCount = 4096;
const jobNumbers = 8;
/** Few rows as long as this are folded in parts of the second length. */
const longRow = 1 << 18;
const rowPart = 1 << 16;
const fewRows = 32;
/** Columns as long as this are folded in parts: for the threads, and because a float sum in one run would lose digits. */
const longColumn = 1024;
const leastColumnPart = 256;
/** At most so much is spent on the partial folds. */
const partialBytes = 64 << 20;

export class NativeEngine implements Engine {
  readonly name = "native";
  readonly host = true;
  threads = Math.max(1, os.availableParallelism());

  private readonly memory: NativeMemory;
  private readonly args: Float64Array;
  private readonly load: (path: string) => number;
  private readonly entry: (id: number) => number;
  private readonly error: () => string;
  /** What a launch is, beside its arguments: kernel, units, chunk, threads. A call without arguments costs a fifth. */
  private readonly job: Float64Array;
  private readonly go: () => void;
  private readonly replay: (list: number, from: number, to: number) => void;
  private readonly together: (list: number, chunks: number, threads: number) => void;
  private readonly addressOf: (memory: ArrayBuffer) => number;
  private readonly flush: (on: number) => number;
  private readonly tiling: Tiling;
  private readonly launcher: Launcher;
  /** Products, by type: those that differ in their epilogue alone are one library. */
  private readonly products = new Map<string, number>();
  private scratch: NativeBuffer | null = null;
  private partials: NativeBuffer | null = null;
  private readonly streamBytes: number;

  private constructor(
    private readonly compiler: Compiler,
    private readonly onCompile: CompileListener | null,
  ) {
    const { vectors, near, cache } = compiler.processor;
    const library = loadRuntime(compiler);
    this.load = library.func("int cresset_load(const char* path)") as (path: string) => number;
    this.entry = library.func("double cresset_entry(int id)") as (id: number) => number;
    this.error = library.func("const char* cresset_error()") as () => string;
    this.go = library.func("void cresset_go()") as () => void;
    this.replay = library.func("void cresset_replay(double list, int from, int to)") as NativeEngine["replay"];
    this.together = library.func(
      "void cresset_together(double list, double count, int threads)",
    ) as NativeEngine["together"];
    this.flush = library.func("int cresset_flush(int on)") as (on: number) => number;
    const addressOf = library.func("double cresset_address(void* memory)") as (memory: ArrayBuffer) => number;
    this.addressOf = addressOf;
    const advise = library.func("void cresset_advise(double address, double bytes)") as (
      address: number,
      bytes: number,
    ) => void;
    this.memory = new NativeMemory(addressOf, advise, scavengeBytes(cache));
    const block = new ArrayBuffer((jobNumbers + argumentCount) * 8);
    this.job = new Float64Array(block, 0, jobNumbers);
    this.args = new Float64Array(block, jobNumbers * 8);
    (library.func("void cresset_listen(double address)") as (address: number) => void)(addressOf(block));
    this.tiling = tilingFor(vectors, near);
    this.launcher = {
      args: this.args,
      vectors,
      threadsFor: (work) => (work < productWork ? 1 : this.threads),
      scratch: (bytes) => {
        if (this.scratch === null || this.scratch.bytes < bytes) this.scratch = this.memory.alloc(bytes, true);
        return this.scratch.address;
      },
      run: (id, units, chunk, threads) => this.run(id, units, chunk, threads),
    };
    // A result of a quarter of the cache, with its operands, pushes out most of it.
    this.streamBytes = cache / 4;
  }

  /**
   * Null where there is no compiler; a CompileError where there is one that does not work. `other`: what kernels are written
   * for, where that is not the processor at hand: how the schedules for others are tested.
   */
  static create(onCompile: CompileListener | null = null, other: Partial<Processor> = {}): NativeEngine | null {
    const compiler = Compiler.find({ ...detectProcessor(), ...other });
    return compiler === null ? null : new NativeEngine(compiler, onCompile);
  }

  alloc(bytes: number, temporary = false): NativeBuffer {
    return this.memory.alloc(bytes, temporary);
  }

  free(buffer: Buffer): void {
    this.memory.release(buffer as NativeBuffer);
  }

  backwardEnded(): void {
    this.memory.backwardEnded();
  }

  setFlushDenormal(on: boolean): boolean {
    return this.flush(on ? 1 : 0) === 1;
  }

  view(buffer: Buffer): Uint8Array {
    const b = buffer as NativeBuffer;
    return new Uint8Array(b.memory, b.offset, b.bytes);
  }

  copy(from: Buffer, start: number, to: Buffer, at: number, bytes: number): void {
    const [source, target] = [from as NativeBuffer, to as NativeBuffer];
    const read = new Uint8Array(source.memory, source.offset + start, bytes);
    new Uint8Array(target.memory, target.offset + at, bytes).set(read);
  }

  compile(kernel: Kernel): NativeExecutable {
    const started = performance.now();
    const sources: string[] = [];
    const made = (source: string, flags: readonly string[]): number => {
      sources.push(source);
      return this.build(source, flags);
    };
    const { vectors } = this.compiler.processor;
    let id: number;
    let epilogue = 0;
    if (kernel.kind === "loop") id = made(renderLoop(kernel, vectors), this.exactFlags(kernel));
    else if (kernel.kind === "convolution") id = made(renderConvolution(kernel, vectors), productFlags);
    else {
      id = this.products.get(kernel.type) ?? made(renderMatmul(kernel.type, this.tiling), productFlags);
      this.products.set(kernel.type, id);
      if (kernel.epilogue.length > 0) epilogue = this.entry(made(renderEpilogue(kernel), this.exactFlags(kernel)));
    }
    this.onCompile?.(kernel, performance.now() - started, sources.join("\n"));
    const loop = kernel.kind === "loop" ? kernel : null;
    const itemBytes = kernel.kind === "loop" ? kernel.operands.map((o) => bytesOf[o.type]) : [];
    return {
      kernel,
      id,
      epilogue,
      itemBytes,
      cost: costOf(kernel),
      stream: loop !== null && streams(loop) ? { id: null } : null,
      split: loop !== null && splits(loop) ? { id: null } : null,
      storedBytes: loop === null ? 0 : loop.stores.reduce((sum, s) => sum + (itemBytes[s.operand] as number), 0),
    };
  }

  /** Contraction would change the digits of element-wise results between engines. */
  private exactFlags(kernel: LoopKernel | MatmulKernel): readonly string[] {
    const [results, operands] =
      kernel.kind === "loop" ? [kernel.stores, kernel.operands.length] : [kernel.epilogue, kernel.extras.length + 1];
    const values = results.map((r) => r.value);
    const long = computesLong(values, operands);
    return ["-ffp-contract=off", ...(long ? this.compiler.widest : [])];
  }

  private build(source: string, flags: readonly string[]): number {
    let { file, fresh } = this.compiler.library(source, flags);
    let id = this.load(file);
    if (id < 0 && !fresh) {
      ({ file, fresh } = this.compiler.library(source, flags, true));
      id = this.load(file);
    }
    if (id < 0) throw new CompileError(`compile: ${file} does not load: ${this.error()}`);
    return id;
  }

  private variant(kernel: LoopKernel, variant: Variant, schedule: Schedule): number {
    if (variant.id === null) {
      const started = performance.now();
      const source = renderLoop(kernel, this.compiler.processor.vectors, schedule);
      variant.id = this.build(source, this.exactFlags(kernel));
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
    const { kernel } = e;
    if (kernel.kind === "matmul") {
      launchMatmul(this.launcher, e, kernel, this.tiling, buffers, offsets, params);
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
    if (e.split !== null && inParts(e, params, work)) {
      this.launchSplit(e, e.split, n + count, params, work);
      return;
    }
    let id = e.id;
    if (this.large(e, work) && !inPlace(e, buffers)) {
      id = this.variant(e.kernel as LoopKernel, e.stream as Variant, "stream");
    }
    this.runUnits(id, units, work * e.cost);
  }

  private run(id: number, units: number, chunk: number, threads: number): void {
    const { job } = this;
    job[0] = id;
    job[1] = units;
    job[2] = chunk;
    job[3] = threads;
    this.go();
  }

  private runUnits(id: number, units: number, cost: number): void {
    const { threads, chunk } = this.division(units, cost);
    this.run(id, units, chunk, threads);
  }

  /** Whether a result is so large that it should not pass through the cache. */
  private large(e: NativeExecutable, work: number): boolean {
    return e.stream !== null && work * e.storedBytes >= this.streamBytes;
  }

  private launchSplit(e: NativeExecutable, split: Variant, count: number, params: Float64Array, work: number): void {
    const kernel = e.kernel as LoopKernel;
    const { outer } = kernel;
    const folded = params[outer] as number;
    const outputs = work / folded;
    const down = kernel.vector === "outer";
    const { length, parts } = partsOf(down, folded);
    const bytes = splitScratch(kernel, parts, outputs);
    const id = this.variant(kernel, split, "split");
    if (this.partials === null || this.partials.bytes < bytes) this.partials = this.memory.alloc(bytes, true);
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
  }

  prepare(launches: readonly PreparedLaunch[]): Program {
    return new NativeProgram(launches, {
      addressOf: this.addressOf,
      launch: (e, buffers, offsets, params, units, work) =>
        this.launch(e, buffers, offsets, params, params.length, units, work),
      replay: this.replay,
      together: this.together,
      threads: () => this.threads,
      division: (units, cost) => this.division(units, cost),
      plain: (e, buffers, params, work) =>
        !(e.split !== null && inParts(e, params, work)) && (!this.large(e, work) || inPlace(e, buffers)),
    });
  }

  /** How many threads pay for work of such a cost, and how many units each takes at a time. */
  private division(units: number, cost: number): { threads: number; chunk: number } {
    const share = cost / threadWork;
    const threads = share < 2 ? 1 : this.threads;
    return { threads, chunk: threads === 1 ? units : Math.max(1, Math.ceil(units / Math.min(threads * 4, share))) };
  }
}

/** How a long fold is cut. */
function partsOf(down: boolean, folded: number): { length: number; parts: number } {
  const length = down ? Math.max(leastColumnPart, Math.ceil(Math.sqrt(folded))) : rowPart;
  return { length, parts: Math.ceil(folded / length) };
}

/** Whether a fold runs in parts: its sizes decide, threads play no role. */
function inParts(e: NativeExecutable, params: Float64Array, work: number): boolean {
  const kernel = e.kernel as LoopKernel;
  const folded = params[kernel.outer] as number;
  const outputs = work / folded;
  const down = kernel.vector === "outer";
  if (down ? folded < longColumn : folded < longRow || outputs >= fewRows) return false;
  return splitScratch(kernel, partsOf(down, folded).parts, outputs) <= partialBytes;
}

/** What is allocated between two looks for dropped tensors: a part of the cache, which other programs share. */
const scavengeBytes = (cache: number): number => Math.min(16 << 20, Math.max(2 << 20, cache / 4));

/** Whether a result lies where an operand does: then its cache lines are there already. Null: not known yet where. */
function inPlace(e: NativeExecutable, buffers: readonly (Buffer | null)[]): boolean {
  const { stores } = e.kernel as LoopKernel;
  return stores.some((s) => {
    const address = (buffers[s.operand] as NativeBuffer | null)?.address;
    if (address === undefined) return false;
    return buffers.some((b, i) => i !== s.operand && (b as NativeBuffer | null)?.address === address);
  });
}
