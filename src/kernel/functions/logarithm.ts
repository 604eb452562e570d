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

/** By `step` (a·b + c): with roundings that no host merges, random numbers are the same everywhere. */
export function log(x: Expr, step = k.madd): Expr {
  const { mantissa, exponent } = split(x);
  const f = k.sub(mantissa, 1);
  const z = k.mul(f, f);
  let y: Expr;
  if (x.type === "f32") {
    const p = polynomial(
      f,
      [
        7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
        2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
      ],
      step,
    );
    y = k.mul(k.mul(p, f), z);
    y = step(exponent, -2.1219444e-4, y);
    y = step(z, -0.5, y);
    y = step(exponent, 0.693359375, k.add(f, y));
  } else {
    const p = polynomial(
      f,
      [
        1.01875663804580931796e-4, 4.97494994976747001425e-1, 4.70579119878881725854, 1.44989225341610930846e1,
        1.79368678507819816313e1, 7.70838733755885391666,
      ],
      step,
    );
    const q = polynomial(
      f,
      [
        1, 1.1287358718916745059e1, 4.52279145837532221105e1, 8.29875266912776603211e1, 7.11544750618563894466e1,
        2.31251620126765340583e1,
      ],
      step,
    );
    y = k.mul(f, k.mul(z, k.div(p, q)));
    y = step(exponent, -2.121944400546905827679e-4, y);
    y = step(z, -0.5, y);
    y = step(exponent, 0.693359375, k.add(f, y));
  }
  // Choices within choices, since compilers do not make vectors of conditions that are joined. Infinity and NaN pass through.
  const special = select(k.eq(x, 0), Number.NEGATIVE_INFINITY, constant(Number.NaN, x.type));
  return select(k.lt(x, Number.POSITIVE_INFINITY), select(k.gt(x, 0), y, special), x);
}

/** log(1+x) = log(u)·x/(u−1) with u = 1+x rounded (Kahan). */
export function log1p(x: Expr): Expr {
  const u = k.add(x, 1);
  const exact = k.eq(u, 1);
  const corrected = k.div(k.mul(log(u), x), k.sub(u, 1));
  return select(exact, x, select(k.eq(u, Number.POSITIVE_INFINITY), u, corrected));
}
