/**
 * What an engine is: memory, compilation and launch for one kind of processor. It knows kernels and bytes; tensors,
 * shapes and gradients are above it. CPU engines finish a launch before they return; queued engines may not, and say so
 * with `host: false` (their memory is read asynchronously).
 */
import type { Kernel } from "../kernel/ir.js";
import type { PreparedLaunch, Program } from "./program.js";

/** A run of device memory. Engines extend it with what they need to find it. */
export abstract class Buffer {
  /** Counts in-place writes, so that autograd can tell that a saved value was changed. */
  version = 0;
  /** Some `.grad` owns it: another may not take it without a copy. */
  claimed = false;
  /** Nobody outside the library can hold it: it may be released with the graph that saved it. */
  transient = false;
  /** Where early release returns it to. */
  engine: Engine | null = null;
  private released = false;
  constructor(readonly bytes: number) {}

  /** Returns the memory to its engine, once, however often it is asked. */
  release(): void {
    if (this.released || this.engine === null) return;
    this.released = true;
    this.engine.free(this);
  }
}

/** A compiled kernel, made and understood by one engine. */
export interface Executable {
  readonly kernel: Kernel;
}

export interface Engine {
  readonly name: "native" | "wasm" | "webgpu" | "cuda";
  /** True where `view` works: the memory is in this process and launches finish before they return. */
  readonly host: boolean;
  /**
   * Uninitialised memory. Alignment is 64 bytes. `temporary`: the library will most likely release it; the rest is the program's, and
   * nobody tells when it drops it.
   */
  alloc(bytes: number, temporary?: boolean): Buffer;
  /** Early release: the caller promises that nobody will use the buffer again. Never required for memory to be reclaimed. */
  free(buffer: Buffer): void;
  /** The bytes themselves; valid until the next call of `alloc` or `launch`. Only where `host`. */
  view(buffer: Buffer): Uint8Array;
  /** Copies some bytes without a launch, where an engine can for less. */
  copy?(from: Buffer, start: number, to: Buffer, at: number, bytes: number): void;
  compile(kernel: Kernel): Executable;
  /**
   * Runs a kernel over `units` (see LoopKernel). `offsets` are in elements, one for each buffer; `params` is what follows the
   * addresses in the argument block, of which `count` numbers count. `work` is the number of elements of the index
   * space, for the engine to decide how many threads pay.
   */
  launch(
    executable: Executable,
    buffers: readonly Buffer[],
    offsets: readonly number[],
    params: Float64Array,
    count: number,
    units: number,
    work: number,
  ): void;
  /** A good moment to look for what was dropped: gradients have been computed, and what led to them is needed no more. */
  backwardEnded?(): void;
  /** Launches made ready to run many times, where the engine can do better than launch by launch. */
  prepare?(launches: readonly PreparedLaunch[]): Program;
  threads: number;
  /** Whether kernels take denormal numbers for zero; gives false, and changes nothing, where the engine has no such mode. */
  setFlushDenormal(on: boolean): boolean;
}
