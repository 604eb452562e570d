/**
 * The kernel language: typed expressions over an index space, and the kinds of kernel built of them.
 *
 * Nothing here knows a CPU, a GPU or a syntax. `ops/` builds expressions, `derive.ts` differentiates them, `expand.ts`
 * rewrites the transcendental functions into the primitive operations below, and one renderer a target (`c/`, `wasm/`) turns what is left into code. A renderer therefore implements only the primitives.
 */

/** How a number lies in memory. */
export type StorageType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int64"
  | "int32"
  | "int16"
  | "int8"
  | "uint8"
  | "bool";

/** How a number is computed with. Loads widen to one of these, stores narrow (integers wrap). */
export type ValueType = "f32" | "f64" | "i32" | "i64" | "u32" | "bool";

/** Operations every renderer implements. */
export type PrimitiveOp =
  // leaves
  | "const" // `value`
  | "scalar" // the launch's scalar number `slot`
  | "load" // operand `slot` at the current index, through its view
  | "index" // the current index along axis `slot` (i32)
  | "gather" // operand `slot`, `args[0]` (i32) elements after its first one; its strides are not used
  // one argument
  | "neg"
  | "abs"
  | "sqrt"
  | "floor"
  | "ceil"
  | "trunc"
  | "round" // halves to even
  | "not" // bitwise on integers, logical on bool
  | "cast" // value conversion; float → int truncates; bool → number gives 0 or 1; number → bool is `≠ 0`
  | "bitcast" // f32 ↔ i32, u32; f64 ↔ i64; i32 ↔ u32
  // two arguments of one type
  | "add"
  | "sub"
  | "mul"
  | "div" // integers truncate towards zero; division by zero gives 0
  | "rem" // integers only, C's sign rule; by zero gives 0
  | "mulhi" // u32 only: the high word of the 64-bit product
  | "and"
  | "or"
  | "xor"
  | "shl" // integers only; the count is taken modulo the width
  | "shr" // arithmetic on i32 and i64, logical on u32
  | "eq" // comparisons give bool; with NaN only `ne` holds
  | "ne"
  | "lt"
  | "le"
  // three
  | "madd" // args[0]·args[1] + args[2] of floats, rounded once where the host has an instruction for it, otherwise twice
  | "select" // args: condition (bool), value if true, value if false
  // over the inner axes
  | "reduce" // folds `args[0]` with `fold` over all inner axes
  | "scan"; // the inclusive running fold of `args[0]` along the (single) inner axis

/** Functions that `expand.ts` rewrites into primitives. */
export type MathOp =
  | "exp"
  | "expm1"
  | "log"
  | "log1p"
  | "sin"
  | "cos"
  | "tan"
  | "asin"
  | "acos"
  | "atan"
  | "atan2"
  | "sinh"
  | "cosh"
  | "tanh"
  | "asinh"
  | "acosh"
  | "atanh"
  | "erf"
  | "sigmoid"
  | "pow"
  | "max" // NaN wins
  | "min";

export type Op = PrimitiveOp | MathOp;

/** `max` and `min` let NaN win, as PyTorch's do. An empty fold gives 0, 1, −∞ (lowest) or +∞ (highest). */
export type Fold = "sum" | "prod" | "max" | "min";

/** One node of an expression graph. Nodes are immutable and interned: equal expressions are one object. */
export interface Expr {
  readonly op: Op;
  readonly type: ValueType;
  readonly args: readonly Expr[];
  /** `const` only. i64 constants are bigint, bool constants 0 or 1. */
  readonly value: number | bigint;
  /** `scalar`, `load`, `gather` and `index` only. */
  readonly slot: number;
  /** `reduce` and `scan` only. */
  readonly fold: Fold | null;
  /** Names the node's structure: equal keys are equal expressions. */
  readonly key: string;
}

/** How an operand moves along the kernel's vector axis: not at all, to the next element, or by a stride given at launch. */
export type Step = "uniform" | "unit" | "strided";

export interface Operand {
  readonly type: StorageType;
  readonly step: Step;
}

export interface Store {
  /** Index into `operands`. */
  readonly operand: number;
  readonly value: Expr;
  /** A store of `row` runs once per outer index, after the reductions; of `element` once per outer and inner index. */
  readonly per: "row" | "element";
  /** Scatter: elements after the operand's first one (i32), instead of its strides. Such kernels run serially. */
  readonly at: Expr | null;
  /** With `at`: add to what is there. */
  readonly accumulate: boolean;
}

/**
 * A loop nest: for every index of the `outer` axes, fold the reductions over the `inner` axes, then store.
 * A map has `inner` = 0. Reductions may nest (`exp(x − max(x)) / sum(exp(x − max(x)))` is a softmax); the renderer runs
 * them in stages, innermost first, and what is per element is recomputed from loads in each stage.
 *
 * Launch arguments, all float64, in this order: one address for each operand (its view's first element); the size of each
 * axis, outer first; for each operand in turn one stride (in elements) for each axis; the scalars (bool as 0 or 1).
 *
 * The vector axis is the last inner axis (`vector` = "inner") or the last outer one ("outer": every map, and reductions
 * whose operands are contiguous there). A launch covers units `begin` to `end`:
 *  - vector "outer", one outer axis: a unit is one index of it;
 *  - vector "outer", more: a unit is one index of the outer axes but the last, and runs the whole of the last;
 *  - vector "inner": a unit is one index of all outer axes (one row). With no outer axis there is one unit.
 */
export interface LoopKernel {
  readonly kind: "loop";
  readonly name: string;
  readonly operands: readonly Operand[];
  readonly scalars: readonly ValueType[];
  readonly stores: readonly Store[];
  readonly outer: number;
  readonly inner: number;
  readonly vector: "inner" | "outer";
}

/** What the epilogue of a product writes: operand 0 is C, the others follow it. */
export interface Finish {
  readonly operand: number;
  readonly value: Expr;
}

/**
 * C[b, m, n] = Σ_k A[b, m, k] · B[b, k, n], any strides on A and B, C of unit stride along n; and an epilogue, which runs on
 * sums that are still in the cache. There, `load 0` is the sum (f32 or f64), and `load i` reads the i-th operand after C, of the
 * same type and with any strides; `extras` tells how each moves along n. C holds the sum unless the epilogue stores another value.
 *
 * Launch arguments, float64: addresses of A, B, C and the extras; batch, M, N, K, strides A_b, A_m, A_k, B_b, B_k, B_n, C_b,
 * C_m; for each extra its strides along b, m and n; the scalars. An engine may want them in another order, and adds its own.
 */
export interface MatmulKernel {
  readonly kind: "matmul";
  readonly name: string;
  readonly type: "float32" | "float64";
  readonly extras: readonly Step[];
  readonly scalars: readonly ValueType[];
  readonly epilogue: readonly Finish[];
}

/**
 * A convolution of one to three dimensions, written for three (d, h, w), with the filter as a list of taps. `correlate`:
 *
 *   Y[b, g, m, o] = bias[g, m] + Σ_{c, t} W[g, m, c, t] · X[b, g, c, o · stride + tap(t) − pad]
 *
 * and `weights`, its gradient with respect to W:
 *
 *   W[g, m, c, t] = Σ_{b, o} Y[b, g, m, o] · X[b, g, c, o · stride + tap(t) − pad]
 *
 * where X is 0 outside. Any strides on W and, in `correlate`, on Y. The launch arguments are in kernel/convolution.ts. A tap is
 * five int32: its position modulo the stride, as one number; its position divided by the stride, in d, h and w; and the
 * element of W at which it stands.
 */
export interface ConvolutionKernel {
  readonly kind: "convolution";
  readonly name: string;
  readonly type: "float32" | "float64";
  readonly pass: "correlate" | "weights";
  /** `correlate` only. */
  readonly bias: boolean;
}

export type Kernel = LoopKernel | MatmulKernel | ConvolutionKernel;

/** The register type a storage type is computed in. */
export const valueTypeOf: Readonly<Record<StorageType, ValueType>> = {
  float32: "f32",
  float64: "f64",
  float16: "f32",
  bfloat16: "f32",
  int64: "i64",
  int32: "i32",
  int16: "i32",
  int8: "i32",
  uint8: "i32",
  bool: "bool",
};

/** Bytes of one element. */
export const bytesOf: Readonly<Record<StorageType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

const interned = new Map<string, Expr>();

function node(
  op: Op,
  type: ValueType,
  args: readonly Expr[],
  value: number | bigint = 0,
  slot = -1,
  fold: Fold | null = null,
): Expr {
  let text = `${op}:${type}`;
  if (op === "const") text += typeof value === "bigint" ? `=${value}n` : `=${Object.is(value, -0) ? "-0" : value}`;
  if (slot >= 0) text += `@${slot}`;
  if (fold !== null) text += `/${fold}`;
  for (const a of args) text += `,${ids.get(a)}`;
  const known = interned.get(text);
  if (known !== undefined) return known;
  const made: Expr = { op, type, args, value, slot, fold, key: text };
  ids.set(made, interned.size);
  interned.set(text, made);
  return made;
}

const ids = new Map<Expr, number>();

export const make = node;

const f32 = new Float32Array(1);

export function constant(value: number | bigint, type: ValueType): Expr {
  if (type === "i64") return node("const", type, [], BigInt(value));
  let v = Number(value);
  if (type === "f32") {
    f32[0] = v;
    v = f32[0];
  }
  return node("const", type, [], v);
}
export const scalar = (slot: number, type: ValueType): Expr => node("scalar", type, [], 0, slot);
export const load = (slot: number, type: ValueType): Expr => node("load", type, [], 0, slot);
export const index = (axis: number): Expr => node("index", "i32", [], 0, axis);
export const gather = (slot: number, type: ValueType, at: Expr): Expr => node("gather", type, [at], 0, slot);

/** Replaces nodes bottom-up: `f` sees each node with its arguments already rewritten. */
export function rewrite(root: Expr, f: (e: Expr) => Expr, done: Map<Expr, Expr> = new Map()): Expr {
  const known = done.get(root);
  if (known !== undefined) return known;
  const args = root.args.map((a) => rewrite(a, f, done));
  const same = args.every((a, i) => a === root.args[i]);
  const out = f(same ? root : node(root.op, root.type, args, root.value, root.slot, root.fold));
  done.set(root, out);
  return out;
}

/** Every node below and including `roots`, arguments before users. */
export function topological(roots: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const order: Expr[] = [];
  const visit = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    for (const a of e.args) visit(a);
    order.push(e);
  };
  for (const r of roots) visit(r);
  return order;
}
