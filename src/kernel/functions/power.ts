/** xʸ in float64: |x|ʸ, computed in numbers of two parts, and the signs and special values that IEEE 754 asks for. */
import * as k from "../expr.js";
import { bitcast, constant, type Expr, select } from "../expr.js";
import { exp } from "./exponential.js";
import { split } from "./logarithm.js";
import { polynomial, signBit } from "./shared.js";

export function pow64(x: Expr, y: Expr): Expr {
  // |x|^y = exp(y·log|x|) with the logarithm in two parts: float64 needs the low part for its last digits.
  const { mantissa, exponent } = split(k.abs(x));
  const magnitude = powMagnitude(k.abs(x), mantissa, exponent, y);
  const whole = k.eq(k.floor(y), y);
  const half = k.mul(y, 0.5);
  const odd = k.and(whole, k.ne(k.floor(half), half));
  const negative = signBit(x);
  const signed = select(k.and(negative, odd), k.neg(magnitude), magnitude);
  const finiteNegative = k.and(k.lt(x, 0), k.gt(x, Number.NEGATIVE_INFINITY));
  const wrong = k.and(finiteNegative, k.and(k.not(whole), k.lt(k.abs(y), Number.POSITIVE_INFINITY)));
  const result = select(wrong, Number.NaN, signed);
  const nan = k.or(k.isNaN(x), k.isNaN(y));
  const one = k.or(k.eq(y, 0), k.eq(x, 1));
  return select(one, 1, select(nan, Number.NaN, result));
}

function powMagnitude(a: Expr, mantissa: Expr, exponent: Expr, y: Expr): Expr {
  // log(m) = 2·atanh(s), s = (m−1)/(m+1), with s and the leading product carried in double-double.
  const f = k.sub(mantissa, 1);
  const d = k.add(mantissa, 1);
  const s = k.div(f, d);
  const mask = constant(-134217728n, "i64");
  const high = (e: Expr): Expr => bitcast(k.and(bitcast(e, "i64"), mask), "f64");
  const sHigh = high(s);
  const dHigh = high(d);
  // (m+1) may round: what it lost is mantissa − (d − 1).
  const dLow = k.add(k.sub(d, dHigh), k.sub(mantissa, k.sub(d, 1)));
  const sLow = k.div(k.sub(k.sub(f, k.mul(sHigh, dHigh)), k.mul(sHigh, dLow)), d);
  const z = k.mul(s, s);
  const series = k.mul(
    k.mul(s, z),
    polynomial(z, [2 / 23, 2 / 21, 2 / 19, 2 / 17, 2 / 15, 2 / 13, 2 / 11, 2 / 9, 2 / 7, 2 / 5, 2 / 3]),
  );
  const ln2High = 0.693145751953125;
  const ln2Low = 1.4286068203094172e-6;
  const lead = k.add(k.mul(exponent, ln2High), k.mul(sHigh, 2));
  // Two-sum error of the lead, exact because the exponent part dominates or is zero.
  const big = k.mul(exponent, ln2High);
  const small = k.mul(sHigh, 2);
  const virtual = k.sub(lead, big);
  const lost = k.add(k.sub(big, k.sub(lead, virtual)), k.sub(small, virtual));
  const rest = k.add(k.add(k.mul(sLow, 2), series), k.add(k.mul(exponent, ln2Low), lost));
  const total = k.add(lead, rest);
  const totalLow = k.add(k.sub(lead, total), rest);
  // y·(total + totalLow), again in two parts.
  const tHigh = high(total);
  const tLow = k.add(k.sub(total, tHigh), totalLow);
  const yHigh = high(y);
  const yLow = k.sub(y, yHigh);
  const main = k.mul(yHigh, tHigh);
  const correction = k.madd(yLow, tHigh, k.mul(y, tLow));
  const sum = k.add(main, correction);
  const sumLow = k.add(k.sub(main, sum), correction);
  const e = exp(sum);
  const bounded = k.lt(k.abs(sum), 709);
  const ordinary = select(bounded, k.madd(e, sumLow, e), e);
  const grows = k.eq(k.gt(a, 1), k.gt(y, 0));
  const extreme = select(grows, Number.POSITIVE_INFINITY, constant(0, "f64"));
  const isExtreme = k.or(
    k.or(k.eq(a, 0), k.eq(a, Number.POSITIVE_INFINITY)),
    k.or(k.eq(k.abs(y), Number.POSITIVE_INFINITY), k.gt(k.abs(y), 1e300)),
  );
  const atOne = k.eq(a, 1);
  return select(atOne, 1, select(isExtreme, extreme, ordinary));
}
