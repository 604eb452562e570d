/**
 * eˣ and the functions that are little more: eˣ − 1 and the logistic function. The argument is reduced to n·log 2 + r with |r| at
 * most half of log 2; 2ⁿ is made in the exponent's bits, eʳ is a polynomial (float32) or a rational function (float64) of Cephes.
 */
import * as k from "../expr.js";
import { bitcast, type Expr, select } from "../expr.js";
import { log } from "./logarithm.js";
import { polynomial } from "./shared.js";

/** 2ⁿ, where an integer has n + bias in the lowest bits. */
const power = (bits: Expr): Expr =>
  bits.type === "i32" ? bitcast(k.shl(bits, 23), "f32") : bitcast(k.shl(bits, 52), "f64");

/** x·2ⁿ for a whole n, in two exact steps, so that results reach the denormals and infinity. */
function scale(x: Expr, n: Expr): Expr {
  const half = k.floor(k.mul(n, 0.5));
  // Added to 1.5·2⁵², n + bias stands in the lowest bits of the sum; everything above is shifted out. A conversion would saturate.
  const power2 = (m: Expr): Expr => power(bitcast(k.add(m, 6755399441055744 + 1023), "i64"));
  return k.mul(k.mul(x, power2(half)), power2(k.sub(n, half)));
}

/** x = n·log 2 + r in float32: n + `bias` in the lowest bits of an integer, and eʳ − 1. */
function reduced(x: Expr, bias: number): { bits: Expr; rest: Expr } {
  // Added to 1.5·2²³, x·log₂e is rounded.
  const rounding = 12582912 + bias;
  const rounded = k.madd(x, Math.LOG2E, rounding);
  const n = k.sub(rounded, rounding);
  const r = k.madd(n, 2.1219444e-4, k.madd(n, -0.693359375, x));
  // In pairs (Estrin): the chain of dependent operations, which bounds the speed, is half as long.
  const z = k.mul(r, r);
  const pair = (high: number, low: number): Expr => k.madd(r, high, low);
  const upper = k.madd(pair(1.98756915e-4, 1.3981999507e-3), z, pair(8.3334519073e-3, 4.1665795894e-2));
  const p = k.madd(upper, z, pair(1.6666665459e-1, 5.0000001201e-1));
  return { bits: bitcast(rounded, "i32"), rest: k.madd(p, z, r) };
}

/** −|y|, and y less its own maximum, as softmax has it, need no bound above. */
function isNonPositive(x: Expr): boolean {
  const [y, m] = x.args;
  if (x.op === "neg") return y?.op === "abs";
  return x.op === "sub" && m?.op === "reduce" && m.fold === "max" && m.args[0] === y;
}

export function exp(x: Expr): Expr {
  const f32 = x.type === "f32";
  const low = f32 ? -104 : -746;
  const high = f32 ? 89 : 710;
  // Clamping with comparisons that fail for NaN lets NaN through; that both are of x keeps compilers from joining them at length.
  const c = select(k.lt(x, low), low, isNonPositive(x) ? x : select(k.gt(x, high), high, x));
  if (f32) {
    // With n + 2·127 there are two exponents, of half of n each.
    const { bits, rest } = reduced(c, 254);
    const half = k.shr(bits, 1);
    const e = k.add(rest, 1);
    // In two exact steps, so that results reach the denormals and infinity.
    return k.mul(k.mul(e, power(half)), power(k.sub(bits, half)));
  }
  const n = k.round(k.mul(c, Math.LOG2E));
  const r = k.madd(n, -1.42860682030941723212e-6, k.madd(n, -6.93145751953125e-1, c));
  const z = k.mul(r, r);
  const p = k.mul(r, polynomial(z, [1.26177193074810590878e-4, 3.029944077074419613e-2, 9.9999999999999999991e-1]));
  const q = polynomial(
    z,
    [3.00198505138664455042e-6, 2.52448340349684104192e-3, 2.27265548208155028766e-1, 2.00000000000000000009],
  );
  const e = k.madd(k.div(p, k.sub(q, p)), 2, 1);
  return scale(e, n);
}

/** eˣ−1: in float32 2ⁿ·(eʳ−1) + (2ⁿ−1), with half of 2ⁿ for its range; in float64 (u−1)·x/log(u) with u = eˣ (Kahan). */
export function expm1(x: Expr): Expr {
  if (x.type === "f32") {
    const c = select(k.lt(x, -18), -18, select(k.gt(x, 89), 89, x));
    // n − 1 + 127 is the exponent of half of 2ⁿ.
    const { bits, rest } = reduced(c, 126);
    const half = power(bits);
    const y = k.mul(k.madd(half, rest, k.sub(half, 0.5)), 2);
    return select(k.lt(k.abs(x), 2 ** -26), x, y);
  }
  const u = exp(x);
  const d = k.sub(u, 1);
  const corrected = k.div(k.mul(d, x), log(u));
  const large = k.ge(u, 1e16);
  return select(k.eq(u, 1), x, select(k.le(d, -1), d, select(large, d, corrected)));
}

/** 1/(1+e⁻ˣ), computed from e^−|x| so that neither side overflows. */
export function sigmoid(x: Expr): Expr {
  const e = exp(k.neg(k.abs(x)));
  return k.div(select(k.lt(x, 0), e, 1), k.add(e, 1));
}
