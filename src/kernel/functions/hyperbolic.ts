/**
 * Hyperbolic functions and their inverses, by way of eˣ − 1 and log(1 + x) where eˣ and log x would lose the digits of small
 * arguments. All but tanh, which networks compute often, are written for float64.
 */
import * as k from "../expr.js";
import { type Expr, select } from "../expr.js";
import { exp, expm1 } from "./exponential.js";
import { log, log1p } from "./logarithm.js";
import { polynomial } from "./shared.js";

export function tanh(x: Expr): Expr {
  if (x.type === "f32") {
    // Cephes: an odd polynomial near zero, 1 − 2/(e^2|x| + 1) beyond.
    const a = k.abs(x);
    const z = k.mul(x, x);
    const small = k.mul(
      x,
      polynomial(z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1, 1]),
    );
    const large = k.sub(1, k.div(2, k.add(exp(k.mul(a, 2)), 1)));
    return select(k.lt(a, 0.625), small, select(k.lt(x, 0), k.neg(large), large));
  }
  const t = expm1(k.mul(k.abs(x), 2));
  const y = select(k.gt(k.abs(x), 22), 1, k.div(t, k.add(t, 2)));
  return select(k.isNaN(x), x, select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y)));
}

export const sinh64 = (x: Expr): Expr => {
  const t = expm1(k.abs(x));
  const small = k.mul(0.5, k.add(t, k.div(t, k.add(t, 1))));
  const half = exp(k.mul(k.abs(x), 0.5));
  const y = select(k.gt(k.abs(x), 22), k.mul(k.mul(half, 0.5), half), small);
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
};
export const cosh64 = (x: Expr): Expr => {
  const half = exp(k.mul(k.abs(x), 0.5));
  const t = exp(k.abs(x));
  return select(k.gt(k.abs(x), 22), k.mul(k.mul(half, 0.5), half), k.mul(0.5, k.add(t, k.div(1, t))));
};
export const asinh64 = (x: Expr): Expr => {
  const a = k.abs(x);
  const z = k.mul(a, a);
  const small = log1p(k.add(a, k.div(z, k.add(k.sqrt(k.add(z, 1)), 1))));
  const y = select(k.gt(a, 1e8), k.add(log(a), Math.LN2), small);
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
};
export const acosh64 = (x: Expr): Expr => {
  const t = k.sub(x, 1);
  const ordinary = log1p(k.add(t, k.sqrt(k.add(k.mul(t, 2), k.mul(t, t)))));
  return select(k.gt(x, 1e8), k.add(log(x), Math.LN2), ordinary);
};
export const atanh64 = (x: Expr): Expr => {
  const a = k.abs(x);
  const y = k.mul(0.5, log1p(k.div(k.mul(a, 2), k.sub(1, a))));
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
};
