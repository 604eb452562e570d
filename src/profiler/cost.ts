/**
 * What a launch must do at least: the bytes it moves and the floating-point operations it computes, read off its kernel and
 * its parameters. Nothing is measured here, and a kernel of a kind that is not known costs `null`.
 */
import type { Buffer } from "../device/engine.js";
import { type ConvolutionNumber, convolutionNumbers } from "../kernel/convolution.js";
import {
  bytesOf,
  type ConvolutionKernel,
  type Expr,
  type Kernel,
  type LoopKernel,
  type MatmulKernel,
  type Operand,
  topological,
} from "../kernel/ir.js";

export interface Cost {
  /** Each operand's elements once: an operand that stands still along an axis (stride 0) is read once for all of it. */
  readonly bytes: number;
  /** Additions, subtractions, multiplications, divisions and roots of floats, and one a folded element. */
  readonly flops: number;
}

/** What does not change from launch to launch of one loop kernel. */
interface Structure {
  readonly reads: readonly number[];
  readonly writes: readonly number[];
  /** Bytes that gathers and scatters move for each element and each row: where they go is known only at run time. */
  readonly scattered: PerIndex;
  readonly flops: PerIndex;
}
interface PerIndex {
  element: number;
  row: number;
}

const structures = new WeakMap<LoopKernel, Structure>();
const arithmetic: ReadonlyMap<string, number> = new Map([
  ["add", 1],
  ["sub", 1],
  ["mul", 1],
  ["div", 1],
  ["sqrt", 1],
  ["madd", 2],
]);
const isFloat = (e: Expr): boolean => e.type === "f32" || e.type === "f64";

/** How often a node's value changes: never (0), once a row (1), once an element (2). */
function levels(kernel: LoopKernel, nodes: readonly Expr[]): Map<Expr, number> {
  const level = new Map<Expr, number>();
  for (const e of nodes) {
    let l = 0;
    for (const a of e.args) l = Math.max(l, level.get(a) ?? 0);
    if (e.op === "load" || e.op === "gather") {
      const still = kernel.vector === "inner" && kernel.inner === 1 && kernel.operands[e.slot]?.step === "uniform";
      l = Math.max(l, e.op === "load" && still ? 1 : 2);
    } else if (e.op === "index") l = e.slot < kernel.outer ? 1 : 2;
    else if (e.op === "reduce") l = 1;
    else if (e.op === "scan") l = 2;
    level.set(e, l);
  }
  return level;
}

function structureOf(kernel: LoopKernel): Structure {
  const known = structures.get(kernel);
  if (known !== undefined) return known;
  const roots: Expr[] = [];
  const inside: Expr[] = [];
  for (const store of kernel.stores) {
    const mine = store.at === null ? [store.value] : [store.value, store.at];
    roots.push(...mine);
    if (store.per === "element") inside.push(...mine);
  }
  const nodes = topological(roots);
  for (const e of nodes) if (e.op === "reduce" || e.op === "scan") inside.push(...e.args);
  const perElement = new Set(topological(inside));
  const level = levels(kernel, nodes);
  const flops: PerIndex = { element: 0, row: 0 };
  const scattered: PerIndex = { element: 0, row: 0 };
  const reads = new Set<number>();
  const itemBytes = (operand: number): number => bytesOf[(kernel.operands[operand] as Operand).type];
  for (const e of nodes) {
    const where = perElement.has(e) && level.get(e) === 2 ? "element" : "row";
    if (e.op === "load") reads.add(e.slot);
    else if (e.op === "gather") scattered[where] += itemBytes(e.slot);
    else if (!isFloat(e)) continue;
    else if (e.op === "reduce" || e.op === "scan") flops.element++;
    else if (level.get(e) !== 0) flops[where] += arithmetic.get(e.op) ?? 0;
  }
  const writes: number[] = [];
  for (const store of kernel.stores) {
    if (store.at === null) writes.push(store.operand);
    else scattered[store.per] += itemBytes(store.operand) * (store.accumulate ? 2 : 1);
  }
  const made = { reads: [...reads], writes, scattered, flops };
  structures.set(kernel, made);
  return made;
}

function sameOperand(
  a: number,
  b: number,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
  axes: number,
): boolean {
  if (buffers[a] !== buffers[b] || offsets[a] !== offsets[b]) return false;
  for (let x = 0; x < axes; x++) if (params[axes * (1 + a) + x] !== params[axes * (1 + b) + x]) return false;
  return true;
}

function loopCost(
  kernel: LoopKernel,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
): Cost {
  const s = structureOf(kernel);
  const axes = kernel.outer + kernel.inner;
  let rows = 1;
  let elements = 1;
  for (let x = 0; x < axes; x++) {
    const n = params[x] as number;
    elements *= n;
    if (x < kernel.outer) rows *= n;
  }
  const bytesOfOperand = (operand: number): number => {
    let n: number = bytesOf[(kernel.operands[operand] as Operand).type];
    for (let x = 0; x < axes; x++) if (params[axes * (1 + operand) + x] !== 0) n *= params[x] as number;
    return n;
  };
  let bytes = s.scattered.element * elements + s.scattered.row * rows;
  for (let i = 0; i < s.reads.length; i++) {
    const operand = s.reads[i] as number;
    // x·x reads x once.
    let again = false;
    for (let j = 0; j < i && !again; j++) {
      again = sameOperand(operand, s.reads[j] as number, buffers, offsets, params, axes);
    }
    if (!again) bytes += bytesOfOperand(operand);
  }
  for (const operand of s.writes) bytes += bytesOfOperand(operand);
  return { bytes, flops: s.flops.element * elements + s.flops.row * rows };
}

/** 2·batch·M·N·K, as everybody counts it; what follows the sums is not. */
function matmulCost(kernel: MatmulKernel, params: Float64Array): Cost {
  const [batch, M, N, K, aBatch, aM, aK, bBatch, bK, bN] = params as unknown as number[];
  const size = (sizes: (number | undefined)[], strides: ArrayLike<number | undefined>): number =>
    sizes.reduce<number>((n, s, i) => (strides[i] === 0 ? n : n * (s as number)), 1);
  const product = (batch as number) * (M as number) * (N as number);
  const extras = kernel.extras.map((_, i) => size([batch, M, N], params.subarray(12 + 3 * i)));
  const elements =
    size([batch, M, K], [aBatch, aM, aK]) +
    size([batch, K, N], [bBatch, bK, bN]) +
    product +
    extras.reduce((sum, n) => sum + n, 0);
  return { bytes: elements * bytesOf[kernel.type], flops: 2 * product * (K as number) };
}

const at = Object.fromEntries(convolutionNumbers.map((name, i) => [name, i])) as Record<ConvolutionNumber, number>;

/** 2·batch·M·C·taps·outputs, where taps on the padding count; the planes that the schedule copies do not. */
function convolutionCost(kernel: ConvolutionKernel, params: Float64Array): Cost {
  const of = (...names: ConvolutionNumber[]): number => names.reduce((n, name) => n * (params[at[name]] as number), 1);
  const weights = of("groups", "M", "C", "T_");
  const input = of("batch", "groups", "C", "X_d", "X_h", "X_w");
  const output = of("batch", "groups", "M", "Y_d", "Y_h", "Y_w");
  const bias = kernel.bias ? of("groups", "M") : 0;
  return { bytes: (input + weights + output + bias) * bytesOf[kernel.type], flops: 2 * output * of("C", "T_") };
}

export function costOf(
  kernel: Kernel,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
): Cost | null {
  switch (kernel.kind) {
    case "loop":
      return loopCost(kernel, buffers, offsets, params);
    case "matmul":
      return matmulCost(kernel, params);
    case "convolution":
      return convolutionCost(kernel, params);
    default:
      return null;
  }
}

/**
 * The sizes of a launch: the axes of a loop, outer first; batch, M, N and K of a product; batch, groups, channels of input and
 * output a group, taps and output sizes of a convolution.
 */
export function sizesOf(kernel: Kernel, params: Float64Array): readonly number[] {
  switch (kernel.kind) {
    case "loop":
      return Array.from(params.subarray(0, kernel.outer + kernel.inner));
    case "matmul":
      return Array.from(params.subarray(0, 4));
    case "convolution":
      return (["batch", "groups", "C", "M", "T_", "Y_d", "Y_h", "Y_w"] as const).map(
        (name) => params[at[name]] as number,
      );
    default:
      return [];
  }
}
