/** log x and log(1 + x): x is split into a mantissa near 1 and an exponent; the mantissa's logarithm is that of Cephes. */
import * as k from "../expr.js";
import { bitcast, cast, constant, type Expr, select } from "../expr.js";
import { polynomial } from "./shared.js";

/** Splits positive x into m·2ᵉ with m in [√½, √2). Denormals are scaled first. */
export function split(x: Expr): { mantissa: Expr; exponent: Expr } {
  const f32 = x.type === "f32";
  const int = f32 ? "i32" : "i64";
  const tiny = k.lt(x, f32 ? 1.1754943508222875e-38 : 2.2250738585072014e-308);
  const scaled = select(tiny, k.mul(x, f32 ? 2 ** 25 : 2 ** 54), x);
  const bits = bitcast(scaled, int);
  const big = (v: bigint): Expr => (f32 ? constant(Number(v), "i32") : constant(v, "i64"));
  // Adding the distance from √½ to 1 carries into the exponent exactly when m ≥ √2·½.
  const shifted = k.add(bits, big(f32 ? 0x3f800000n - 0x3f3504f3n : 0x3ff0000000000000n - 0x3fe6a09e667f3bcdn));
  const e = k.sub(k.shr(shifted, f32 ? 23 : 52), f32 ? 127 : 1023);
  const mantissaBits = k.add(
    k.and(shifted, big(f32 ? 0x007fffffn : 0x000fffffffffffffn)),
    big(f32 ? 0x3f3504f3n : 0x3fe6a09e667f3bcdn),
  );
  const exponent = k.sub(f32 ? cast(e, "f32") : wholeNumber(e), select(tiny, constant(f32 ? 25 : 54, x.type), 0));
  return { mantissa: bitcast(mantissaBits, x.type), exponent };
}

/** A small i64 as f64, without a conversion, which not every processor has for vectors: it stands in the last bits of 1.5·2⁵² + e. */
const wholeNumber = (e: Expr): Expr =>
  k.sub(bitcast(k.add(e, constant(0x4338000000000000n, "i64")), "f64"), 1.5 * 2 ** 52);

/** log(1 + f) − f + f²/2 in float32, for a mantissa 1 + f. */
function cubic(f: Expr, step = k.madd): Expr {
  const p = polynomial(
    f,
    [
      7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
      2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ],
    step,
  );
  return k.mul(k.mul(p, f), k.mul(f, f));
}

/** The same in float64, divided by f³. */
function quotient(f: Expr, step: typeof k.madd): Expr {
  const p = [
    1.01875663804580931796e-4, 4.97494994976747001425e-1, 4.70579119878881725854, 1.44989225341610930846e1,
    1.79368678507819816313e1, 7.70838733755885391666,
  ];
  const q = [
    1, 1.1287358718916745059e1, 4.52279145837532221105e1, 8.29875266912776603211e1, 7.11544750618563894466e1,
    2.31251620126765340583e1,
  ];
  return k.div(polynomial(f, p, step), polynomial(f, q, step));
}

/** By `step` (a·b + c): with roundings that no host merges, random numbers are the same everywhere. */
export function log(x: Expr, step = k.madd): Expr {
  const { mantissa, exponent } = split(x);
  const f = k.sub(mantissa, 1);
  const z = k.mul(f, f);
  let y = x.type === "f32" ? cubic(f, step) : k.mul(f, k.mul(z, quotient(f, step)));
  y = step(exponent, -2.121944400546905827679e-4, y);
  y = step(z, -0.5, y);
  y = step(exponent, 0.693359375, k.add(f, y));
  return special(x, y);
}

/** log x/log 2, exact for powers of two. */
export function log2(x: Expr): Expr {
  if (x.type !== "f32") return k.div(log(x), Math.LN2);
  const { mantissa, exponent } = split(x);
  const f = k.sub(mantissa, 1);
  const y = k.madd(k.mul(f, f), -0.5, cubic(f));
  // f + y is the logarithm, which log₂e = 1 + 0.44… multiplies.
  const more = k.mul(k.add(f, y), Math.LOG2E - 1);
  return special(x, k.add(k.add(k.add(more, y), f), exponent));
}

/** The logarithm y of a positive x; NaN of a negative one, −∞ of 0, and x of infinity and NaN. */
function special(x: Expr, y: Expr): Expr {
  // Choices within choices, since compilers do not make vectors of conditions that are joined.
  const low = select(k.eq(x, 0), Number.NEGATIVE_INFINITY, constant(Number.NaN, x.type));
  return select(k.lt(x, Number.POSITIVE_INFINITY), select(k.gt(x, 0), y, low), x);
}

/** log u + c/u with u = 1+x rounded, and c what the rounding lost. */
export function log1p(x: Expr): Expr {
  const u = k.add(x, 1);
  const lost = k.sub(x, k.sub(u, 1));
  const logarithm = log(u);
  // At −1 and at infinity there is nothing to add, and a quotient would be NaN.
  const y = select(k.gt(k.abs(lost), 0), k.add(logarithm, k.div(lost, u)), logarithm);
  return select(k.eq(u, 1), x, y);
}
