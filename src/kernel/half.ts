/**
 * float16 and bfloat16, which no engine computes with: their bits become float32 where they are loaded and are rounded where they
 * are stored. All of it is written in primitives, so that renderers see integers of 16 bits only.
 */
import * as k from "./expr.js";
import { bitcast, type Expr, select } from "./expr.js";
import { make, rewrite } from "./ir.js";

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
