/**
 * Rewrites the transcendental functions into primitives, so that they vectorise and no renderer knows them. Each family has a
 * file in `functions/`; this is the table of them. They multiply and add in one step where the host can (`madd`), a third less
 * work, so an engine may differ from another in the last digit. Polynomials are those of Cephes (Moshier, "Methods and Programs
 * for Mathematical Functions", 1989) and Eigen; errors stay within 2 ulp of float32 (sigmoid: 2.2, erf: 6) and 4 ulp of float64.
 * Functions whose float32 form would lose digits (sin of large arguments, pow) are computed in float64.
 */
import * as k from "./expr.js";
import { cast, type Expr, select } from "./expr.js";
import { erf } from "./functions/erf.js";
import { exp, expm1, sigmoid } from "./functions/exponential.js";
import { acosh64, asinh64, atanh64, cosh64, sinh64, tanh } from "./functions/hyperbolic.js";
import { log, log1p } from "./functions/logarithm.js";
import { pow64 } from "./functions/power.js";
import { acos64, asin64, atan2_64, atan64, cos64, sin64, tan64 } from "./functions/trigonometric.js";
import { type MathOp, rewrite } from "./ir.js";

const inF64 = (f: (...args: Expr[]) => Expr, ...args: Expr[]): Expr =>
  args[0]?.type === "f32" ? cast(f(...args.map((a) => cast(a, "f64"))), "f32") : f(...args);

function extremum(op: "max" | "min", a: Expr, b: Expr): Expr {
  // NaN wins: a comparison with one in a fails. Asked of b, which is often a bound, the test leaves the loop.
  const loses = op === "max" ? k.le(a, b) : k.le(b, a);
  return select(k.isFloat(a.type) ? k.or(loses, k.isNaN(b)) : loses, b, a);
}

const expansions: Record<MathOp, (...args: [Expr, Expr]) => Expr> = {
  exp,
  expm1,
  log: (x) => log(x),
  log1p,
  sin: (x) => inF64(sin64, x),
  cos: (x) => inF64(cos64, x),
  tan: (x) => inF64(tan64, x),
  asin: (x) => inF64(asin64, x),
  acos: (x) => inF64(acos64, x),
  atan: (x) => inF64(atan64, x),
  atan2: (y, x) => inF64(atan2_64, y, x),
  sinh: (x) => inF64(sinh64, x),
  cosh: (x) => inF64(cosh64, x),
  tanh,
  asinh: (x) => inF64(asinh64, x),
  acosh: (x) => inF64(acosh64, x),
  atanh: (x) => inF64(atanh64, x),
  erf,
  sigmoid,
  pow: (x, y) => inF64(pow64, x, y),
  max: (a, b) => extremum("max", a, b),
  min: (a, b) => extremum("min", a, b),
};

/** The expression with every transcendental function written out in primitives. */
export function expand(e: Expr): Expr {
  return rewrite(e, (n) => {
    const f = expansions[n.op as MathOp];
    return f === undefined ? n : f(...(n.args as [Expr, Expr]));
  });
}
