/**
 * What both passes of a convolution begin with: the argument block, and the planes of a block of the input (see
 * kernel/convolution.ts), with the table of where each tap reads them.
 */
import { convolutionBlocks, convolutionNumbers, convolutionPointers } from "../convolution.js";
import { Code, type Value } from "./code.js";
import type { FunctionBuilder, ModuleBuilder } from "./encoder.js";
import { type Shape, zero } from "./tile.js";

type Names =
  | (typeof convolutionPointers)[number]
  | (typeof convolutionNumbers)[number]
  | (typeof convolutionBlocks)[number];
/** Numbers that count elements, and are wanted in bytes. */
const strides = /^(X_b|X_c|W_g|W_m|W_c|W_p|Ys_.|P_.)$/;

/** The locals that hold the argument block. */
export type Arguments = Readonly<Record<Names, number>>;

export function readArguments(k: Code, args: number, size: number): Arguments {
  const names = [...convolutionPointers, ...convolutionNumbers, ...convolutionBlocks];
  const out: Partial<Record<Names, number>> = {};
  names.forEach((name, i) => {
    const pointer = i < convolutionPointers.length;
    k.f
      .get(args)
      .memory("f64.load", 8 * i)
      .op(pointer ? "i32.trunc_sat_f64_u" : "i32.trunc_sat_f64_s");
    if (strides.test(name)) k.f.i32(size).op("i32.mul");
    out[name] = k.f.local("i32");
    k.f.set(out[name]);
  });
  return out as Arguments;
}

/** planes(to, x, channels, images, first row, args): [channel][phase][depth][image][row][column] */
export function makePlanes(module: ModuleBuilder, shape: Shape): FunctionBuilder {
  const { size, scalar } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  const [TO, X, COUNT, MANY, H0, ARGS] = [0, 1, 2, 3, 4, 5] as const;
  const a = readArguments(k, ARGS, size);
  const [deep, high, wide] = [k.add(a.Y_d, a.halo_d), k.add(a.rows, a.halo_h), k.let(k.add(a.Y_w, a.halo_w))];
  k.count(COUNT, (c) =>
    k.count(k.mul(a.phases_d, a.phases_h, a.phases_w), (phase) => {
      const skip = k.let(k.sub(a.pad_w, k.rem(phase, a.phases_w)));
      const fh = k.let(k.rem(k.div(phase, a.phases_w), a.phases_h));
      const fd = k.let(k.div(k.div(phase, a.phases_w), a.phases_h));
      const lo = k.let(k.min(wide, k.select(k.lt(k.c(0), skip), k.up(skip, a.stride_w), k.c(0))));
      const last = k.let(k.add(a.X_w, skip));
      const hi = k.let(k.max(lo, k.min(wide, k.select(k.lt(k.c(0), last), k.up(last, a.stride_w), k.c(0)))));
      k.count(deep, (d) => {
        const sd = k.let(k.sub(k.add(k.mul(d, a.stride_d), fd), a.pad_d));
        k.count(MANY, (i) =>
          k.count(high, (h) => {
            const sh = k.let(k.sub(k.add(k.mul(k.add(H0, h), a.stride_h), fh), a.pad_h));
            const row = k.let(
              k.add(TO, k.mul(c, a.P_c), k.mul(phase, a.P_f), k.mul(d, a.P_d), k.mul(i, a.P_i), k.mul(h, a.P_h)),
            );
            const inside = k.and(k.le(k.c(0), sd), k.lt(sd, a.X_d), k.le(k.c(0), sh), k.lt(sh, a.X_h));
            const [from, to] = [k.let(k.select(inside, lo, k.c(0))), k.let(k.select(inside, hi, k.c(0)))];
            const put = (w: number, value: () => void): void => {
              k.push(k.add(row, k.mul(w, k.c(size))));
              value();
              f.memory(`${scalar}.store`);
            };
            k.count(from, (w) => put(w, () => zero(f, shape)));
            const line = k.mul(k.sub(k.mul(k.add(k.mul(sd, a.X_h), sh), a.X_w), skip), k.c(size));
            const source = k.let(k.add(X, k.mul(i, a.X_b), k.mul(c, a.X_c), line));
            k.loop(from, to, k.c(1), (w) =>
              put(w, () => k.push(k.add(source, k.mul(w, a.stride_w, k.c(size)))).memory(`${scalar}.load`)),
            );
            k.loop(to, wide, k.c(1), (w) => put(w, () => zero(f, shape)));
          }),
        );
      });
    }),
  );
  return f;
}

/**
 * Leaves the planes of a block at `base`, where its part of X begins: made at `own`, or X itself from row `h0` on where nothing
 * needs to be copied.
 */
export function bringPlanes(
  k: Code,
  a: Arguments,
  planes: FunctionBuilder,
  at: Readonly<Record<"base" | "own" | "channels" | "images" | "h0", number>>,
): void {
  k.if(
    a.copy,
    () => {
      k.f.get(at.own).get(at.base).get(at.channels).get(at.images).get(at.h0).get(0).call(planes);
      k.set(at.base, at.own);
    },
    () => k.set(at.base, k.add(at.base, k.mul(at.h0, a.P_h))),
  );
}

/** at[c · T + t]: where tap t of channel c stands, in bytes. */
export function places(k: Code, a: Arguments, table: number, channels: Value, size: number): void {
  k.count(channels, (c) =>
    k.count(a.T_, (t) => {
      const tap = k.let(k.add(a.taps, k.mul(t, k.c(20))));
      k.push(k.add(table, k.mul(k.add(k.mul(c, a.T_), t), k.c(4))));
      k.push(
        k.add(
          k.mul(c, a.P_c),
          k.mul(k.int(tap), a.P_f),
          k.mul(k.int(tap, 4), a.P_d),
          k.mul(k.int(tap, 8), a.P_h),
          k.mul(k.int(tap, 12), k.c(size)),
        ),
      ).memory("i32.store");
    }),
  );
}
