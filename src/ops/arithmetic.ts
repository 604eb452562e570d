/** Element-wise operations, one entry each: the expression, how dtypes meet, and a gradient where the derived one is not best. */
import * as k from "../kernel/expr.js";
import { log2 as kernelLog2 } from "../kernel/functions/logarithm.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { Elementwise, type Operand } from "./elementwise.js";

const { select } = k;
const floats = { kind: "float" } as const;
const noBool = (verb: string) => ({
  rejects: (d: string) => (d === "bool" ? `${verb} is not defined on bool; use logical operations` : null),
});

// Arithmetic
export const add = new Elementwise("add", 2, (x, y) => (x.type === "bool" ? k.or(x, y) : k.add(x, y)));
/** x + alpha·y */
export const addScaled = new Elementwise("add", 3, (x, y, alpha) => k.add(x, k.mul(y, alpha)), { settings: 1 });
export const sub = new Elementwise("sub", 2, (x, y) => k.sub(x, y), noBool("sub"));
export const subScaled = new Elementwise("sub", 3, (x, y, alpha) => k.sub(x, k.mul(y, alpha)), { settings: 1 });
export const mul = new Elementwise("mul", 2, (x, y) => (x.type === "bool" ? k.and(x, y) : k.mul(x, y)));
export const div = new Elementwise("div", 2, (x, y) => k.div(x, y), floats);
export const neg = new Elementwise("neg", 1, (x) => k.neg(x), noBool("neg"));
export const abs = new Elementwise("abs", 1, (x) => k.abs(x), noBool("abs"));
export const sign = new Elementwise("sign", 1, (x) => (x.type === "bool" ? x : k.sign(x)), {
  gradient: (g) => [k.mul(g, 0)],
});
export const reciprocal = new Elementwise("reciprocal", 1, (x) => k.div(1, x), {
  ...floats,
  gradient: (g, _, out) => [k.neg(k.mul(g, k.square(out)))],
});
export const square = new Elementwise("square", 1, (x) => k.mul(x, x), noBool("pow"));

const truncRemainder = (x: Expr, y: Expr): Expr => {
  if (!k.isFloat(x.type)) return k.rem(x, y);
  // x − y·trunc(x/y) loses the digits of large quotients; in float64 there are enough for float32.
  const wide = x.type === "f32" ? "f64" : x.type;
  const a = k.cast(x, wide);
  const b = k.cast(y, wide);
  const r = k.sub(a, k.mul(b, k.trunc(k.div(a, b))));
  const finite = select(
    k.and(k.eq(k.abs(b), Number.POSITIVE_INFINITY), k.lt(k.abs(a), Number.POSITIVE_INFINITY)),
    a,
    r,
  );
  return k.cast(finite, x.type);
};
const floorDivide = (x: Expr, y: Expr): Expr => {
  if (!k.isFloat(x.type)) {
    const q = k.div(x, y);
    const r = k.rem(x, y);
    return select(k.and(k.ne(r, 0), k.ne(k.lt(r, 0), k.lt(y, 0))), k.sub(q, 1), q);
  }
  // Python's floor division: exact where the remainder is.
  const r = truncRemainder(x, y);
  const q = k.div(k.sub(x, r), y);
  const wrong = k.and(k.ne(r, 0), k.ne(k.lt(r, 0), k.lt(y, 0)));
  return select(k.eq(y, 0), k.div(x, y), k.round(select(wrong, k.sub(q, 1), q)));
};
const floorRemainder = (x: Expr, y: Expr): Expr => {
  const r = truncRemainder(x, y);
  const wrong = k.and(k.ne(r, 0), k.ne(k.lt(r, 0), k.lt(y, 0)));
  return select(wrong, k.add(r, y), r);
};
export const divFloor = new Elementwise("floorDivide", 2, floorDivide, { gradient: "none" });
export const divTrunc = new Elementwise("div", 2, (x, y) => k.trunc(k.div(x, y)), { gradient: "none" });
export const fmod = new Elementwise("fmod", 2, truncRemainder, {
  gradient: (g, [x, y]) => [g, k.neg(k.mul(g, k.trunc(k.div(x as Expr, y as Expr))))],
});
export const remainder = new Elementwise("remainder", 2, floorRemainder, {
  gradient: (g, [x, y]) => [g, k.neg(k.mul(g, k.floor(k.div(x as Expr, y as Expr))))],
});
export const pow = new Elementwise("pow", 2, (x, y) => {
  if (k.isFloat(x.type)) return k.pow(x, y);
  // Whole powers of integers, exact while float64 holds them.
  return k.cast(k.pow(k.cast(x, "f64"), k.cast(y, "f64")), x.type);
});
const cube = new Elementwise("pow", 1, (x) => k.mul(k.mul(x, x), x), {
  ...noBool("pow"),
  gradient: (g, [x]) => [k.mul(g, k.mul(k.square(x as Expr), 3))],
});
/** 1/x² */
const squareReciprocal = new Elementwise("pow", 1, (x) => k.div(1, k.mul(x, x)), {
  ...floats,
  gradient: (g, [x], out) => [k.mul(k.mul(g, -2), k.div(out, x as Expr))],
});
/** xʸ where that takes no logarithm (the exponents that PyTorch tells apart), else null. */
export function simplePower(x: Tensor, y: Operand): Elementwise | null {
  if (x.dtype === "bool") return null;
  switch (y) {
    case -2:
      return squareReciprocal;
    case -1:
      return reciprocal;
    case -0.5:
      return rsqrt;
    case 0.5:
      return sqrt;
    case 1:
      return identity;
    case 2:
      return square;
    case 3:
      return cube;
    default:
      return null;
  }
}
/** weight·(end − start) + start, in the form that is exact at both ends. */
export const lerp = new Elementwise(
  "lerp",
  3,
  (a, b, w) => select(k.lt(k.abs(w), 0.5), k.add(a, k.mul(w, k.sub(b, a))), k.sub(b, k.mul(k.sub(b, a), k.sub(1, w)))),
  {
    gradient: (g, [a, b, w]) => [
      k.mul(g, k.sub(1, w as Expr)),
      k.mul(g, w as Expr),
      k.mul(g, k.sub(b as Expr, a as Expr)),
    ],
  },
);
export const addcmul = new Elementwise("addcmul", 4, (x, a, b, value) => k.add(x, k.mul(k.mul(a, b), value)), {
  settings: 1,
});
export const addcdiv = new Elementwise("addcdiv", 4, (x, a, b, value) => k.add(x, k.mul(k.div(a, b), value)), {
  settings: 1,
});

// Powers, exponentials, logarithms
export const sqrt = new Elementwise("sqrt", 1, (x) => k.sqrt(x), floats);
export const rsqrt = new Elementwise("rsqrt", 1, (x) => k.div(1, k.sqrt(x)), {
  ...floats,
  gradient: (g, _, out) => [k.mul(k.mul(g, -0.5), k.mul(out, k.mul(out, out)))],
});
export const exp = new Elementwise("exp", 1, (x) => k.exp(x), floats);
export const exp2 = new Elementwise("exp2", 1, (x) => k.pow(2, x), {
  ...floats,
  gradient: (g, _, out) => [k.mul(k.mul(g, out), Math.LN2)],
});
export const expm1 = new Elementwise("expm1", 1, (x) => k.expm1(x), floats);
export const log = new Elementwise("log", 1, (x) => k.log(x), floats);
export const log1p = new Elementwise("log1p", 1, (x) => k.log1p(x), floats);
export const log2 = new Elementwise("log2", 1, kernelLog2, {
  ...floats,
  gradient: (g, [x]) => [k.div(g, k.mul(x as Expr, Math.LN2))],
});
const inFloat64 = (x: Expr): Expr => k.cast(k.div(k.log(k.cast(x, "f64")), Math.LN10), x.type);
export const log10 = new Elementwise("log10", 1, inFloat64, {
  ...floats,
  gradient: (g, [x]) => [k.div(g, k.mul(x as Expr, Math.LN10))],
});

// Trigonometry
export const sin = new Elementwise("sin", 1, (x) => k.sin(x), floats);
export const cos = new Elementwise("cos", 1, (x) => k.cos(x), floats);
export const tan = new Elementwise("tan", 1, (x) => k.tan(x), floats);
export const asin = new Elementwise("asin", 1, (x) => k.asin(x), floats);
export const acos = new Elementwise("acos", 1, (x) => k.acos(x), floats);
export const atan = new Elementwise("atan", 1, (x) => k.atan(x), floats);
export const atan2 = new Elementwise("atan2", 2, (y, x) => k.atan2(y, x), floats);
export const sinh = new Elementwise("sinh", 1, (x) => k.sinh(x), floats);
export const cosh = new Elementwise("cosh", 1, (x) => k.cosh(x), floats);
export const tanh = new Elementwise("tanh", 1, (x) => k.tanh(x), floats);
export const asinh = new Elementwise("asinh", 1, (x) => k.asinh(x), floats);
export const acosh = new Elementwise("acosh", 1, (x) => k.acosh(x), floats);
export const atanh = new Elementwise("atanh", 1, (x) => k.atanh(x), floats);
export const erf = new Elementwise("erf", 1, (x) => k.erf(x), floats);

// Rounding and bounds
const flat = { gradient: (g: Expr) => [k.mul(g, 0)] };
export const floor = new Elementwise("floor", 1, (x) => k.floor(x), flat);
export const ceil = new Elementwise("ceil", 1, (x) => k.ceil(x), flat);
export const round = new Elementwise("round", 1, (x) => k.round(x), flat);
export const trunc = new Elementwise("trunc", 1, (x) => k.trunc(x), flat);
export const frac = new Elementwise("frac", 1, (x) => k.sub(x, k.trunc(x)));
/** NaN passes; a bound that meets the value passes the gradient, as in PyTorch. */
export const clamp = new Elementwise("clamp", 3, (x, lo, hi) => k.min(k.max(x, lo), hi), {
  gradient: (g, [x, lo, hi]) => [
    select(k.and(k.ge(x as Expr, lo as Expr), k.le(x as Expr, hi as Expr)), g, 0),
    select(k.and(k.lt(x as Expr, lo as Expr), k.lt(lo as Expr, hi as Expr)), g, 0),
    select(k.gt(k.max(x as Expr, lo as Expr), hi as Expr), g, 0),
  ],
});
const bounded = (within: (x: Expr, b: Expr) => Expr) => ({
  gradient: (g: Expr, [x, b]: readonly Expr[]) => [
    select(within(x as Expr, b as Expr), g, 0),
    select(within(x as Expr, b as Expr), 0, g),
  ],
});
export const clampMin = new Elementwise(
  "clamp",
  2,
  (x, lo) => k.max(x, lo),
  bounded((x, b) => k.ge(x, b)),
);
export const clampMax = new Elementwise(
  "clamp",
  2,
  (x, hi) => k.min(x, hi),
  bounded((x, b) => k.le(x, b)),
);
export const maximum = new Elementwise("maximum", 2, (x, y) => (x.type === "bool" ? k.or(x, y) : k.max(x, y)));
export const minimum = new Elementwise("minimum", 2, (x, y) => (x.type === "bool" ? k.and(x, y) : k.min(x, y)));

// Comparison and logic
const compare = { kind: "compare" } as const;
const asNumber = (f: (x: Expr, y: Expr) => Expr) => (x: Expr, y: Expr) =>
  x.type === "bool" ? f(k.cast(x, "i32"), k.cast(y, "i32")) : f(x, y);
export const eq = new Elementwise("eq", 2, asNumber(k.eq), compare);
export const ne = new Elementwise("ne", 2, asNumber(k.ne), compare);
export const lt = new Elementwise("lt", 2, asNumber(k.lt), compare);
export const le = new Elementwise("le", 2, asNumber(k.le), compare);
export const gt = new Elementwise("gt", 2, asNumber(k.gt), compare);
export const ge = new Elementwise("ge", 2, asNumber(k.ge), compare);
export const isnan = new Elementwise(
  "isnan",
  1,
  (x) => (k.isFloat(x.type) ? k.isNaN(x) : k.ne(k.cast(x, "i32"), k.cast(x, "i32"))),
  compare,
);
export const isinf = new Elementwise(
  "isinf",
  1,
  (x) => (k.isFloat(x.type) ? k.eq(k.abs(x), Number.POSITIVE_INFINITY) : k.ne(k.cast(x, "i32"), k.cast(x, "i32"))),
  compare,
);
export const isfinite = new Elementwise(
  "isfinite",
  1,
  (x) => (k.isFloat(x.type) ? k.lt(k.abs(x), Number.POSITIVE_INFINITY) : k.eq(k.cast(x, "i32"), k.cast(x, "i32"))),
  compare,
);
const logical = { kind: "logical" } as const;
export const logicalAnd = new Elementwise("logicalAnd", 2, (x, y) => k.and(x, y), logical);
export const logicalOr = new Elementwise("logicalOr", 2, (x, y) => k.or(x, y), logical);
export const logicalXor = new Elementwise("logicalXor", 2, (x, y) => k.xor(x, y), logical);
export const logicalNot = new Elementwise("logicalNot", 1, (x) => k.not(x), logical);
const integer = { kind: "integer" } as const;
export const bitwiseAnd = new Elementwise("bitwiseAnd", 2, (x, y) => k.and(x, y), integer);
export const bitwiseOr = new Elementwise("bitwiseOr", 2, (x, y) => k.or(x, y), integer);
export const bitwiseXor = new Elementwise("bitwiseXor", 2, (x, y) => k.xor(x, y), integer);
export const bitwiseNot = new Elementwise("bitwiseNot", 1, (x) => k.not(x), integer);

// Activations
export const sigmoid = new Elementwise("sigmoid", 1, (x) => k.sigmoid(x), floats);
export const relu = new Elementwise("relu", 1, (x) => select(k.le(x, 0), 0, x), {
  gradient: (g, _, out) => [select(k.gt(out, 0), g, select(k.isNaN(out), g, 0))],
});
export const leakyRelu = new Elementwise("leakyRelu", 2, (x, slope) => select(k.gt(x, 0), x, k.mul(x, slope)), {
  ...floats,
  settings: 1,
  gradient: (g, [x, slope]) => [select(k.gt(x as Expr, 0), g, k.mul(g, slope as Expr))],
});
export const gelu = new Elementwise("gelu", 1, (x) => k.mul(k.mul(x, 0.5), k.add(k.erf(k.mul(x, Math.SQRT1_2)), 1)), {
  ...floats,
  gradient: (g, [x0]) => {
    const x = x0 as Expr;
    const cdf = k.mul(0.5, k.add(k.erf(k.mul(x, Math.SQRT1_2)), 1));
    const pdf = k.mul(k.exp(k.mul(k.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return [k.mul(g, k.add(cdf, k.mul(x, pdf)))];
  },
});
export const geluTanh = new Elementwise(
  "gelu",
  1,
  (x) => {
    const inner = k.mul(k.add(x, k.mul(k.mul(k.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI));
    return k.mul(k.mul(x, 0.5), k.add(k.tanh(inner), 1));
  },
  floats,
);
export const silu = new Elementwise("silu", 1, (x) => k.mul(x, k.sigmoid(x)), {
  ...floats,
  gradient: (g, [x0]) => {
    const s = k.sigmoid(x0 as Expr);
    return [k.mul(g, k.mul(s, k.add(1, k.mul(x0 as Expr, k.sub(1, s)))))];
  },
});
export const elu = new Elementwise("elu", 2, (x, alpha) => select(k.gt(x, 0), x, k.mul(k.expm1(x), alpha)), {
  ...floats,
  settings: 1,
  gradient: (g, [x, alpha]) => [select(k.gt(x as Expr, 0), g, k.mul(g, k.mul(k.exp(x as Expr), alpha as Expr)))],
});
/** log(1 + e^(βx))/β, the identity beyond the threshold. */
export const softplus = new Elementwise(
  "softplus",
  3,
  (x, beta, threshold) => select(k.gt(k.mul(x, beta), threshold), x, k.div(k.log1p(k.exp(k.mul(x, beta))), beta)),
  {
    ...floats,
    settings: 2,
    gradient: (g, [x, beta, threshold]) => {
      const z = k.mul(x as Expr, beta as Expr);
      return [select(k.gt(z, threshold as Expr), g, k.mul(g, k.sigmoid(z)))];
    },
  },
);
export const logsigmoid = new Elementwise("logsigmoid", 1, (x) => k.sub(k.min(x, 0), k.log1p(k.exp(k.neg(k.abs(x))))), {
  ...floats,
  gradient: (g, [x]) => [k.mul(g, k.sigmoid(k.neg(x as Expr)))],
});

// Choice and copies
/** `where` takes the condition as a third data operand, so that dtypes meet over the other two only. */
export const whereSelect = new Elementwise("where", 3, (x, y, c) => select(c.type === "bool" ? c : k.ne(c, 0), x, y), {
  settings: 1,
  gradient: (g, [, , c]) => [select(k.ne(c as Expr, 0), g, 0), select(k.ne(c as Expr, 0), 0, g)],
});
export const identity = new Elementwise("copy", 1, (x) => x);
