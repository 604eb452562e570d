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

/** The nodes of `roots`, arguments first, that are evaluated where the roots are: what a fold folds is not. */
export function below(roots: readonly Expr[]): Set<Expr> {
  const found = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (found.has(e)) return;
    if (e.op !== "reduce") for (const a of e.args) visit(a);
    found.add(e);
  };
  for (const r of roots) visit(r);
  return found;
}

/**
 * Where loading is all the work, a fold reads several blocks of this many elements side by side: a core that reads one stream
 * waits for its third-level cache, and with four it gets twice as much from there.
 */
export const foldBlock = 4096;
/** Expressions of more nodes than this are more work than loading what they are made of. */
const cheapNodes = 6;

/** Whether what is folded is little more than loads of numbers that lie side by side. */
export function loadsAlone({ operands }: LoopKernel, folded: readonly Expr[]): boolean {
  const nodes = [...below(folded)];
  return (
    nodes.length <= cheapNodes &&
    nodes.some((e) => e.op === "load" && operands[e.slot]?.step === "unit") &&
    nodes.every((e) => e.op !== "gather" && (e.op !== "load" || operands[e.slot]?.step !== "strided"))
  );
}

export const isFloatSum = (e: Expr): boolean => e.fold === "sum" && (e.type === "f32" || e.type === "f64");

/** Expressions of a row's elements and earlier folds that are more work than this leave no registers for more sums. */
const laborious = 8;

/**
 * Whether a float sum should not wait for its additions, as it does where little else is done: it gets more accumulators. What is made of
 * the row's elements alone does not count, since maps may join it there, and a sum keeps its digits.
 */
export function isHurriedSum(e: Expr): boolean {
  const folded = new Map<Expr, boolean>();
  for (const x of below(e.args)) folded.set(x, x.op === "reduce" || x.args.some((a) => folded.get(a)));
  return isFloatSum(e) && [...folded.values()].filter(Boolean).length <= laborious;
}

/** Kernels of at least so many expressions an operand, as one with an exponential, compute longer than they load and store. */
const laboriousKernel = 10;

/**
 * Whether a kernel should use the widest vectors, where a processor has some that cost it speed elsewhere. Vectors are as many sums as
 * they have lanes, so for kernels with sums that is for their sums to say: as above, maps that join them do not count.
 */
export function computesLong(values: readonly Expr[], operands: number): boolean {
  const nodes = topological(values);
  const sums = nodes.filter((e) => e.fold === "prod" || isFloatSum(e));
  if (sums.length > 0) return !sums.every(isHurriedSum);
  return nodes.length >= laboriousKernel * operands;
}

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
