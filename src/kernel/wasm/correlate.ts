/**
 * The forward pass of a convolution: Y from X and W. A tile is some channels of Y by consecutive positions of the planes; it is
 * summed in registers, put down in scratch memory and copied from there to where its columns belong.
 */
import { Code, dispatch, type Value } from "./code.js";
import type { FunctionBuilder, ModuleBuilder } from "./encoder.js";
import { type Arguments, bringPlanes, places, readArguments } from "./planes.js";
import { type Shape, tileRegisters, tileStep } from "./tile.js";

/** What the parts of the pass share: the argument block, and where things lie in scratch memory. */
interface Pass {
  readonly k: Code;
  readonly a: Arguments;
  readonly shape: Shape;
  /** A tile of sums, and where each of its columns goes: an offset into Y, or −1. */
  readonly sums: number;
  readonly columns: number;
  /** Packed weights, as [group][block of channels][tile][k][row]; from channel `c0` on there are `count` in the block. */
  packed(g: Value, c0: Value, m: Value, count: Value): Value;
}

export function correlate(
  module: ModuleBuilder,
  shape: Shape,
  planes: FunctionBuilder,
  bias: boolean,
): FunctionBuilder {
  const { size, columns } = shape;
  const tiles = Array.from({ length: shape.rows }, (_, i) => tileKernel(module, shape, i + 1));
  const f = module.function(["i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  // Each thread brings scratch memory of its own.
  const a = { ...readArguments(k, 0, size), scratch: 3 };
  const bytes = k.c(size);
  const depths = k.let(k.mul(a.M, a.C, a.T_));
  // scratch: packed weights, one tile, where its columns go, the table of taps, planes
  const sums = k.let(k.add(a.scratch, k.mul(a.groups, depths, bytes)));
  const columnsAt = k.let(k.add(sums, k.c(shape.rows * columns * size)));
  const at = k.let(k.add(columnsAt, k.c(4 * columns)));
  const own = k.let(k.add(at, k.mul(a.channels, a.T_, k.c(4))));
  places(k, a, at, a.channels, size);
  const packed: Pass["packed"] = (g, c0, m, count) =>
    k.add(a.scratch, k.mul(k.add(k.mul(g, depths), k.mul(c0, a.T_, a.M), k.mul(m, count, a.T_)), bytes));
  const pass: Pass = { k, a, shape, sums, columns: columnsAt, packed };
  packWeights(pass);

  const rowBlocks = k.let(k.up(a.Y_h, a.rows));
  k.loop(1, 2, k.c(1), (u) => {
    const h0 = k.let(k.mul(k.rem(u, rowBlocks), a.rows));
    const g = k.let(k.rem(k.div(u, rowBlocks), a.groups));
    const i0 = k.let(k.mul(k.div(k.div(u, rowBlocks), a.groups), a.images));
    const many = k.let(k.min(a.images, k.sub(a.batch, i0)));
    const high = k.let(k.min(a.rows, k.sub(a.Y_h, h0)));
    // positions, in elements
    const [pi, ph] = [k.let(k.div(a.P_i, bytes)), k.let(k.div(a.P_h, bytes))];
    const total = k.let(k.add(k.mul(k.sub(many, k.c(1)), pi), k.mul(k.sub(high, k.c(1)), ph), a.Y_w));
    k.loop(k.c(0), k.max(a.C, k.c(1)), a.channels, (c0) => {
      const count = k.let(k.min(a.channels, k.sub(a.C, c0)));
      const depth = k.let(k.mul(count, a.T_));
      const base = k.let(k.add(a.X, k.mul(i0, a.X_b), k.mul(k.add(k.mul(g, a.C), c0), a.X_c)));
      bringPlanes(k, a, planes, { base, own, channels: count, images: many, h0 });
      k.count(a.Y_d, (d) => {
        const y = k.let(k.add(a.Y, k.mul(i0, a.Ys_b), k.mul(g, a.M, a.Ys_m), k.mul(d, a.Ys_d), k.mul(h0, a.Ys_h)));
        const slab = k.let(k.add(base, k.mul(d, a.P_d)));
        k.loop(k.c(0), total, k.c(columns), (n0) => {
          // Beyond X there may be no memory: the last tile begins so early that it ends with X.
          const late = k.and(k.eq(a.copy, k.c(0)), k.lt(total, k.add(n0, k.c(columns))));
          const start = k.let(k.select(late, k.sub(total, k.c(columns)), n0));
          const placed = placeColumns(pass, { n0, start, total, high, pi, ph });
          k.if(placed.count, () =>
            k.loop(k.c(0), a.M, a.tile, (m) => {
              const tall = k.let(k.min(a.tile, k.sub(a.M, m)));
              const panel = k.let(packed(g, c0, m, count));
              const b = k.let(
                bias ? k.select(c0, k.c(0), k.add(a.bias, k.mul(k.add(k.mul(g, a.M), m), bytes))) : k.c(0),
              );
              dispatch(k, tall, tiles, () => {
                f.get(depth).get(panel);
                k.push(k.add(slab, k.mul(start, bytes)));
                f.get(at).get(sums).get(b);
              });
              k.count(tall, (r) => {
                const from = k.let(k.add(sums, k.mul(r, k.c(columns * size))));
                const to = k.let(k.add(y, k.mul(k.add(m, r), a.Ys_m)));
                storeRow(pass, from, to, placed, c0);
              });
            }),
          );
        });
      });
    });
  });
  return f;
}

function packWeights({ k, a, shape: { size, scalar }, packed }: Pass): void {
  const bytes = k.c(size);
  k.count(a.groups, (g) =>
    k.loop(k.c(0), a.C, a.channels, (c0) => {
      const count = k.let(k.min(a.channels, k.sub(a.C, c0)));
      k.loop(k.c(0), a.M, a.tile, (m) => {
        const tall = k.let(k.min(a.tile, k.sub(a.M, m)));
        const to = k.let(packed(g, c0, m, count));
        k.count(count, (c) =>
          k.count(tall, (r) => {
            const from = k.let(k.add(a.W_, k.mul(g, a.W_g), k.mul(k.add(m, r), a.W_m), k.mul(k.add(c0, c), a.W_c)));
            k.count(a.T_, (t) => {
              k.push(k.add(to, k.mul(k.add(k.mul(k.add(k.mul(c, a.T_), t), tall), r), bytes)));
              k.push(k.add(from, k.mul(k.int(k.add(a.taps, k.mul(t, k.c(20))), 16), bytes)))
                .memory(`${scalar}.load`)
                .memory(`${scalar}.store`);
            });
          }),
        );
      });
    }),
  );
}

/** How many columns of a tile are stored, where the first goes, and whether all of them lie side by side in Y. */
interface Placed {
  readonly count: number;
  readonly first: number;
  readonly whole: number;
}

/**
 * Finds where the columns of a tile go that begins at position `start`. Not stored are those before `n0`, which the tile before
 * had, and those between the rows and images of Y.
 */
function placeColumns(
  { k, a, shape: { size, columns: width }, columns }: Pass,
  at: Readonly<Record<"n0" | "start" | "total" | "high" | "pi" | "ph", number>>,
): Placed {
  const count = k.let(k.c(0));
  k.count(k.c(width), (j) => {
    const n = k.let(k.add(at.start, j));
    const i = k.let(k.div(n, at.pi));
    const h = k.let(k.div(k.sub(n, k.mul(i, at.pi)), at.ph));
    const w = k.let(k.sub(k.sub(n, k.mul(i, at.pi)), k.mul(h, at.ph)));
    const inside = k.let(k.and(k.le(at.n0, n), k.lt(n, at.total), k.lt(w, a.Y_w), k.lt(h, at.high)));
    k.set(count, k.add(count, inside));
    k.push(k.add(columns, k.mul(j, k.c(4))));
    k.push(k.select(inside, k.add(k.mul(i, a.Ys_b), k.mul(h, a.Ys_h), k.mul(w, a.Ys_w)), k.c(-1))).memory("i32.store");
  });
  const first = k.let(k.int(columns));
  const span = k.sub(k.int(columns, 4 * (width - 1)), first);
  const whole = k.and(k.eq(count, k.c(width)), k.eq(span, k.c((width - 1) * size)), k.eq(a.Ys_w, k.c(size)));
  return { count, first, whole: k.let(whole) };
}

/** Copies a row of sums to where its columns go from `to` on; beyond the first block of channels, adds it to what is there. */
function storeRow({ k, shape, columns }: Pass, from: number, to: number, { whole, first }: Placed, c0: number): void {
  const { size, scalar, vector, lanes } = shape;
  const { f } = k;
  k.if(
    whole,
    () => {
      k.set(to, k.add(to, first));
      for (let v = 0; v < shape.columns; v += lanes) {
        f.get(to)
          .get(from)
          .memory("v128.load", v * size);
        const sum = f.local("v128");
        f.set(sum);
        k.if(c0, () =>
          f
            .get(sum)
            .get(to)
            .memory("v128.load", v * size)
            .op(`${vector}.add`)
            .set(sum),
        );
        f.get(sum).memory("v128.store", v * size);
      }
    },
    () =>
      k.count(k.c(shape.columns), (j) => {
        const where = k.let(k.int(k.add(columns, k.mul(j, k.c(4)))));
        k.if(k.le(k.c(0), where), () => {
          k.set(where, k.add(where, to));
          const sum = f.local(scalar);
          k.push(k.add(from, k.mul(j, k.c(size))))
            .memory(`${scalar}.load`)
            .set(sum);
          k.if(c0, () => f.get(sum).get(where).memory(`${scalar}.load`).op(`${scalar}.add`).set(sum));
          f.get(where).get(sum).memory(`${scalar}.store`);
        });
      }),
  );
}

/** tile(depth, a, b, at, c, bias): `rows` rows of sums into c, of a packed panel and rows of B that begin at b + at[k]. */
function tileKernel(module: ModuleBuilder, shape: Shape, rows: number): FunctionBuilder {
  const { size, lanes, columns, splat } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  const [DEPTH, A, B, AT, C, BIAS] = [0, 1, 2, 3, 4, 5] as const;
  const tile = tileRegisters(f, rows);
  const { sums } = tile;
  const from = f.local("i32");
  k.if(BIAS, () =>
    sums.forEach((sum, r) => {
      for (const acc of sum)
        f.get(BIAS)
          .memory(splat, r * size)
          .set(acc);
    }),
  );
  k.count(DEPTH, () => {
    k.set(from, k.add(B, k.int(AT)));
    tileStep(f, shape, tile, from, (r) => f.get(A).memory(splat, r * size));
    k.set(A, k.add(A, k.c(rows * size)));
    k.set(AT, k.add(AT, k.c(4)));
  });
  sums.forEach((sum, r) => {
    for (const [v, acc] of sum.entries())
      f.get(C)
        .get(acc)
        .memory("v128.store", (r * columns + v * lanes) * size);
  });
  return f;
}
