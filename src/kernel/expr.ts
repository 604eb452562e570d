/**
 * Writes expressions of the kernel language: `k.mul(g, k.sub(1, y))`. A plain number takes the type of what it meets.
 * Constants fold and neutral elements vanish here, so that derived gradients stay as small as written ones.
 */
import { constant, type Expr, type Fold, type MathOp, make, type Op, type ValueType } from "./ir.js";

export type { Expr, ValueType } from "./ir.js";
export { constant, gather, index, load, scalar } from "./ir.js";

type Arg = Expr | number;

const isConst = (e: Expr): boolean => e.op === "const";
const is = (e: Expr, value: number): boolean =>
  e.op === "const" && Number(e.value) === value && !Object.is(e.value, -0);
export const isFloat = (t: ValueType): boolean => t === "f32" || t === "f64";

function pair(a: Arg, b: Arg): [Expr, Expr] {
  if (typeof a === "number") {
    if (typeof b === "number") throw new TypeError("an expression needs at least one typed argument");
    return [constant(a, b.type), b];
  }
  if (typeof b === "number") return [a, constant(b, a.type)];
  if (a.type !== b.type) throw new TypeError(`expression types differ: ${a.op}:${a.type} and ${b.op}:${b.type}`);
  return [a, b];
}

const foldFloat: Partial<Record<Op, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
};

function binary(op: Op, x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  if (isFloat(a.type) && isConst(a) && isConst(b)) {
    const f = foldFloat[op];
    if (f !== undefined) return constant(f(Number(a.value), Number(b.value)), a.type);
  }
  return make(op, a.type, [a, b]);
}

export function add(x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  if (is(b, 0)) return a;
  if (is(a, 0)) return b;
  return binary("add", a, b);
}
export function sub(x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  if (is(b, 0)) return a;
  return binary("sub", a, b);
}
export function mul(x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  if (is(b, 1)) return a;
  if (is(a, 1)) return b;
  if (isFloat(a.type) && is(b, -1)) return neg(a);
  if (isFloat(a.type) && is(a, -1)) return neg(b);
  return binary("mul", a, b);
}
export function div(x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  if (is(b, 1)) return a;
  return binary("div", a, b);
}
/** x·y + z, rounded once where the host does that in one instruction: for code whose results may differ in the last digit. */
export const madd = (x: Expr, y: Arg, z: Arg): Expr => make("madd", x.type, [...pair(x, y), pair(x, z)[1]]);
/** x·y + z, rounded twice: the same digits on every host. */
export const mulAdd = (x: Expr, y: Arg, z: Arg): Expr => add(mul(x, y), z);
export const rem = (x: Arg, y: Arg): Expr => binary("rem", x, y);
export const mulhi = (x: Arg, y: Arg): Expr => binary("mulhi", x, y);
export const and = (x: Arg, y: Arg): Expr => binary("and", x, y);
export const or = (x: Arg, y: Arg): Expr => binary("or", x, y);
export const xor = (x: Arg, y: Arg): Expr => binary("xor", x, y);
export const shl = (x: Arg, y: Arg): Expr => binary("shl", x, y);
export const shr = (x: Arg, y: Arg): Expr => binary("shr", x, y);

function compare(op: "eq" | "ne" | "lt" | "le", x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  return make(op, "bool", [a, b]);
}
export const eq = (x: Arg, y: Arg): Expr => compare("eq", x, y);
export const ne = (x: Arg, y: Arg): Expr => compare("ne", x, y);
export const lt = (x: Arg, y: Arg): Expr => compare("lt", x, y);
export const le = (x: Arg, y: Arg): Expr => compare("le", x, y);
export const gt = (x: Arg, y: Arg): Expr => compare("lt", y, x);
export const ge = (x: Arg, y: Arg): Expr => compare("le", y, x);

export function select(condition: Expr, x: Arg, y: Arg): Expr {
  const [a, b] = pair(x, y);
  if (isConst(condition)) return Number(condition.value) !== 0 ? a : b;
  if (a === b) return a;
  return make("select", a.type, [condition, a, b]);
}

const unary = (op: Op, a: Expr): Expr => make(op, a.type, [a]);
export function neg(a: Expr): Expr {
  if (a.op === "neg") return a.args[0] as Expr;
  if (isConst(a) && isFloat(a.type)) return constant(-Number(a.value), a.type);
  return unary("neg", a);
}
export const abs = (a: Expr): Expr => unary("abs", a);
export const sqrt = (a: Expr): Expr => unary("sqrt", a);
export const floor = (a: Expr): Expr => (isFloat(a.type) ? unary("floor", a) : a);
export const ceil = (a: Expr): Expr => (isFloat(a.type) ? unary("ceil", a) : a);
export const trunc = (a: Expr): Expr => (isFloat(a.type) ? unary("trunc", a) : a);
export const round = (a: Expr): Expr => (isFloat(a.type) ? unary("round", a) : a);
export const not = (a: Expr): Expr => unary("not", a);

/** Value conversion; constants convert at once where that is exact in meaning. */
export function cast(a: Expr, type: ValueType): Expr {
  if (a.type === type) return a;
  if (isConst(a) && type !== "u32" && a.type !== "u32") {
    const v = Number(a.value);
    if (type === "bool") return constant(v !== 0 ? 1 : 0, "bool");
    if (isFloat(type)) return constant(v, type);
    if (Number.isFinite(v) && Math.abs(v) < 2 ** 31) return constant(Math.trunc(v), type);
  }
  return make("cast", type, [a]);
}
export const bitcast = (a: Expr, type: ValueType): Expr => (a.type === type ? a : make("bitcast", type, [a]));

const math1 =
  (op: MathOp) =>
  (a: Expr): Expr =>
    make(op, a.type, [a]);
export const exp = math1("exp");
export const expm1 = math1("expm1");
export const log = math1("log");
export const log1p = math1("log1p");
export const sin = math1("sin");
export const cos = math1("cos");
export const tan = math1("tan");
export const asin = math1("asin");
export const acos = math1("acos");
export const atan = math1("atan");
export const sinh = math1("sinh");
export const cosh = math1("cosh");
export const tanh = math1("tanh");
export const asinh = math1("asinh");
export const acosh = math1("acosh");
export const atanh = math1("atanh");
export const erf = math1("erf");
export const sigmoid = math1("sigmoid");
export const pow = (x: Arg, y: Arg): Expr => binary("pow", x, y);
export const atan2 = (x: Arg, y: Arg): Expr => binary("atan2", x, y);
export const max = (x: Arg, y: Arg): Expr => binary("max", x, y);
export const min = (x: Arg, y: Arg): Expr => binary("min", x, y);

export const reduce = (fold: Fold, body: Expr): Expr => make("reduce", body.type, [body], 0, -1, fold);
export const scan = (fold: Fold, body: Expr): Expr => make("scan", body.type, [body], 0, -1, fold);

export const isNaN = (a: Expr): Expr => ne(a, a);
export const square = (a: Expr): Expr => mul(a, a);
/** −1, 0 or 1; 0 for NaN, as PyTorch's sign. */
export const sign = (a: Expr): Expr => sub(cast(gt(a, 0), a.type), cast(lt(a, 0), a.type));
export const bool = (value: boolean): Expr => constant(value ? 1 : 0, "bool");
