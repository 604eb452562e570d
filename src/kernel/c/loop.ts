/**
 * Renders a loop kernel as one C function of plain loops that compilers vectorise: `#pragma omp simd` on reductions,
 * `ivdep` on maps. What every kernel has is in `nest.ts`; here its schedule is chosen. Threads are the engine's matter: the
 * function runs units `begin` to `end`.
 */
import type { LoopKernel } from "../ir.js";
import { renderColumns } from "./columns.js";
import type { Vectors } from "./micro.js";
import { LoopNest } from "./nest.js";
import { renderRows } from "./rows.js";
import { renderSplit } from "./split.js";
import { streamElements, streamFunction } from "./stream.js";

export { splitPhases, splitScratch, splits } from "./split.js";
export { streams } from "./stream.js";

/**
 * How a kernel is written out:
 * - `plain`: as the kernel language says, by rows (`rows.ts`) or by columns (`columns.ts`);
 * - `stream`: element stores bypass the cache (`stream.ts`), for kernels that `streams` allows;
 * - `split`: the folded axis is cut into parts that run apart (`split.ts`), for kernels that `splits` allows.
 */
export type Schedule = "plain" | "stream" | "split";

export function renderLoop(kernel: LoopKernel, vectors: Vectors, schedule: Schedule = "plain"): string {
  const nest = new LoopNest(kernel, vectors);
  if (schedule === "split") renderSplit(nest);
  else if (schedule === "stream") {
    nest.declare(streamFunction);
    renderColumns(nest, (range) => streamElements(nest, range));
    nest.line("stream_end();");
  } else if (kernel.vector === "inner") renderRows(nest);
  else renderColumns(nest, (range) => nest.elements(range));
  return nest.text();
}
