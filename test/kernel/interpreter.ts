/**
 * The kernel language, read naively in JavaScript: one element at a time, straight from the definitions in `ir.ts`. It is the
 * reference both compiled engines are tested against, so it shares no code with them and takes no short cut.
 * Float32 results are rounded after every operation, sums are folded in float64 first (engines order them as they like).
 */
import type { Expr, Fold, LoopKernel, MatmulKernel, StorageType, ValueType } from "../../src/kernel/ir.js";

/** Memory by storage type: halves are Uint16Array (bits), bool is Uint8Array, int64 is BigInt64Array. */
export type Memory =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

export function memoryOf(type: StorageType, length: number): Memory {
  switch (type) {
    case "float32":
      return new Float32Array(length);
    case "float64":
      return new Float64Array(length);
    case "float16":
    case "bfloat16":
      return new Uint16Array(length);
    case "int64":
      return new BigInt64Array(length);
    case "int32":
      return new Int32Array(length);
    case "int16":
      return new Int16Array(length);
    case "int8":
      return new Int8Array(length);
    default:
      return new Uint8Array(length);
  }
}

/** An operand: memory, the view's first element, and one stride (in elements) for each axis, outer first. */
export interface View {
  readonly data: Memory;
  readonly offset: number;
  readonly strides: readonly number[];
}

/** A value: number, bigint for i64; bool is 0 or 1. */
export type Value = number | bigint;

const word = new DataView(new ArrayBuffer(8));

/** Brings a mathematical result into the range of its type. */
export function fit(x: Value, type: ValueType): Value {
  switch (type) {
    case "f32":
      return Math.fround(Number(x));
    case "f64":
      return Number(x);
    case "i64":
      return BigInt.asIntN(64, BigInt(x));
    case "i32":
      return typeof x === "bigint" ? Number(BigInt.asIntN(32, x)) : x | 0;
    case "u32":
      return typeof x === "bigint" ? Number(BigInt.asUintN(32, x)) : x >>> 0;
    default:
      return Number(x) !== 0 ? 1 : 0;
  }
}

const saturate = (x: number, low: bigint, high: bigint): bigint => {
  if (Number.isNaN(x)) return 0n;
  if (x >= Number(high)) return high;
  if (x <= Number(low)) return low;
  return BigInt(Math.trunc(x));
};

function cast(x: Value, from: ValueType, to: ValueType): Value {
  if (to === "bool") return Number(x) !== 0 ? 1 : 0;
  if ((from === "f32" || from === "f64") && (to === "i32" || to === "u32" || to === "i64")) {
    if (to === "i32") return Number(saturate(Number(x), -(2n ** 31n), 2n ** 31n - 1n));
    if (to === "u32") return Number(saturate(Number(x), 0n, 2n ** 32n - 1n));
    return saturate(Number(x), -(2n ** 63n), 2n ** 63n - 1n);
  }
  // an i64 is rounded to f32 once, not through f64
  if (from === "i64" && to === "f32") return roundToF32(BigInt(x));
  return fit(x, to);
}

/** The float32 nearest to an integer, ties to even. */
function roundToF32(x: bigint): number {
  const magnitude = x < 0n ? -x : x;
  const extra = Math.max(0, magnitude.toString(2).length - 24);
  const unit = 1n << BigInt(extra);
  let q = magnitude / unit;
  const twice = (magnitude % unit) * 2n;
  if (twice > unit || (twice === unit && (q & 1n) === 1n)) q++;
  return Number((x < 0n ? -q : q) * unit);
}

function bitcast(x: Value, from: ValueType, to: ValueType): Value {
  if (from === "f32") word.setFloat32(0, Number(x));
  else if (from === "f64") word.setFloat64(0, Number(x));
  else if (from === "i64") word.setBigInt64(0, BigInt(x));
  else word.setInt32(0, Number(x) | 0);
  if (to === "f32") return word.getFloat32(0);
  if (to === "f64") return word.getFloat64(0);
  if (to === "i64") return word.getBigInt64(0);
  return to === "i32" ? word.getInt32(0) : word.getUint32(0);
}

function roundHalfEven(x: number): number {
  if (!Number.isFinite(x) || Math.abs(x) >= 2 ** 52) return x;
  const down = Math.floor(x);
  const rest = x - down;
  const r = rest < 0.5 ? down : rest > 0.5 ? down + 1 : down % 2 === 0 ? down : down + 1;
  return r === 0 && (x < 0 || Object.is(x, -0)) ? -0 : r;
}

/** One primitive on given arguments. */
export function apply(e: Expr, args: readonly Value[]): Value {
  const type = e.args[0].type;
  const float = type === "f32" || type === "f64";
  const [a, b] = args;
  const x = Number(a);
  const y = Number(b);
  const width = type === "i64" ? 64n : 32n;
  switch (e.op) {
    case "neg":
      return float ? fit(-x, e.type) : fit(-BigInt(a), e.type);
    case "abs":
      return float ? fit(Math.abs(x), e.type) : fit(BigInt(a) < 0n ? -BigInt(a) : BigInt(a), e.type);
    case "sqrt":
      return fit(Math.sqrt(x), e.type);
    case "floor":
      return float ? Math.floor(x) : a;
    case "ceil":
      return float ? Math.ceil(x) : a;
    case "trunc":
      return float ? Math.trunc(x) : a;
    case "round":
      return float ? roundHalfEven(x) : a;
    case "not":
      return type === "bool" ? 1 - x : fit(~BigInt(a), e.type);
    case "cast":
      return cast(a, type, e.type);
    case "bitcast":
      return bitcast(a, type, e.type);
    case "add":
      return float ? fit(x + y, e.type) : fit(BigInt(a) + BigInt(b), e.type);
    case "sub":
      return float ? fit(x - y, e.type) : fit(BigInt(a) - BigInt(b), e.type);
    case "mul":
      return float ? fit(x * y, e.type) : fit(BigInt(a) * BigInt(b), e.type);
    case "div":
      if (float) return fit(x / y, e.type);
      return BigInt(b) === 0n ? fit(0, e.type) : fit(BigInt(a) / BigInt(b), e.type);
    case "rem":
      return BigInt(b) === 0n ? fit(0, e.type) : fit(BigInt(a) % BigInt(b), e.type);
    case "mulhi":
      return Number((BigInt(a) * BigInt(b)) >> 32n);
    case "and":
      return fit(BigInt(a) & BigInt(b), e.type);
    case "or":
      return fit(BigInt(a) | BigInt(b), e.type);
    case "xor":
      return fit(BigInt(a) ^ BigInt(b), e.type);
    case "shl":
      return fit(BigInt(a) << (BigInt(b) & (width - 1n)), e.type);
    case "shr":
      return fit(BigInt(a) >> (BigInt(b) & (width - 1n)), e.type);
    case "eq":
      return a === b ? 1 : 0;
    case "ne":
      return a !== b ? 1 : 0;
    case "lt":
      return a < b ? 1 : 0;
    case "le":
      return a <= b ? 1 : 0;
    case "madd":
      return fit(Number(fit(x * y, type)) + Number(args[2]), type);
    case "select":
      return x !== 0 ? args[1] : args[2];
    default:
      throw new Error(`interpreter: ${e.op} is no primitive of arguments`);
  }
}

function emptyFold(fold: Fold, type: ValueType): Value {
  if (fold === "sum") return type === "i64" ? 0n : 0;
  if (fold === "prod") return type === "i64" ? 1n : 1;
  const sign = fold === "max" ? -1 : 1;
  switch (type) {
    case "i32":
      return sign < 0 ? -(2 ** 31) : 2 ** 31 - 1;
    case "u32":
      return sign < 0 ? 0 : 2 ** 32 - 1;
    case "i64":
      return sign < 0 ? -(2n ** 63n) : 2n ** 63n - 1n;
    case "bool":
      return sign < 0 ? 0 : 1;
    default:
      return sign * Infinity;
  }
}

function foldInto(fold: Fold, type: ValueType, a: Value, b: Value): Value {
  const float = type === "f32" || type === "f64";
  // f32 is accumulated in double and rounded at the end
  const keep: ValueType = type === "f32" ? "f64" : type;
  if (fold === "sum") return float ? fit(Number(a) + Number(b), keep) : fit(BigInt(a) + BigInt(b), type);
  if (fold === "prod") return float ? fit(Number(a) * Number(b), keep) : fit(BigInt(a) * BigInt(b), type);
  if (float && (Number.isNaN(a as number) || Number.isNaN(b as number))) return NaN;
  if (fold === "max") return a > b ? a : b;
  return a < b ? a : b;
}

/** float16 bits → number. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** Reads a stored element as `type`: halves as their bits where an i32 is asked for, else as their value. */
function read(view: View, at: number, storage: StorageType, type: ValueType): Value {
  const raw = view.data[at];
  if (raw === undefined) throw new RangeError(`interpreter: element ${at} of ${view.data.length}`);
  if (type === "f32" && storage === "float16") return fromHalf(Number(raw));
  if (type === "f32" && storage === "bfloat16") return bitcast(Number(raw) << 16, "i32", "f32");
  if (storage === "bool") return Number(raw) !== 0 ? 1 : 0;
  return type === "u32" ? Number(raw) >>> 0 : raw;
}

function write(view: View, at: number, value: Value): void {
  if (at < 0 || at >= view.data.length) throw new RangeError(`interpreter: element ${at} of ${view.data.length}`);
  // typed arrays wrap integers as the language asks
  if (view.data instanceof BigInt64Array) view.data[at] = BigInt(value);
  else view.data[at] = Number(value);
}

function* indices(sizes: readonly number[]): Generator<number[]> {
  if (sizes.some((n) => n === 0)) return;
  const at = sizes.map(() => 0);
  for (;;) {
    yield at;
    let a = sizes.length - 1;
    while (a >= 0 && ++at[a] === sizes[a]) at[a--] = 0;
    if (a < 0) return;
  }
}

/** Runs a loop kernel over all its units. */
export function interpretLoop(
  kernel: LoopKernel,
  views: readonly View[],
  sizes: readonly number[],
  scalars: readonly Value[] = [],
): void {
  const outer = sizes.slice(0, kernel.outer);
  const inner = sizes.slice(kernel.outer);
  for (const o of indices(outer)) {
    const folded = new Map<Expr, Value>();
    const running = new Map<Expr, Value>();
    const evaluate = (e: Expr, at: readonly number[], seen: Map<Expr, Value>): Value => {
      const known = seen.get(e);
      if (known !== undefined) return known;
      const out = compute(e, at, seen);
      seen.set(e, out);
      return out;
    };
    const compute = (e: Expr, at: readonly number[], seen: Map<Expr, Value>): Value => {
      switch (e.op) {
        case "const":
          return e.value;
        case "scalar":
          return fit(scalars[e.slot], e.type);
        case "index":
          return at[e.slot];
        case "load": {
          const v = views[e.slot];
          const where = at.reduce((sum, i, axis) => sum + i * v.strides[axis], v.offset);
          return read(v, where, kernel.operands[e.slot].type, e.type);
        }
        case "gather": {
          const v = views[e.slot];
          return read(v, v.offset + Number(evaluate(e.args[0], at, seen)), kernel.operands[e.slot].type, e.type);
        }
        case "reduce": {
          const done = folded.get(e);
          if (done !== undefined) return done;
          let sum = emptyFold(e.fold as Fold, e.type);
          for (const i of indices(inner)) {
            const element = new Map<Expr, Value>();
            sum = foldInto(e.fold as Fold, e.type, sum, evaluate(e.args[0], [...o, ...i], element));
          }
          sum = fit(sum, e.type);
          folded.set(e, sum);
          return sum;
        }
        case "scan": {
          const sum = foldInto(
            e.fold as Fold,
            e.type,
            running.get(e) ?? emptyFold(e.fold as Fold, e.type),
            evaluate(e.args[0], at, seen),
          );
          running.set(e, sum);
          return fit(sum, e.type);
        }
        default:
          return apply(
            e,
            e.args.map((a) => evaluate(a, at, seen)),
          );
      }
    };
    const run = (per: "row" | "element", at: readonly number[]): void => {
      const seen = new Map<Expr, Value>();
      const stores = kernel.stores.filter((s) => s.per === per);
      const values = stores.map(
        (s) => [s.at === null ? 0 : Number(evaluate(s.at, at, seen)), evaluate(s.value, at, seen)] as const,
      );
      stores.forEach((s, n) => {
        const v = views[s.operand];
        const [where, value] = values[n];
        if (s.at === null) {
          write(
            v,
            at.reduce((sum, i, axis) => sum + i * v.strides[axis], v.offset),
            value,
          );
        } else {
          const old = s.accumulate ? read(v, v.offset + where, kernel.operands[s.operand].type, s.value.type) : null;
          write(
            v,
            v.offset + where,
            old === null ? value : fit(foldInto("sum", s.value.type, old, value), s.value.type),
          );
        }
      });
    };
    if (kernel.stores.some((s) => s.per === "element")) for (const i of indices(inner)) run("element", [...o, ...i]);
    if (kernel.stores.some((s) => s.per === "row")) run("row", [...o, ...inner.map(() => 0)]);
  }
}

export interface MatmulSizes {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** A, B, C and the extras with strides (batch, row, column). */
export function interpretMatmul(
  kernel: MatmulKernel,
  size: MatmulSizes,
  a: View,
  b: View,
  c: View,
  extras: readonly View[],
  scalars: readonly Value[],
): void {
  const type = kernel.type === "float32" ? "f32" : "f64";
  const operands = [c, ...extras];
  for (let z = 0; z < size.batch; z++)
    for (let m = 0; m < size.m; m++)
      for (let n = 0; n < size.n; n++) {
        let sum = 0;
        for (let k = 0; k < size.k; k++) {
          const x = Number(a.data[a.offset + z * a.strides[0] + m * a.strides[1] + k * a.strides[2]]);
          sum += x * Number(b.data[b.offset + z * b.strides[0] + k * b.strides[1] + n * b.strides[2]]);
        }
        sum = Number(fit(sum, type));
        const at = (v: View): number => v.offset + z * v.strides[0] + m * v.strides[1] + n * v.strides[2];
        const value = (e: Expr): Value => {
          if (e.op === "const") return e.value;
          if (e.op === "scalar") return scalars[e.slot];
          if (e.op === "load") return e.slot === 0 ? sum : operands[e.slot].data[at(operands[e.slot])];
          return apply(e, e.args.map(value));
        };
        const results = kernel.epilogue.map((s) => ({ view: operands[s.operand], value: value(s.value) }));
        c.data[at(c)] = sum;
        for (const { view, value } of results) view.data[at(view)] = Number(value);
      }
}
