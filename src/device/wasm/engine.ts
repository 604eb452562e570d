/**
 * The WebAssembly engine: compiles kernels to WebAssembly in this process and runs them on this thread. It is what a browser
 * uses, and Node where there is no C compiler; it imports nothing that only one of them has. Memory is `heap.ts`'s business,
 * code that of `kernel/wasm/`.
 */
import { CompileError, DeviceError } from "../../errors.js";
import { bytesOf, type Kernel, type MatmulKernel } from "../../kernel/ir.js";
import { renderLoop } from "../../kernel/wasm/loop.js";
import { type MatmulFeatures, matmulScratch, matmulTasks, renderMatmul } from "../../kernel/wasm/matmul.js";
import { probeRelaxed } from "../../kernel/wasm/probe.js";
import type { Buffer, Engine, Executable } from "../engine.js";
import { Heap, WasmBuffer } from "./heap.js";

/** The argument block of a launch: this many float64 numbers, at this address. */
const ARGUMENTS = 4096;
const ARGUMENTS_AT = 1024;

export interface WasmEngineOptions {
  /** Bytes in use before idle buffers are spilled out of linear memory (see `heap.ts`). */
  readonly softLimit?: number;
  /** Bytes that linear memory may grow to. */
  readonly maximum?: number;
  /** Fused multiply-add where the host has it (true by default). Off, results are the same on every host. */
  readonly relaxed?: boolean;
  /** Called for each kernel compiled, with the time it took. There is no source text: the bytes are written directly. */
  readonly onCompile?: (kernel: Kernel, milliseconds: number, source?: string) => void;
}

type Run = (args: number, begin: number, end: number, scratch: number) => void;

class WasmExecutable implements Executable {
  constructor(
    readonly kernel: Kernel,
    readonly run: Run,
    /** Bytes of an element, by operand. */
    readonly sizes: readonly number[],
    readonly matmul: MatmulKernel | null,
  ) {}
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
  threads = 1;
  readonly heap: Heap;
  private scratch: WasmBuffer | null = null;
  private readonly features: MatmulFeatures;

  constructor(private readonly options: WasmEngineOptions = {}) {
    const { softLimit, maximum } = options;
    this.features = { relaxed: (options.relaxed ?? true) && hasRelaxedSimd() };
    this.heap = new Heap({ softLimit, maximum, reserved: ARGUMENTS_AT + 8 * ARGUMENTS });
  }

  alloc(bytes: number): Buffer {
    return this.heap.alloc(bytes);
  }

  free(buffer: Buffer): void {
    this.heap.free(this.own(buffer));
  }

  view(buffer: Buffer): Uint8Array {
    return this.heap.view(this.own(buffer));
  }

  compile(kernel: Kernel): Executable {
    const start = performance.now();
    let run: Run;
    try {
      const bytes = kernel.kind === "loop" ? renderLoop(kernel) : renderMatmul(kernel, this.features);
      const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory: this.heap.memory } });
      run = instance.exports.run as Run;
    } catch (cause) {
      throw new CompileError(`wasm: kernel ${kernel.name} did not compile: ${String(cause)}`, { cause });
    }
    this.options.onCompile?.(kernel, performance.now() - start);
    if (kernel.kind === "loop")
      return new WasmExecutable(
        kernel,
        run,
        kernel.operands.map((o) => bytesOf[o.type]),
        null,
      );
    const size = bytesOf[kernel.type];
    return new WasmExecutable(kernel, run, [size, size, size, size], kernel);
  }

  launch(
    executable: Executable,
    buffers: readonly Buffer[],
    offsets: readonly number[],
    params: Float64Array,
    count: number,
    units: number,
    _work: number,
  ): void {
    const { run, sizes, matmul, kernel } = executable as WasmExecutable;
    const heap = this.heap;
    const n = buffers.length;
    if (n + count + 2 > ARGUMENTS) {
      throw new DeviceError(`wasm: kernel ${kernel.name} has ${n + count} arguments; at most ${ARGUMENTS - 2} fit`);
    }
    // params of a matrix product: batch, M, N, K, strides
    const scratch = matmul === null ? null : this.scratchOf(matmulScratch(matmul.type, params[2], params[3]));
    heap.pin();
    for (let i = 0; i < n; i++) heap.touch(buffers[i] as WasmBuffer);
    if (scratch !== null) heap.touch(scratch);
    // loading a spilled buffer may move nothing that is resident, but it may replace `heap.f64`
    let at = ARGUMENTS_AT / 8;
    for (let i = 0; i < n; i++) {
      const address = heap.address(buffers[i] as WasmBuffer);
      heap.f64[at + i] = address + offsets[i] * sizes[i];
    }
    if (matmul !== null && n === 3) heap.f64[at + 3] = 0;
    at += matmul !== null ? 5 : n;
    const f64 = heap.f64;
    for (let i = 0; i < count; i++) f64[at + i] = params[i];
    let blocks = units;
    if (matmul !== null) {
      const tasks = matmulTasks(matmul.type, this.features, params[0], params[1], params[2], this.threads);
      f64[at + count] = tasks.rows;
      f64[at + count + 1] = tasks.columns;
      blocks = tasks.units;
    }
    run(ARGUMENTS_AT, 0, blocks, scratch === null ? 0 : heap.address(scratch));
  }

  /** Working memory for a launch, reused by the next. */
  private scratchOf(bytes: number): WasmBuffer {
    if (this.scratch === null || this.scratch.bytes < bytes) {
      if (this.scratch !== null) this.heap.free(this.scratch);
      this.scratch = this.heap.alloc(bytes);
    }
    return this.scratch;
  }

  private own(buffer: Buffer): WasmBuffer {
    if (!(buffer instanceof WasmBuffer) || buffer.heap !== this.heap) {
      throw new DeviceError("wasm: the buffer belongs to another engine");
    }
    return buffer;
  }
}
