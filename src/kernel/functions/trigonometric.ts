/**
 * Sine, cosine, tangent and their inverses, in float64. Angles are reduced by multiples of π/2 in two parts, so that they keep
 * their digits up to 2⁵⁰; polynomials and rational functions are those of Cephes.
 */
import * as k from "../expr.js";
import { bitcast, constant, type Expr, select } from "../expr.js";
import { polynomial, signBit } from "./shared.js";

/** The product as a sum of two float64 numbers, exactly (Dekker, 1971, with Veltkamp's splitting). */
function twoProduct(a: Expr, b: number): { high: Expr; low: Expr } {
  const split = k.mul(a, 134217729);
  const aHigh = k.sub(split, k.sub(split, a));
  const aLow = k.sub(a, aHigh);
  const bSplit = b * 134217729;
  const bHigh = bSplit - (bSplit - b);
  const bLow = b - bHigh;
  const high = k.mul(a, b);
  const low = k.add(
    k.add(k.add(k.sub(k.mul(aHigh, bHigh), high), k.mul(aHigh, bLow)), k.mul(aLow, bHigh)),
    k.mul(aLow, bLow),
  );
  return { high, low };
}

/** x − n·π/2 with π/2 in two parts (106 bits) and the first product exact: good to |x| ≈ 2⁵⁰. */
function reduceQuarter(x: Expr): { r: Expr; quadrant: Expr } {
  const n = k.round(k.mul(x, 2 / Math.PI));
  const { high, low } = twoProduct(n, 1.5707963267948966);
  const r = k.madd(n, -6.123233995736766e-17, k.sub(k.sub(x, high), low));
  // Added to so large a number, n has its last bits in the last of the sum; vectors have no conversion to 64 bits everywhere.
  const quadrant = k.and(bitcast(k.add(n, 1.5 * 2 ** 52), "i64"), constant(3n, "i64"));
  return { r, quadrant };
}

const sinPolynomial = [
  1.5896230157654656806e-10, -2.50507477628578072866e-8, 2.75573136213857245213e-6, -1.98412698295895385996e-4,
  8.33333333332211858878e-3, -1.66666666666666307295e-1,
];
const cosPolynomial = [
  -1.135853652138768173e-11, 2.08757008419747316778e-9, -2.75573141792967388112e-7, 2.48015872888517045348e-5,
  -1.38888888888730564116e-3, 4.16666666666665929218e-2,
];

function sinCos(x: Expr, shift: bigint): Expr {
  const { r, quadrant } = reduceQuarter(x);
  const z = k.mul(r, r);
  const s = k.madd(k.mul(r, z), polynomial(z, sinPolynomial), r);
  const c = k.madd(k.mul(z, z), polynomial(z, cosPolynomial), k.sub(1, k.mul(z, 0.5)));
  const q = k.and(k.add(quadrant, constant(shift, "i64")), constant(3n, "i64"));
  const odd = k.ne(k.and(q, constant(1n, "i64")), constant(0n, "i64"));
  const value = select(odd, c, s);
  const signed = select(k.ge(q, constant(2n, "i64")), k.neg(value), value);
  // ±∞ has no sine; beyond 2⁵⁰ the reduction has lost the quadrant, and NaN says so.
  return select(k.lt(k.abs(x), 2 ** 50), signed, Number.NaN);
}

export const sin64 = (x: Expr): Expr => select(k.eq(x, 0), x, sinCos(x, 0n));
export const cos64 = (x: Expr): Expr => sinCos(x, 1n);
export const tan64 = (x: Expr): Expr => k.div(sin64(x), cos64(x));

export function atan64(x: Expr): Expr {
  const a = k.abs(x);
  const large = k.gt(a, 2.4142135623730950488);
  const middle = k.gt(a, 0.66);
  const r = select(large, k.div(-1, a), select(middle, k.div(k.sub(a, 1), k.add(a, 1)), a));
  const base = select(large, Math.PI / 2, select(middle, constant(Math.PI / 4, "f64"), 0));
  const more = select(
    large,
    6.12323399573676588613e-17,
    select(middle, constant(3.061616997868382943065e-17, "f64"), 0),
  );
  const z = k.mul(r, r);
  const p = polynomial(
    z,
    [
      -8.750608600031904122785e-1, -1.615753718733365076637e1, -7.50085579231470466734e1, -1.22886668449013617341e2,
      -6.485021904942025371773e1,
    ],
  );
  const q = polynomial(
    z,
    [
      1, 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2, 4.853903996359136964868e2,
      1.945506571482613964425e2,
    ],
  );
  const y = k.add(base, k.add(k.madd(r, k.mul(z, k.div(p, q)), r), more));
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
}

export function atan2_64(y: Expr, x: Expr): Expr {
  const ay = k.abs(y);
  const ax = k.abs(x);
  const steep = k.gt(ay, ax);
  const high = select(steep, ay, ax);
  const low = select(steep, ax, ay);
  const ratio = select(k.eq(high, 0), 0, select(k.eq(low, Number.POSITIVE_INFINITY), 1, k.div(low, high)));
  let a = atan64(ratio);
  a = select(steep, k.sub(Math.PI / 2, a), a);
  a = select(signBit(x), k.sub(Math.PI, a), a);
  a = select(signBit(y), k.neg(a), a);
  return select(k.or(k.isNaN(x), k.isNaN(y)), Number.NaN, a);
}

export const asin64 = (x: Expr): Expr => {
  // atan2(x, √((1−x)(1+x))); beyond ±1 the root is NaN.
  const root = k.sqrt(k.mul(k.sub(1, x), k.add(x, 1)));
  return select(k.eq(x, 0), x, atan2_64(x, root));
};
export const acos64 = (x: Expr): Expr => atan2_64(k.sqrt(k.mul(k.sub(1, x), k.add(x, 1))), x);
