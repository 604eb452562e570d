/**
 * Rewrites the transcendental functions into primitives, so that they vectorise and give the same digits on every
 * engine, and writes the conversions of 16-bit floats. Polynomials are those of Cephes (Moshier, "Methods and Programs
 * for Mathematical Functions", 1989) and Eigen; errors stay within 2 ulp of float32 (erf: 6) and 4 ulp of float64.
 * Functions whose float32 form would lose digits (sin of large arguments, pow) are computed in float64.
 */
import * as k from "./expr.js";
import { bitcast, cast, constant, type Expr, select } from "./expr.js";
import { type MathOp, make, rewrite } from "./ir.js";

/** Horner's rule; coefficients from the highest power down. */
function polynomial(x: Expr, coefficients: readonly number[]): Expr {
  let p = constant(coefficients[0] as number, x.type);
  for (const c of coefficients.slice(1)) p = k.add(k.mul(p, x), c);
  return p;
}

const inF64 = (f: (...args: Expr[]) => Expr, ...args: Expr[]): Expr =>
  args[0]?.type === "f32" ? cast(f(...args.map((a) => cast(a, "f64"))), "f32") : f(...args);

/**
 * 2ⁿ for a whole n (as float) within the normal exponents. Added to 1.5·2^(digits − 1), n + bias stands in the lowest bits of
 * the sum, from where a shift makes it the exponent; everything above is shifted out. A conversion would have to saturate.
 */
function exp2i(n: Expr): Expr {
  if (n.type === "f32") return bitcast(k.shl(bitcast(k.add(n, 12582912 + 127), "i32"), 23), "f32");
  return bitcast(k.shl(bitcast(k.add(n, 6755399441055744 + 1023), "i64"), 52), "f64");
}

/** x·2ⁿ in two exact steps, so that results reach the denormals and infinity. */
function scale2(x: Expr, n: Expr): Expr {
  const half = k.floor(k.mul(n, 0.5));
  return k.mul(k.mul(x, exp2i(half)), exp2i(k.sub(n, half)));
}

function exp(x: Expr): Expr {
  const f32 = x.type === "f32";
  const low = f32 ? -104 : -746;
  const high = f32 ? 89 : 710;
  // Clamping with comparisons that fail for NaN lets NaN through.
  const capped = select(k.gt(x, high), high, x);
  const c = select(k.lt(capped, low), low, capped);
  const n = k.round(k.mul(c, Math.LOG2E));
  if (f32) {
    const r = k.sub(k.sub(c, k.mul(n, 0.693359375)), k.mul(n, -2.1219444e-4));
    // In pairs (Estrin): the chain of dependent operations, which bounds the speed, is half as long.
    const z = k.mul(r, r);
    const pair = (high: number, low: number): Expr => k.add(k.mul(r, high), low);
    const upper = k.add(k.mul(pair(1.98756915e-4, 1.3981999507e-3), z), pair(8.3334519073e-3, 4.1665795894e-2));
    const p = k.add(k.mul(upper, z), pair(1.6666665459e-1, 5.0000001201e-1));
    return scale2(k.add(k.add(k.mul(p, z), r), 1), n);
  }
  const r = k.sub(k.sub(c, k.mul(n, 6.93145751953125e-1)), k.mul(n, 1.42860682030941723212e-6));
  const z = k.mul(r, r);
  const p = k.mul(r, polynomial(z, [1.26177193074810590878e-4, 3.029944077074419613e-2, 9.9999999999999999991e-1]));
  const q = polynomial(
    z,
    [3.00198505138664455042e-6, 2.52448340349684104192e-3, 2.27265548208155028766e-1, 2.00000000000000000009],
  );
  const e = k.add(k.mul(k.div(p, k.sub(q, p)), 2), 1);
  return scale2(e, n);
}

/** Splits positive x into m·2ᵉ with m in [√½, √2). Denormals are scaled first. */
function split(x: Expr): { mantissa: Expr; exponent: Expr } {
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
  const exponent = k.sub(cast(e, x.type), select(tiny, constant(f32 ? 25 : 54, x.type), 0));
  return { mantissa: bitcast(mantissaBits, x.type), exponent };
}

function log(x: Expr): Expr {
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
    );
    y = k.mul(k.mul(p, f), z);
    y = k.add(y, k.mul(exponent, -2.1219444e-4));
    y = k.sub(y, k.mul(z, 0.5));
    y = k.add(k.add(f, y), k.mul(exponent, 0.693359375));
  } else {
    const p = polynomial(
      f,
      [
        1.01875663804580931796e-4, 4.97494994976747001425e-1, 4.70579119878881725854, 1.44989225341610930846e1,
        1.79368678507819816313e1, 7.70838733755885391666,
      ],
    );
    const q = polynomial(
      f,
      [
        1, 1.1287358718916745059e1, 4.52279145837532221105e1, 8.29875266912776603211e1, 7.11544750618563894466e1,
        2.31251620126765340583e1,
      ],
    );
    y = k.mul(f, k.mul(z, k.div(p, q)));
    y = k.sub(y, k.mul(exponent, 2.121944400546905827679e-4));
    y = k.sub(y, k.mul(z, 0.5));
    y = k.add(k.add(f, y), k.mul(exponent, 0.693359375));
  }
  const special = select(k.eq(x, 0), Number.NEGATIVE_INFINITY, select(k.lt(x, 0), Number.NaN, x));
  // Infinity and NaN pass through; zero and negatives are special.
  const ordinary = k.and(k.gt(x, 0), k.lt(x, Number.POSITIVE_INFINITY));
  return select(ordinary, y, special);
}

/** log(1+x) = log(u)·x/(u−1) with u = 1+x rounded (Kahan). */
function log1p(x: Expr): Expr {
  const u = k.add(x, 1);
  const exact = k.eq(u, 1);
  const corrected = k.div(k.mul(log(u), x), k.sub(u, 1));
  return select(exact, x, select(k.eq(u, Number.POSITIVE_INFINITY), u, corrected));
}

/** eˣ−1 = (u−1)·x/log(u) with u = eˣ (Kahan); near zero the series would lose nothing either. */
function expm1(x: Expr): Expr {
  const u = exp(x);
  const d = k.sub(u, 1);
  const corrected = k.div(k.mul(d, x), log(u));
  const plain = k.or(k.le(d, -1), k.ge(u, x.type === "f32" ? 1e7 : 1e16));
  return select(k.eq(u, 1), x, select(plain, d, corrected));
}

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
  const r = k.sub(k.sub(k.sub(x, high), low), k.mul(n, 6.123233995736766e-17));
  const quadrant = k.and(cast(n, "i64"), constant(3n, "i64"));
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
  const s = k.add(r, k.mul(k.mul(r, z), polynomial(z, sinPolynomial)));
  const c = k.add(k.sub(1, k.mul(z, 0.5)), k.mul(k.mul(z, z), polynomial(z, cosPolynomial)));
  const q = k.and(k.add(quadrant, constant(shift, "i64")), constant(3n, "i64"));
  const odd = k.ne(k.and(q, constant(1n, "i64")), constant(0n, "i64"));
  const value = select(odd, c, s);
  const signed = select(k.ge(q, constant(2n, "i64")), k.neg(value), value);
  // ±∞ has no sine; beyond 2⁵⁰ the reduction has lost the quadrant, and NaN says so.
  return select(k.lt(k.abs(x), 2 ** 50), signed, Number.NaN);
}

const sin64 = (x: Expr): Expr => select(k.eq(x, 0), x, sinCos(x, 0n));
const cos64 = (x: Expr): Expr => sinCos(x, 1n);

function atan64(x: Expr): Expr {
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
  const y = k.add(base, k.add(k.add(k.mul(r, k.mul(z, k.div(p, q))), r), more));
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
}

/** Negative, or −0. */
const signBit = (x: Expr): Expr => k.lt(bitcast(x, "i64"), constant(0n, "i64"));

function atan2_64(y: Expr, x: Expr): Expr {
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

const asin64 = (x: Expr): Expr => {
  // atan2(x, √((1−x)(1+x))); beyond ±1 the root is NaN.
  const root = k.sqrt(k.mul(k.sub(1, x), k.add(x, 1)));
  return select(k.eq(x, 0), x, atan2_64(x, root));
};
const acos64 = (x: Expr): Expr => atan2_64(k.sqrt(k.mul(k.sub(1, x), k.add(x, 1))), x);

function tanh(x: Expr): Expr {
  if (x.type === "f32") {
    // Cephes: an odd polynomial near zero, 1 − 2/(e^2|x| + 1) beyond.
    const a = k.abs(x);
    const z = k.mul(x, x);
    const small = k.add(
      k.mul(
        k.mul(x, z),
        polynomial(z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1]),
      ),
      x,
    );
    const large = k.sub(1, k.div(2, k.add(exp(k.mul(a, 2)), 1)));
    return select(k.lt(a, 0.625), small, select(k.lt(x, 0), k.neg(large), large));
  }
  const t = expm1(k.mul(k.abs(x), 2));
  const y = select(k.gt(k.abs(x), 22), 1, k.div(t, k.add(t, 2)));
  return select(k.isNaN(x), x, select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y)));
}

const sinh64 = (x: Expr): Expr => {
  const t = expm1(k.abs(x));
  const small = k.mul(0.5, k.add(t, k.div(t, k.add(t, 1))));
  const half = exp(k.mul(k.abs(x), 0.5));
  const y = select(k.gt(k.abs(x), 22), k.mul(k.mul(half, 0.5), half), small);
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
};
const cosh64 = (x: Expr): Expr => {
  const half = exp(k.mul(k.abs(x), 0.5));
  const t = exp(k.abs(x));
  return select(k.gt(k.abs(x), 22), k.mul(k.mul(half, 0.5), half), k.mul(0.5, k.add(t, k.div(1, t))));
};
const asinh64 = (x: Expr): Expr => {
  const a = k.abs(x);
  const z = k.mul(a, a);
  const small = log1p(k.add(a, k.div(z, k.add(k.sqrt(k.add(z, 1)), 1))));
  const y = select(k.gt(a, 1e8), k.add(log(a), Math.LN2), small);
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
};
const acosh64 = (x: Expr): Expr => {
  const t = k.sub(x, 1);
  const ordinary = log1p(k.add(t, k.sqrt(k.add(k.mul(t, 2), k.mul(t, t)))));
  return select(k.gt(x, 1e8), k.add(log(x), Math.LN2), ordinary);
};
const atanh64 = (x: Expr): Expr => {
  const a = k.abs(x);
  const y = k.mul(0.5, log1p(k.div(k.mul(a, 2), k.sub(1, a))));
  return select(k.lt(x, 0), k.neg(y), select(k.eq(x, 0), x, y));
};

function erf(x: Expr): Expr {
  if (x.type === "f32") {
    // Eigen's rational approximation on [−4, 4].
    const c = select(k.lt(x, -4), -4, select(k.gt(x, 4), 4, x));
    const z = k.mul(c, c);
    const p = k.mul(
      c,
      polynomial(
        z,
        [
          -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5, -7.34990630326855e-4,
          -2.95459980854025e-3, -1.60960333262415e-2,
        ],
      ),
    );
    const q = polynomial(
      z,
      [-1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2],
    );
    return k.div(p, q);
  }
  const a = k.abs(x);
  const z = k.mul(x, x);
  const small = k.div(
    k.mul(
      x,
      polynomial(
        z,
        [
          9.60497373987051638749, 9.00260197203842689217e1, 2.23200534594684319226e3, 7.00332514112805075473e3,
          5.55923013010394962768e4,
        ],
      ),
    ),
    polynomial(
      z,
      [
        1, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3, 2.26290000613890934246e4,
        4.92673942608635921086e4,
      ],
    ),
  );
  const p = polynomial(
    a,
    [
      2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687, 4.86371970985681366614e1,
      1.96520832956077098242e2, 5.26445194995477358631e2, 9.3452852717195760754e2, 1.02755188689515710272e3,
      5.57535335369399327526e2,
    ],
  );
  const q = polynomial(
    a,
    [
      1, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2, 9.75708501743205489753e2,
      1.82390916687909736289e3, 2.24633760818710981792e3, 1.65666309194161350182e3, 5.57535340817727675546e2,
    ],
  );
  const tail = k.sub(1, k.div(k.mul(exp(k.neg(z)), p), q));
  const large = select(k.gt(a, 6), 1, tail);
  return select(k.isNaN(x), x, select(k.le(a, 1), small, select(k.lt(x, 0), k.neg(large), large)));
}

/** 1/(1+e⁻ˣ), computed from e^−|x| so that neither side overflows. */
function sigmoid(x: Expr): Expr {
  const e = exp(k.neg(k.abs(x)));
  const d = k.div(1, k.add(e, 1));
  return select(k.lt(x, 0), k.mul(e, d), d);
}

function pow64(x: Expr, y: Expr): Expr {
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
  const correction = k.add(k.mul(yLow, tHigh), k.mul(y, tLow));
  const sum = k.add(main, correction);
  const sumLow = k.add(k.sub(main, sum), correction);
  const e = exp(sum);
  const bounded = k.lt(k.abs(sum), 709);
  const ordinary = select(bounded, k.add(e, k.mul(e, sumLow)), e);
  const grows = k.eq(k.gt(a, 1), k.gt(y, 0));
  const extreme = select(grows, Number.POSITIVE_INFINITY, constant(0, "f64"));
  const isExtreme = k.or(
    k.or(k.eq(a, 0), k.eq(a, Number.POSITIVE_INFINITY)),
    k.or(k.eq(k.abs(y), Number.POSITIVE_INFINITY), k.gt(k.abs(y), 1e300)),
  );
  const atOne = k.eq(a, 1);
  return select(atOne, 1, select(isExtreme, extreme, ordinary));
}

function extremum(op: "max" | "min", a: Expr, b: Expr): Expr {
  const wins = op === "max" ? k.lt(b, a) : k.lt(a, b);
  return select(k.isFloat(a.type) ? k.or(wins, k.isNaN(a)) : wins, a, b);
}

const expansions: Record<MathOp, (...args: [Expr, Expr]) => Expr> = {
  exp,
  expm1: (x) => inF64(expm1, x),
  log,
  log1p: (x) => inF64(log1p, x),
  sin: (x) => inF64(sin64, x),
  cos: (x) => inF64(cos64, x),
  tan: (x) => inF64((v) => k.div(sin64(v), cos64(v)), x),
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

/** float16 bits (low half of an i32) → f32: rebias by a multiplication, which also normalises denormals. */
export function fromFloat16(bits: Expr): Expr {
  const magnitude = k.shl(k.and(bits, 0x7fff), 13);
  const scaled = k.mul(bitcast(magnitude, "f32"), 2 ** 112);
  const special = bitcast(k.or(magnitude, 0x7f800000), "f32");
  const value = select(k.ge(magnitude, 0x7c00 << 13), special, scaled);
  return select(k.ne(k.and(bits, 0x8000), 0), k.neg(value), value);
}

/** f32 → float16 bits, to nearest even, overflow to infinity. */
export function toFloat16(x: Expr): Expr {
  const bits = bitcast(x, "i32");
  const sign = k.and(k.shr(bits, 16), 0x8000);
  const a = k.and(bits, 0x7fffffff);
  // Normal: add half an ulp (ties to even by the lowest kept bit), drop 13 bits, rebias by −112.
  const normal = k.shr(k.add(k.add(k.sub(a, 112 << 23), 0xfff), k.and(k.shr(a, 13), 1)), 13);
  // Denormal: adding 2⁻¹⁴·2¹⁰·… aligns the mantissa so that float addition itself rounds.
  const denormal = k.sub(bitcast(k.add(bitcast(a, "f32"), 0.5), "i32"), 0x3f000000);
  const finite = select(k.lt(a, 113 << 23), denormal, normal);
  const clipped = select(k.ge(a, 0x477ff000), 0x7c00, finite);
  const nan = k.gt(a, 0x7f800000);
  return k.or(sign, select(nan, 0x7e00, clipped));
}

/** bfloat16 is the upper half of a float32. */
export const fromBfloat16 = (bits: Expr): Expr => bitcast(k.shl(bits, 16), "f32");

export function toBfloat16(x: Expr): Expr {
  const bits = bitcast(x, "i32");
  const rounded = k.shr(k.add(k.add(bits, 0x7fff), k.and(k.shr(bits, 16), 1)), 16);
  return k.and(select(k.isNaN(x), 0x7fc0, rounded), 0xffff);
}

/** Rewrites loads of 16-bit floats as conversions of their raw bits. */
export function expandLoads(e: Expr, types: readonly string[]): Expr {
  return rewrite(e, (n) => {
    if (n.op !== "load" && n.op !== "gather") return n;
    const t = types[n.slot];
    if (t !== "float16" && t !== "bfloat16") return n;
    if (n.type !== "f32") return n;
    const raw = make(n.op, "i32", n.args, 0, n.slot);
    return t === "float16" ? fromFloat16(raw) : fromBfloat16(raw);
  });
}
