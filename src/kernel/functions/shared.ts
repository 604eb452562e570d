/** What the functions of several families are written with. */
import * as k from "../expr.js";
import { bitcast, constant, type Expr } from "../expr.js";

/** Horner's rule, by `step` (p·x + c); coefficients from the highest power down. */
export function polynomial(x: Expr, coefficients: readonly number[], step = k.madd): Expr {
  let p = constant(coefficients[0] as number, x.type);
  for (const c of coefficients.slice(1)) p = step(p, x, c);
  return p;
}

/** Negative, or −0. */
export const signBit = (x: Expr): Expr => k.lt(bitcast(x, "i64"), constant(0n, "i64"));
