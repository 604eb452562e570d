/**
 * The gradient of a convolution's weights. A tile is some (channel, tap) pairs by consecutive channels of Y; A is the planes
 * themselves, read at each tap's distance, B the gradient of Y, packed with its channels side by side.
 */
import { Code, dispatch, type Value } from "./code.js";
import type { FunctionBuilder, ModuleBuilder } from "./encoder.js";
import { type Arguments, bringPlanes, places, readArguments } from "./planes.js";
import { type Shape, tileRegisters, tileStep, zero } from "./tile.js";

export function weights(module: ModuleBuilder, shape: Shape, planes: FunctionBuilder): FunctionBuilder {
  const { size, scalar, columns } = shape;
  const rowTiles = Array.from({ length: shape.rows }, (_, i) => rowKernel(module, shape, i + 1));
  const f = module.function(["i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  // Each thread brings scratch memory of its own.
  const a = { ...readArguments(k, 0, size), scratch: 3 };
  const bytes = k.c(size);
  const wide = k.let(k.mul(k.up(a.M, k.c(columns)), k.c(columns * size)));
  const pairs = k.let(k.mul(a.C, a.T_));
  // scratch: sums, the packed gradient, tables of rows and of taps, planes
  const packed = k.let(k.add(a.scratch, k.mul(pairs, wide)));
  const at = k.let(k.add(packed, k.mul(a.images, a.rows, a.Y_w, wide)));
  const place = k.let(k.add(at, k.mul(a.images, a.rows, k.c(4))));
  const own = k.let(k.add(place, k.mul(pairs, k.c(4))));
  places(k, a, place, a.C, size);
  const rowBlocks = k.let(k.up(a.Y_h, a.rows));
  const items = k.let(k.mul(k.up(a.batch, a.images), rowBlocks));
  k.loop(1, 2, k.c(1), (u) => {
    const [g, which] = [k.let(k.div(u, a.share)), k.let(k.rem(u, a.share))];
    k.loop(k.c(0), k.mul(pairs, wide), bytes, (j) => {
      k.push(k.add(a.scratch, j));
      zero(f, shape).memory(`${scalar}.store`);
    });
    const cut = (n: Value): Value => k.div(k.mul(items, n), a.share);
    k.loop(cut(which), cut(k.add(which, k.c(1))), k.c(1), (item) => {
      const [i0, h0] = [k.let(k.mul(k.div(item, rowBlocks), a.images)), k.let(k.mul(k.rem(item, rowBlocks), a.rows))];
      const [many, high] = [k.let(k.min(a.images, k.sub(a.batch, i0))), k.let(k.min(a.rows, k.sub(a.Y_h, h0)))];
      const base = k.let(k.add(a.X, k.mul(i0, a.X_b), k.mul(g, a.C, a.X_c)));
      bringPlanes(k, a, planes, { base, own, channels: a.C, images: many, h0 });
      const runs = k.let(k.mul(many, high));
      k.count(many, (i) =>
        k.count(high, (h) => {
          k.push(k.add(at, k.mul(k.add(k.mul(i, high), h), k.c(4))));
          k.push(k.add(k.mul(i, a.P_i), k.mul(h, a.P_h))).memory("i32.store");
        }),
      );
      k.count(a.Y_d, (d) => {
        const y = k.let(k.add(a.Y, k.mul(i0, a.Ys_b), k.mul(g, a.M, a.Ys_m), k.mul(d, a.Ys_d), k.mul(h0, a.Ys_h)));
        const sliver = k.let(k.mul(runs, a.Y_w, k.c(columns * size)));
        packGradient(k, a, shape, { y, packed, sliver, many, high });
        const slab = k.let(k.add(base, k.mul(d, a.P_d)));
        k.loop(k.c(0), pairs, a.tile, (p) => {
          const tall = k.let(k.min(a.tile, k.sub(pairs, p)));
          k.loop(k.c(0), a.M, k.c(columns), (m) =>
            dispatch(k, tall, rowTiles, () => {
              f.get(runs).get(at).get(a.Y_w);
              k.push(k.add(place, k.mul(p, k.c(4))));
              f.get(slab);
              k.push(k.add(packed, k.mul(k.div(m, k.c(columns)), sliver)));
              k.push(k.add(a.scratch, k.mul(p, wide), k.mul(m, bytes)));
              f.get(wide);
            }),
          );
        });
      });
    });
    storeWeights(k, a, shape, { g, which, wide });
  });
  return f;
}

/** The rows of Y's gradient from `y` on, in slivers of as many channels as a tile has columns, side by side. */
function packGradient(
  k: Code,
  a: Arguments,
  shape: Shape,
  at: Readonly<Record<"y" | "packed" | "sliver" | "many" | "high", number>>,
): void {
  const { size, scalar, columns } = shape;
  const { f } = k;
  k.loop(k.c(0), a.M, k.c(columns), (m) => {
    const to = k.let(k.add(at.packed, k.mul(k.div(m, k.c(columns)), at.sliver)));
    k.count(at.many, (i) =>
      k.count(at.high, (h) => {
        const from = k.let(k.add(at.y, k.mul(i, a.Ys_b), k.mul(m, a.Ys_m), k.mul(h, a.Ys_h)));
        k.count(a.Y_w, () => {
          for (let n = 0; n < columns; n++) {
            const value = f.local(scalar);
            zero(f, shape).set(value);
            k.if(k.lt(k.add(m, k.c(n)), a.M), () =>
              k
                .push(k.add(from, k.mul(a.Ys_m, k.c(n))))
                .memory(`${scalar}.load`)
                .set(value),
            );
            f.get(to)
              .get(value)
              .memory(`${scalar}.store`, n * size);
          }
          k.set(to, k.add(to, k.c(columns * size)));
          k.set(from, k.add(from, k.c(size)));
        });
      }),
    );
  });
}

/** Copies the sums of group `g` to where part `which` of the result stands. */
function storeWeights(
  k: Code,
  a: Arguments,
  { size, scalar }: Shape,
  { g, which, wide }: Readonly<Record<"g" | "which" | "wide", number>>,
): void {
  const bytes = k.c(size);
  k.count(a.M, (m) =>
    k.count(a.C, (c) =>
      k.count(a.T_, (t) => {
        const tap = k.int(k.add(a.taps, k.mul(t, k.c(20))), 16);
        k.push(k.add(a.W_, k.mul(which, a.W_p), k.mul(g, a.W_g), k.mul(m, a.W_m), k.mul(c, a.W_c), k.mul(tap, bytes)));
        k.push(k.add(a.scratch, k.mul(k.add(k.mul(c, a.T_), t), wide), k.mul(m, bytes)))
          .memory(`${scalar}.load`)
          .memory(`${scalar}.store`);
      }),
    ),
  );
}

/** rows(runs, at, length, place, a, b, c, stride of c): adds `rows` rows of sums to c; row i of A begins at a + place[i]. */
function rowKernel(module: ModuleBuilder, shape: Shape, rows: number): FunctionBuilder {
  const { size, lanes, columns, vector, splat } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  const [RUNS, AT, LENGTH, PLACE, A, B, C, STRIDE] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  const tile = tileRegisters(f, rows);
  const { sums } = tile;
  const pointers = sums.map(() => f.local("i32"));
  k.count(RUNS, (run) => {
    const from = k.let(k.add(A, k.int(k.add(AT, k.mul(run, k.c(4))))));
    pointers.forEach((p, r) => k.set(p, k.add(from, k.int(PLACE, 4 * r))));
    k.count(LENGTH, () => {
      tileStep(
        f,
        shape,
        tile,
        B,
        (r) => f.get(pointers[r]).memory(splat),
        (r) => k.set(pointers[r], k.add(pointers[r], k.c(size))),
      );
      k.set(B, k.add(B, k.c(columns * size)));
    });
  });
  for (const sum of sums) {
    for (const [v, acc] of sum.entries()) {
      f.get(C)
        .get(C)
        .memory("v128.load", v * lanes * size)
        .get(acc)
        .op(`${vector}.add`)
        .memory("v128.store", v * lanes * size);
    }
    k.set(C, k.add(C, STRIDE));
  }
  return f;
}
