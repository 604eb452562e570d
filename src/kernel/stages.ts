/**
 * What every loop renderer must know about a kernel before it writes a line: in which stage each reduction runs, and which
 * values move with which axes (the rest is computed once, outside the loops).
 */
import type { Expr, LoopKernel } from "./ir.js";
import { topological } from "./ir.js";

export interface Stages {
  /** `reductions[s]` are the folds of stage s; each depends only on folds of earlier stages. */
  readonly reductions: readonly (readonly Expr[])[];
  /** The kernel's one scan, if it has one. */
  readonly scan: Expr | null;
}

export function stagesOf(kernel: LoopKernel): Stages {
  const depth = new Map<Expr, number>();
  const reductions: Expr[][] = [];
  let scan: Expr | null = null;
  const roots = kernel.stores.flatMap((s) => (s.at === null ? [s.value] : [s.value, s.at]));
  for (const e of topological(roots)) {
    let d = 0;
    for (const a of e.args) d = Math.max(d, depth.get(a) as number);
    if (e.op === "reduce") {
      const stage = reductions[d] ?? [];
      reductions[d] = stage;
      stage.push(e);
      d += 1;
    }
    if (e.op === "scan") scan = e;
    depth.set(e, d);
  }
  return { reductions, scan };
}

/** True for kernels whose iterations must run one after another. */
export const isSerial = (kernel: LoopKernel): boolean => kernel.stores.some((s) => s.at !== null);

/** The argument block's layout, counted in float64 numbers. */
export function layoutOf(kernel: LoopKernel): {
  axes: number;
  size: (axis: number) => number;
  stride: (operand: number, axis: number) => number;
  scalar: (slot: number) => number;
} {
  const axes = kernel.outer + kernel.inner;
  const operands = kernel.operands.length;
  return {
    axes,
    size: (axis) => operands + axis,
    stride: (operand, axis) => operands + axes + operand * axes + axis,
    scalar: (slot) => operands + axes + operands * axes + slot,
  };
}
