/**
 * The WebAssembly engine: compiles kernels to WebAssembly in this process and runs them on this thread. It is what a browser
 * uses, and Node where there is no C compiler; it imports nothing that only one of them has. Memory is `heap.ts`'s business,
 * code that of `kernel/wasm/`.
 */
import { CompileError, DeviceError } from "../../errors.js";
import { bytesOf, type Kernel, type MatmulKernel } from "../../kernel/ir.js";
import { renderLoop } from "../../kernel/wasm/loop.js";
import { matmulScratch, matmulUnits, renderMatmul } from "../../kernel/wasm/matmul.js";
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

type Run = (args: number, begin: number, end: number) => void;

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

  constructor(private readonly options: WasmEngineOptions = {}) {
    const { softLimit, maximum } = options;
    this.heap = new Heap({ softLimit, maximum, reserved: ARGUMENTS_AT + 8 * ARGUMENTS });
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
    try {
      const features = { relaxed: (this.options.relaxed ?? true) && hasRelaxedSimd() };
      const bytes = kernel.kind === "loop" ? renderLoop(kernel) : renderMatmul(kernel, features);
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
    const scratch =
      matmul === null ? null : this.scratchOf(matmulScratch(matmul.type, params[1], params[2], params[3]));
    heap.pin();
    for (let i = 0; i < n; i++) heap.touch(buffers[i] as WasmBuffer);
    let blocks = units;
    let at = ARGUMENTS_AT / 8;
    if (scratch !== null) {
      blocks = matmulUnits(params[0], params[1]);
      heap.touch(scratch);
      // addresses: A, B, C, bias (0 if none), scratch
      heap.f64[at + 3] = 0;
      heap.f64[at + 4] = heap.address(scratch);
    }
    // loading a spilled buffer may move nothing that is resident, but it may replace `heap.f64`
    for (let i = 0; i < n; i++) {
      const address = heap.address(buffers[i] as WasmBuffer);
      heap.f64[at + i] = address + offsets[i] * sizes[i];
    }
    at += scratch !== null ? 5 : n;
    const f64 = heap.f64;
    for (let i = 0; i < count; i++) f64[at + i] = params[i];
    run(ARGUMENTS_AT, 0, blocks);
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
