import type { Vectors } from "../../kernel/c/micro.js";

/** What the launches of matrix products and convolutions need of the engine. */
export interface Launcher {
  /** The argument block, which `run` hands to the kernel. */
  readonly args: Float64Array;
  readonly vectors: Vectors;
  /** How many threads pay for so many multiplications. */
  threadsFor(work: number): number;
  /** The address of working memory that lasts until the next launch. */
  scratch(bytes: number): number;
  /** Runs entry `id` over `units`, `chunk` of them at a time. */
  run(id: number, units: number, chunk: number, threads: number): void;
}
