/** Renders expressions as C statements, one local variable a node, so that common parts are computed once. */
import { type Expr, type StorageType, topological, type ValueType } from "../ir.js";

/** Types are spelled without headers: a kernel file includes nothing, so that compiling it takes milliseconds. */
export const cType: Readonly<Record<ValueType, string>> = {
  f32: "float",
  f64: "double",
  i32: "int",
  i64: "long long",
  u32: "unsigned",
  bool: "int",
};

export const cStorage: Readonly<Record<StorageType, string>> = {
  float32: "float",
  float64: "double",
  float16: "unsigned short",
  bfloat16: "unsigned short",
  int64: "long long",
  int32: "int",
  int16: "short",
  int8: "signed char",
  uint8: "unsigned char",
  bool: "unsigned char",
};

export function cConstant(value: number | bigint, type: ValueType): string {
  if (type === "i64") {
    const v = BigInt(value);
    return v === -(2n ** 63n) ? "(-9223372036854775807ll - 1)" : `${v}ll`;
  }
  const v = Number(value);
  if (type === "f32" || type === "f64") {
    const suffix = type === "f32" ? "f" : "";
    if (Number.isNaN(v)) return `__builtin_nan${suffix}("")`;
    if (!Number.isFinite(v)) return `${v < 0 ? "-" : ""}__builtin_inf${suffix}()`;
    const text = Object.is(v, -0) ? "-0" : String(v);
    return `${/[.e]/.test(text) ? text : `${text}.0`}${suffix}`;
  }
  if (type === "i32") return v === -(2 ** 31) ? "(-2147483647 - 1)" : String(v);
  return type === "u32" ? `${v}u` : String(v);
}

/** A scalar argument, which is a double, as its type. */
export const cScalar = (type: ValueType, argument: string): string =>
  `${type === "u32" ? "(unsigned)(long long)" : `(${cType[type]})`}${argument}`;

/** What must stand before a function that computes `roots`. */
export const declarationsFor = (roots: readonly Expr[]): string[] =>
  topological(roots).some((e) => e.op === "madd") ? [maddFunctions] : [];

/** Without the instruction, the compiler's own function would be exact, and slow. */
const maddFunctions = `#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define maddf __builtin_fmaf
#define madd __builtin_fma
#else
static inline float maddf(float a, float b, float c) { return a * b + c; }
static inline double madd(double a, double b, double c) { return a * b + c; }
#endif`;

/** How the surroundings spell leaves and folds. */
export interface Names {
  load(slot: number, type: ValueType): string;
  gather(slot: number, at: string): string;
  scalar(slot: number): string;
  index(axis: number): string;
  fold(e: Expr): string;
}

/**
 * The place `e` as an index of memory: what runs along an axis is added as a long, so that the compiler sees elements side by
 * side where the sum of two ints, which wraps, would look like any order.
 */
export function emitPlace(e: Expr, done: Map<Expr, string>, lines: string[], names: Names): string {
  const text = emitExpr(e, done, lines, names);
  const axis = e.op === "add" ? e.args.findIndex((a) => a.op === "index") : -1;
  if (axis < 0) return text;
  const start = emitExpr(e.args[1 - axis] as Expr, done, lines, names);
  return `(long)${start} + ${names.index((e.args[axis] as Expr).slot)}`;
}

/** Emits what `e` needs and gives the name (or literal) of its value. */
export function emitExpr(e: Expr, done: Map<Expr, string>, lines: string[], names: Names): string {
  const known = done.get(e);
  if (known !== undefined) return known;
  let name: string;
  if (e.op === "const") name = cConstant(e.value, e.type);
  else if (e.op === "scalar") name = names.scalar(e.slot);
  else if (e.op === "reduce" || e.op === "scan") name = names.fold(e);
  else {
    const emitted = e.op === "gather" ? emitPlace : emitExpr;
    const args = e.args.map((a) => emitted(a, done, lines, names));
    name = `v${done.size}`;
    lines.push(`const ${cType[e.type]} ${name} = ${spell(e, args, names)};`);
  }
  done.set(e, name);
  return name;
}

const infix: Readonly<Record<string, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  and: "&",
  or: "|",
  xor: "^",
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
};

function spell(e: Expr, args: readonly string[], names: Names): string {
  const [a, b, c] = args as [string, string, string];
  const type = e.type;
  const float = type === "f32" || type === "f64";
  const builtin = (f: string): string => `__builtin_${f}${type === "f32" ? "f" : ""}(${a})`;
  const sign = infix[e.op];
  if (sign !== undefined) return `${a} ${sign} ${b}`;
  switch (e.op) {
    case "load":
      return names.load(e.slot, type);
    case "gather":
      return names.gather(e.slot, a);
    case "index":
      return `(int)${names.index(e.slot)}`;
    case "neg":
      return `-${a}`;
    case "abs":
      return float ? builtin("fabs") : `${a} < 0 ? -${a} : ${a}`;
    case "sqrt":
      return builtin("sqrt");
    case "floor":
    case "ceil":
    case "trunc":
      return builtin(e.op);
    case "round":
      return builtin("rint");
    case "not":
      return type === "bool" ? `!${a}` : `~${a}`;
    case "div":
      return float ? `${a} / ${b}` : `${b} == 0 ? 0 : ${b} == -1 ? -${a} : ${a} / ${b}`;
    case "rem":
      return type === "u32" ? `${b} == 0 ? 0 : ${a} % ${b}` : `${b} == 0 || ${b} == -1 ? 0 : ${a} % ${b}`;
    case "mulhi":
      return `(unsigned)(((unsigned long long)${a} * ${b}) >> 32)`;
    case "shl":
      return type === "i64"
        ? `(long long)((unsigned long long)${a} << (${b} & 63))`
        : `(${cType[type]})((unsigned)${a} << (${b} & 31))`;
    case "shr":
      return `${a} >> (${b} & ${type === "i64" ? 63 : 31})`;
    case "madd":
      return `${type === "f32" ? "maddf" : "madd"}(${a}, ${b}, ${c})`;
    case "select":
      return `${a} ? ${b} : ${c}`;
    case "cast":
      return castTo(e, a);
    case "bitcast":
      return `((union { ${cType[(e.args[0] as Expr).type]} from; ${cType[type]} to; }){ .from = ${a} }).to`;
    default:
      throw new Error(`the C renderer met '${e.op}', which should have been expanded`);
  }
}

function castTo(e: Expr, a: string): string {
  const from = (e.args[0] as Expr).type;
  if (e.type === "bool") return `${a} != 0`;
  if ((e.type === "i32" || e.type === "i64") && (from === "f32" || from === "f64")) {
    // Saturate, and NaN to 0, as WebAssembly does: C leaves it undefined and processors disagree.
    const bound = e.type === "i32" ? "2147483648.0" : "9223372036854775808.0";
    const suffix = from === "f32" ? "f" : "";
    const low = e.type === "i32" ? "(-2147483647 - 1)" : "(-9223372036854775807ll - 1)";
    const high = e.type === "i32" ? "2147483647" : "9223372036854775807ll";
    return `${a} >= ${bound}${suffix} ? ${high} : ${a} >= -${bound}${suffix} ? (${cType[e.type]})${a} : ${a} != ${a} ? 0 : ${low}`;
  }
  return `(${cType[e.type]})${a}`;
}
