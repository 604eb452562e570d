/**
 * The WebAssembly engine: compiles kernels to WebAssembly in this process and runs them, on this thread or on several. It is what
 * a browser uses, and Node where there is no C compiler; it imports nothing that only one of them has. Memory is `heap.ts`'s
 * business, code that of `kernel/wasm/`, threads that of `pool.ts`.
 */
import { CompileError, DeviceError } from "../../errors.js";
import { bytesOf, type ConvolutionKernel, type Kernel, type MatmulKernel, topological } from "../../kernel/ir.js";
import { isSerial } from "../../kernel/stages.js";
import { renderConvolution } from "../../kernel/wasm/convolution.js";
import { type Features, probeRelaxed } from "../../kernel/wasm/features.js";
import { renderLoop } from "../../kernel/wasm/loop.js";
import { matmulScratch, matmulTasks, renderMatmul } from "../../kernel/wasm/matmul.js";
import type { Buffer, Engine, Executable } from "../engine.js";
import { planConvolution } from "./convolution.js";
import { type Collector, Heap, WasmBuffer } from "./heap.js";
import { Pool, poolBytes, type Run, type WorkerHost } from "./pool.js";

/** The argument block of a launch: this many float64 numbers, after the words of the threads. */
const ARGUMENTS = 4096;
const ARGUMENTS_AT = poolBytes;
const FIRST = ARGUMENTS_AT / 8;

/** A thread is given at least so much work at a time (see costOf): some microseconds. */
const THREAD_WORK = 1 << 18;
/** Chunks of a map start at multiples of so many elements: threads write no cache line together. */
const CHUNK_ELEMENTS = 64;

export interface WasmEngineOptions {
  /** Bytes in use before idle buffers are spilled out of linear memory (see `heap.ts`). */
  readonly softLimit?: number;
  /** Bytes that linear memory may grow to. */
  readonly maximum?: number;
  /** Fused multiply-add where the host has it (true by default). Off, results are the same on every host. */
  readonly relaxed?: boolean;
  /** How workers are started, where the host allows memory to be shared with them. Without it there is one thread. */
  readonly workers?: WorkerHost | null;
  /** A host's way to find dropped buffers without a turn of the event loop, asked for at the first need. */
  readonly collector?: () => Collector | null;
  /** Called for each kernel compiled, with the time it took. There is no source text: the bytes are written directly. */
  readonly onCompile?: (kernel: Kernel, milliseconds: number, source?: string) => void;
}

class WasmExecutable implements Executable {
  /** Where other threads find the code; 0 until a launch needs them. */
  codeAt = 0;
  constructor(
    readonly kernel: Kernel,
    readonly run: Run,
    /** Its number among the engine's kernels. */
    readonly id: number,
    readonly code: Uint8Array<ArrayBuffer>,
    /** Bytes of an element, by operand. */
    readonly sizes: readonly number[],
    /** What one element of the index space costs, roughly in scalar operations; 0 for a kernel that only one thread may run. */
    readonly cost: number,
    readonly matmul: MatmulKernel | null,
  ) {}
}

/** Operations of an element, and for each operand what moving a number from memory is worth in operations. */
function costOf(kernel: Kernel): number {
  if (kernel.kind !== "loop") return 1;
  if (isSerial(kernel)) return 0;
  return topological(kernel.stores.map((s) => s.value)).length + 8 * kernel.operands.length;
}

/** Bytes of an element of each operand. */
function sizesOf(kernel: Kernel): number[] {
  if (kernel.kind === "loop") return kernel.operands.map((o) => bytesOf[o.type]);
  const size = bytesOf[kernel.type];
  return kernel.kind === "matmul" ? [size, size, size, ...kernel.extras.map(() => size)] : [size, size, size, 4, size];
}

let relaxed: boolean | null = null;

/** Whether this host has relaxed SIMD's fused multiply-add. */
export function hasRelaxedSimd(): boolean {
  relaxed ??= WebAssembly.validate(probeRelaxed());
  return relaxed;
}

export class WasmEngine implements Engine {
  readonly name = "wasm";
  readonly host = true;
  readonly heap: Heap;
  private wanted: number;
  private compiled = 0;
  private scratch: WasmBuffer | null = null;
  private readonly pool: Pool | null;
  private readonly features: Features;

  constructor(private readonly options: WasmEngineOptions = {}) {
    const { softLimit, maximum, collector, workers = null } = options;
    const shared = workers !== null;
    this.features = { relaxed: (options.relaxed ?? true) && hasRelaxedSimd(), shared };
    this.heap = new Heap({ softLimit, maximum, reserved: ARGUMENTS_AT + 8 * ARGUMENTS, shared, collector });
    this.pool = workers === null ? null : new Pool(this.heap.memory, workers);
    this.wanted = workers?.threads ?? 1;
  }

  /** Threads that a launch may use: one where the host allows no more. */
  get threads(): number {
    return this.pool?.most(this.wanted) ?? 1;
  }
  set threads(count: number) {
    this.wanted = count;
  }

  /** Workers that were started so far (none before a launch pays for one), and the chunks of work that they did. */
  get workers(): { readonly started: number; readonly helped: number } {
    return { started: this.pool?.started ?? 0, helped: this.pool?.helped ?? 0 };
  }

  alloc(bytes: number): Buffer {
    return this.heap.alloc(bytes);
  }

  free(buffer: Buffer): void {
    this.heap.free(this.own(buffer));
  }

  /** WebAssembly always computes with denormal numbers. */
  setFlushDenormal(): boolean {
    return false;
  }

  view(buffer: Buffer): Uint8Array {
    return this.heap.view(this.own(buffer));
  }

  compile(kernel: Kernel): Executable {
    const start = performance.now();
    let run: Run;
    let code: Uint8Array<ArrayBuffer>;
    try {
      code =
        kernel.kind === "loop"
          ? renderLoop(kernel, this.features)
          : kernel.kind === "matmul"
            ? renderMatmul(kernel, this.features)
            : renderConvolution(kernel, this.features);
      const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory: this.heap.memory } });
      run = instance.exports.run as Run;
    } catch (cause) {
      throw new CompileError(`wasm: kernel ${kernel.name} did not compile: ${String(cause)}`, { cause });
    }
    this.options.onCompile?.(kernel, performance.now() - start);
    const matmul = kernel.kind === "matmul" ? kernel : null;
    const sizes = sizesOf(kernel);
    return new WasmExecutable(kernel, run, this.compiled++, code, sizes, costOf(kernel), matmul);
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
    const e = executable as WasmExecutable;
    if (e.matmul !== null) {
      this.launchMatmul(e, e.matmul, buffers, offsets, params, count);
      return;
    }
    const { kernel } = e;
    if (kernel.kind === "convolution") {
      this.launchConvolution(e, kernel, buffers, offsets, params, units);
      return;
    }
    const n = buffers.length;
    this.resolve(e, buffers, offsets, n + count);
    const { f64 } = this.heap;
    for (let i = 0; i < count; i++) f64[FIRST + n + i] = params[i];
    const share = (work * e.cost) / THREAD_WORK;
    const threads = share < 2 ? 1 : Math.min(this.threads, Math.floor(share));
    if (threads === 1) {
      e.run(ARGUMENTS_AT, 0, units, 0);
      return;
    }
    const grain = kernel.kind === "loop" && kernel.vector === "outer" && kernel.outer === 1 ? CHUNK_ELEMENTS : 1;
    const chunk = Math.ceil(units / Math.min(4 * threads, share) / grain) * grain;
    this.run(e, units, chunk, threads, 0, 0);
  }

  private launchMatmul(
    e: WasmExecutable,
    { type }: MatmulKernel,
    buffers: readonly Buffer[],
    offsets: readonly number[],
    params: Float64Array,
    count: number,
  ): void {
    const { heap } = this;
    const [batch, M, N, K] = params as unknown as [number, number, number, number];
    const most = Math.floor((batch * M * N * K) / (2 * THREAD_WORK));
    const threads = most < 2 ? 1 : Math.min(this.threads, most);
    const step = Math.ceil(matmulScratch(type, N, K) / 64) * 64;
    this.reserveScratch(threads * step);
    const n = buffers.length;
    this.resolve(e, buffers, offsets, n + count + 2);
    const scratch = heap.address(this.scratch as WasmBuffer);
    const tasks = matmulTasks(type, this.features.relaxed, batch, M, N, threads);
    const { f64 } = heap;
    const at = FIRST + n;
    for (let i = 0; i < count; i++) f64[at + i] = params[i];
    f64[at + count] = tasks.rows;
    f64[at + count + 1] = tasks.columns;
    this.run(e, tasks.units, Math.max(1, Math.floor(tasks.units / (8 * threads))), threads, scratch, step);
  }

  /** Buffers: X, W, Y, taps and, with a bias, bias. */
  private launchConvolution(
    e: WasmExecutable,
    kernel: ConvolutionKernel,
    buffers: readonly Buffer[],
    offsets: readonly number[],
    params: Float64Array,
    count: number,
  ): void {
    const { heap } = this;
    const { units, scratch, work, blocks } = planConvolution(kernel, params, count, this.features.relaxed);
    const most = Math.floor(work / (2 * THREAD_WORK));
    const threads = most < 2 ? 1 : Math.min(this.threads, most, units);
    const step = Math.ceil(scratch / 64) * 64;
    this.reserveScratch(threads * step);
    const memory = this.scratch as WasmBuffer;
    heap.pin();
    for (const b of [...buffers, memory]) heap.touch(b as WasmBuffer);
    const address = (i: number): number =>
      i < buffers.length ? heap.address(buffers[i] as WasmBuffer) + (offsets[i] as number) * (e.sizes[i] as number) : 0;
    const addresses = [0, 1, 2, 4, 3].map(address);
    heap.f64.set([...addresses, 0, ...params, ...blocks], FIRST);
    // Each call packs the weights anew: one for each thread.
    this.run(e, units, Math.ceil(units / threads), threads, heap.address(memory), step);
  }

  /** Runs the units with the arguments that were written, on at most so many threads. */
  private run(e: WasmExecutable, units: number, chunk: number, threads: number, scratch: number, step: number): void {
    const { pool } = this;
    if (pool === null || threads === 1 || units <= chunk) {
      e.run(ARGUMENTS_AT, 0, units, scratch);
      return;
    }
    if (e.codeAt === 0) {
      e.codeAt = this.heap.keep(e.code.length);
      this.heap.u8.set(e.code, e.codeAt);
    }
    const job = { run: e.run, kernel: e.id, codeAt: e.codeAt, codeLength: e.code.length };
    pool.launch(job, ARGUMENTS_AT, units, chunk, threads, scratch, step);
  }

  /** Writes the operands' addresses into the argument block, after loading what was spilled. */
  private resolve(e: WasmExecutable, buffers: readonly Buffer[], offsets: readonly number[], length: number): void {
    const { heap } = this;
    const n = buffers.length;
    if (length > ARGUMENTS) {
      throw new DeviceError(`wasm: kernel ${e.kernel.name} has ${length} arguments; at most ${ARGUMENTS} fit`);
    }
    heap.pin();
    let resident = true;
    for (let i = 0; i < n; i++) resident = heap.touch(buffers[i] as WasmBuffer) && resident;
    // loading a spilled buffer may move nothing that is resident, but it may replace `heap.f64`
    if (!resident) for (let i = 0; i < n; i++) heap.address(buffers[i] as WasmBuffer);
    const { f64 } = heap;
    for (let i = 0; i < n; i++) f64[FIRST + i] = (buffers[i] as WasmBuffer).cell.address + offsets[i] * e.sizes[i];
  }

  /** Working memory for products, kept from one to the next. */
  private reserveScratch(bytes: number): void {
    if (this.scratch !== null && this.scratch.bytes >= bytes) return;
    if (this.scratch !== null) this.heap.free(this.scratch);
    this.scratch = this.heap.alloc(bytes);
  }

  private own(buffer: Buffer): WasmBuffer {
    if (!(buffer instanceof WasmBuffer) || buffer.heap !== this.heap) {
      throw new DeviceError("wasm: the buffer belongs to another engine");
    }
    return buffer;
  }
}
