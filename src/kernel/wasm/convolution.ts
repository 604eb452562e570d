/**
 * Renders convolutions to WebAssembly, in the same steps as `c/convolution.ts`: planes of a block of the input, and tiles that
 * read them where they lie. A tile is up to six rows of two vectors; it is summed in registers, put down in scratch memory and
 * copied from there to where its columns belong.
 */
import { type ConvolutionTuning, convolutionBlocks, convolutionNumbers, convolutionPointers } from "../convolution.js";
import type { ConvolutionKernel } from "../ir.js";
import { type FunctionBuilder, ModuleBuilder } from "./encoder.js";
import type { MatmulFeatures } from "./matmul.js";
import { multiplyAdd, type Shape, shapeFor } from "./tile.js";

export function convolutionTuning(type: ConvolutionKernel["type"], relaxed: boolean): ConvolutionTuning {
  const half = type === "float32" ? 1 : 2;
  const { columns, rows } = shapeFor(type, relaxed);
  return { columns, tileRows: rows, weightRows: rows, planes: (1 << 16) / half, depth: 384 / half };
}

/** A value on the way to the stack: a local, or code that pushes it. */
type Value = number | (() => void);

/** i32 arithmetic and loops over a function, so that addresses can be written as expressions. */
class Code {
  constructor(readonly f: FunctionBuilder) {}
  push(v: Value): FunctionBuilder {
    if (typeof v === "number") this.f.get(v);
    else v();
    return this.f;
  }
  c(n: number): Value {
    return () => this.f.i32(n);
  }
  private two(op: string, a: Value, b: Value): Value {
    return () => {
      this.push(a);
      this.push(b);
      this.f.op(`i32.${op}`);
    };
  }
  add = (...list: readonly Value[]): Value => list.reduce((a, b) => this.two("add", a, b));
  sub = (a: Value, b: Value): Value => this.two("sub", a, b);
  mul = (...list: readonly Value[]): Value => list.reduce((a, b) => this.two("mul", a, b));
  div = (a: Value, b: Value): Value => this.two("div_s", a, b);
  rem = (a: Value, b: Value): Value => this.two("rem_s", a, b);
  lt = (a: Value, b: Value): Value => this.two("lt_s", a, b);
  le = (a: Value, b: Value): Value => this.two("le_s", a, b);
  eq = (a: Value, b: Value): Value => this.two("eq", a, b);
  and = (...list: readonly Value[]): Value => list.reduce((a, b) => this.two("and", a, b));
  or = (a: Value, b: Value): Value => this.two("or", a, b);
  /** ⌈a / b⌉ of positive numbers. */
  up = (a: Value, b: Value): Value => this.div(this.sub(this.add(a, b), this.c(1)), b);
  select(condition: Value, yes: Value, no: Value): Value {
    return () => {
      this.push(yes);
      this.push(no);
      this.push(condition).op("select");
    };
  }
  min = (a: Value, b: Value): Value => this.select(this.lt(a, b), a, b);
  max = (a: Value, b: Value): Value => this.select(this.lt(a, b), b, a);
  int(at: Value, offset = 0): Value {
    return () => this.push(at).memory("i32.load", offset);
  }
  set(local: number, v: Value): void {
    this.push(v).set(local);
  }
  /** A local that holds `v`. */
  let(v: Value): number {
    const local = this.f.local("i32");
    this.set(local, v);
    return local;
  }
  /** for (i = from; i < to; i += step) */
  loop(from: Value, to: Value, step: Value, body: (i: number) => void): void {
    const i = this.let(from);
    const end = this.let(to);
    this.f.repeat(
      () => this.push(this.lt(i, end)),
      () => {
        body(i);
        this.set(i, this.add(i, step));
      },
    );
  }
  count(n: Value, body: (i: number) => void): void {
    this.loop(this.c(0), n, this.c(1), body);
  }
  if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.push(condition).if(then, otherwise);
  }
}

type Names =
  | (typeof convolutionPointers)[number]
  | (typeof convolutionNumbers)[number]
  | (typeof convolutionBlocks)[number];
/** Numbers that count elements, and are wanted in bytes. */
const strides = /^(X_b|X_c|W_g|W_m|W_c|W_p|Ys_.|P_.)$/;

/** The argument block in locals. */
function read(k: Code, args: number, size: number): Readonly<Record<Names, number>> {
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
  return out as Readonly<Record<Names, number>>;
}

export function renderConvolution(kernel: ConvolutionKernel, features: MatmulFeatures): Uint8Array<ArrayBuffer> {
  const shape = shapeFor(kernel.type, features.relaxed);
  const module = new ModuleBuilder(features.shared);
  const planes = makePlanes(module, shape);
  return module.encode(
    kernel.pass === "correlate" ? correlate(module, shape, planes, kernel.bias) : weights(module, shape, planes),
  );
}

/** planes(to, x, channels, images, first row, args): [channel][phase][depth][image][row][column] */
function makePlanes(module: ModuleBuilder, { size, scalar }: Shape): FunctionBuilder {
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  const [TO, X, COUNT, MANY, H0, ARGS] = [0, 1, 2, 3, 4, 5] as const;
  const a = read(k, ARGS, size);
  const zero = (): FunctionBuilder => (scalar === "f32" ? f.f32(0) : f.f64(0));
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
            k.count(from, (w) => put(w, zero));
            const line = k.mul(k.sub(k.mul(k.add(k.mul(sd, a.X_h), sh), a.X_w), skip), k.c(size));
            const source = k.let(k.add(X, k.mul(i, a.X_b), k.mul(c, a.X_c), line));
            k.loop(from, to, k.c(1), (w) =>
              put(w, () => k.push(k.add(source, k.mul(w, a.stride_w, k.c(size)))).memory(`${scalar}.load`)),
            );
            k.loop(to, wide, k.c(1), (w) => put(w, zero));
          }),
        );
      });
    }),
  );
  return f;
}

/** at[c · T + t]: where tap t of channel c stands, in bytes. */
function places(k: Code, a: Readonly<Record<Names, number>>, table: number, channels: Value, size: number): void {
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

/** Calls the function for as many rows as `rows` says. */
function dispatch(k: Code, rows: number, functions: readonly FunctionBuilder[], args: () => void): void {
  functions.forEach((g, i) =>
    k.if(k.eq(rows, k.c(i + 1)), () => {
      args();
      k.f.call(g);
    }),
  );
}

const vectorsOf = (shape: Shape): number => shape.columns / shape.lanes;

/** tile(depth, a, b, at, c, bias): `rows` rows of sums into c, of a packed panel and rows of B that begin at b + at[k]. */
function tileKernel(module: ModuleBuilder, shape: Shape, rows: number): FunctionBuilder {
  const { size, lanes, columns, splat } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  const [DEPTH, A, B, AT, C, BIAS] = [0, 1, 2, 3, 4, 5] as const;
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectorsOf(shape) }, () => f.local("v128")));
  const row = sums[0]?.map(() => f.local("v128")) as number[];
  const x = f.local("v128");
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
    for (const [v, r] of row.entries())
      f.get(from)
        .memory("v128.load", v * lanes * size)
        .set(r);
    sums.forEach((sum, r) => {
      f.get(A)
        .memory(splat, r * size)
        .set(x);
      sum.forEach((acc, v) => {
        multiplyAdd(
          f,
          shape,
          acc,
          () => f.get(x),
          () => f.get(row[v] as number),
        );
      });
    });
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

function correlate(module: ModuleBuilder, shape: Shape, planes: FunctionBuilder, bias: boolean): FunctionBuilder {
  const { size, scalar, vector, columns, lanes } = shape;
  const tiles = Array.from({ length: shape.rows }, (_, i) => tileKernel(module, shape, i + 1));
  const f = module.function(["i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  // Each thread brings scratch memory of its own.
  const a = { ...read(k, 0, size), scratch: 3 };
  const bytes = k.c(size);
  const depths = k.let(k.mul(a.M, a.C, a.T_));
  // scratch: packed weights, one tile, where its columns go, planes, the table of taps
  const part = k.let(k.add(a.scratch, k.mul(a.groups, depths, bytes)));
  const columnsAt = k.let(k.add(part, k.c(shape.rows * columns * size)));
  const at = k.let(k.add(columnsAt, k.c(4 * columns)));
  const own = k.let(k.add(at, k.mul(a.channels, a.T_, k.c(4))));
  places(k, a, at, a.channels, size);

  /** Weights as [group][block of channels][tile][k][row]. */
  const packedAt = (g: Value, c0: Value, m: Value, count: Value): Value =>
    k.mul(k.add(k.mul(g, depths), k.mul(c0, a.T_, a.M), k.mul(m, count, a.T_)), bytes);
  k.count(a.groups, (g) =>
    k.loop(k.c(0), a.C, a.channels, (c0) => {
      const count = k.let(k.min(a.channels, k.sub(a.C, c0)));
      k.loop(k.c(0), a.M, a.tile, (m) => {
        const tall = k.let(k.min(a.tile, k.sub(a.M, m)));
        const to = k.let(k.add(a.scratch, packedAt(g, c0, m, count)));
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
      k.if(
        a.copy,
        () => {
          f.get(own).get(base).get(count).get(many).get(h0).get(0).call(planes);
          k.set(base, own);
        },
        () => k.set(base, k.add(base, k.mul(h0, a.P_h))),
      );
      k.count(a.Y_d, (d) => {
        const y = k.let(k.add(a.Y, k.mul(i0, a.Ys_b), k.mul(g, a.M, a.Ys_m), k.mul(d, a.Ys_d), k.mul(h0, a.Ys_h)));
        const slab = k.let(k.add(base, k.mul(d, a.P_d)));
        k.loop(k.c(0), total, k.c(columns), (n0) => {
          // Beyond X there may be no memory: the last tile begins so early that it ends with X.
          const late = k.and(k.eq(a.copy, k.c(0)), k.lt(total, k.add(n0, k.c(columns))));
          const start = k.let(k.select(late, k.sub(total, k.c(columns)), n0));
          const stored = k.let(k.c(0));
          k.count(k.c(columns), (j) => {
            const n = k.let(k.add(start, j));
            const i = k.let(k.div(n, pi));
            const h = k.let(k.div(k.sub(n, k.mul(i, pi)), ph));
            const w = k.let(k.sub(k.sub(n, k.mul(i, pi)), k.mul(h, ph)));
            const inside = k.let(k.and(k.le(n0, n), k.lt(n, total), k.lt(w, a.Y_w), k.lt(h, high)));
            k.set(stored, k.add(stored, inside));
            k.push(k.add(columnsAt, k.mul(j, k.c(4))));
            k.push(k.select(inside, k.add(k.mul(i, a.Ys_b), k.mul(h, a.Ys_h), k.mul(w, a.Ys_w)), k.c(-1))).memory(
              "i32.store",
            );
          });
          const first = k.let(k.int(columnsAt));
          const span = k.sub(k.int(columnsAt, 4 * (columns - 1)), first);
          const whole = k.let(
            k.and(k.eq(stored, k.c(columns)), k.eq(span, k.c((columns - 1) * size)), k.eq(a.Ys_w, bytes)),
          );
          k.if(stored, () =>
            k.loop(k.c(0), a.M, a.tile, (m) => {
              const tall = k.let(k.min(a.tile, k.sub(a.M, m)));
              const panel = k.let(k.add(a.scratch, packedAt(g, c0, m, count)));
              const b = k.let(
                bias ? k.select(c0, k.c(0), k.add(a.bias, k.mul(k.add(k.mul(g, a.M), m), bytes))) : k.c(0),
              );
              dispatch(k, tall, tiles, () => {
                f.get(depth).get(panel);
                k.push(k.add(slab, k.mul(start, bytes)));
                f.get(at).get(part).get(b);
              });
              k.count(tall, (r) => {
                const from = k.let(k.add(part, k.mul(r, k.c(columns * size))));
                const to = k.let(k.add(y, k.mul(k.add(m, r), a.Ys_m)));
                k.if(
                  whole,
                  () => {
                    k.set(to, k.add(to, first));
                    for (let v = 0; v < columns; v += lanes) {
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
                    k.count(k.c(columns), (j) => {
                      const where = k.let(k.int(k.add(columnsAt, k.mul(j, k.c(4)))));
                      k.if(k.le(k.c(0), where), () => {
                        k.set(where, k.add(where, to));
                        const sum = f.local(scalar);
                        k.push(k.add(from, k.mul(j, bytes)))
                          .memory(`${scalar}.load`)
                          .set(sum);
                        k.if(c0, () => f.get(sum).get(where).memory(`${scalar}.load`).op(`${scalar}.add`).set(sum));
                        f.get(where).get(sum).memory(`${scalar}.store`);
                      });
                    }),
                );
              });
            }),
          );
        });
      });
    });
  });
  return f;
}

/** rows(runs, at, length, place, a, b, c, stride of c): adds `rows` rows of sums to c; row i of A begins at a + place[i]. */
function rowKernel(module: ModuleBuilder, shape: Shape, rows: number): FunctionBuilder {
  const { size, lanes, columns, vector, splat } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  const [RUNS, AT, LENGTH, PLACE, A, B, C, STRIDE] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  const sums = Array.from({ length: rows }, () => Array.from({ length: vectorsOf(shape) }, () => f.local("v128")));
  const row = sums[0]?.map(() => f.local("v128")) as number[];
  const x = f.local("v128");
  const pointers = sums.map(() => f.local("i32"));
  k.count(RUNS, (run) => {
    const from = k.let(k.add(A, k.int(k.add(AT, k.mul(run, k.c(4))))));
    pointers.forEach((p, r) => k.set(p, k.add(from, k.int(PLACE, 4 * r))));
    k.count(LENGTH, () => {
      for (const [v, r] of row.entries())
        f.get(B)
          .memory("v128.load", v * lanes * size)
          .set(r);
      sums.forEach((sum, r) => {
        f.get(pointers[r] as number)
          .memory(splat)
          .set(x);
        sum.forEach((acc, v) => {
          multiplyAdd(
            f,
            shape,
            acc,
            () => f.get(x),
            () => f.get(row[v] as number),
          );
        });
        k.set(pointers[r] as number, k.add(pointers[r] as number, k.c(size)));
      });
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

function weights(module: ModuleBuilder, shape: Shape, planes: FunctionBuilder): FunctionBuilder {
  const { size, scalar, columns } = shape;
  const rowTiles = Array.from({ length: shape.rows }, (_, i) => rowKernel(module, shape, i + 1));
  const f = module.function(["i32", "i32", "i32", "i32"]);
  const k = new Code(f);
  // Each thread brings scratch memory of its own.
  const a = { ...read(k, 0, size), scratch: 3 };
  const bytes = k.c(size);
  const zero = (): FunctionBuilder => (scalar === "f32" ? f.f32(0) : f.f64(0));
  const wide = k.let(k.mul(k.up(a.M, k.c(columns)), k.c(columns * size)));
  const pairs = k.let(k.mul(a.C, a.T_));
  // scratch: sums, the packed gradient, planes, tables of rows and of taps
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
      zero().memory(`${scalar}.store`);
    });
    const cut = (n: Value): Value => k.div(k.mul(items, n), a.share);
    k.loop(cut(which), cut(k.add(which, k.c(1))), k.c(1), (item) => {
      const [i0, h0] = [k.let(k.mul(k.div(item, rowBlocks), a.images)), k.let(k.mul(k.rem(item, rowBlocks), a.rows))];
      const [many, high] = [k.let(k.min(a.images, k.sub(a.batch, i0))), k.let(k.min(a.rows, k.sub(a.Y_h, h0)))];
      const base = k.let(k.add(a.X, k.mul(i0, a.X_b), k.mul(g, a.C, a.X_c)));
      k.if(
        a.copy,
        () => {
          f.get(own).get(base).get(a.C).get(many).get(h0).get(0).call(planes);
          k.set(base, own);
        },
        () => k.set(base, k.add(base, k.mul(h0, a.P_h))),
      );
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
        k.loop(k.c(0), a.M, k.c(columns), (m) => {
          const to = k.let(k.add(packed, k.mul(k.div(m, k.c(columns)), sliver)));
          k.count(many, (i) =>
            k.count(high, (h) => {
              const from = k.let(k.add(y, k.mul(i, a.Ys_b), k.mul(m, a.Ys_m), k.mul(h, a.Ys_h)));
              k.count(a.Y_w, () => {
                for (let n = 0; n < columns; n++) {
                  const value = f.local(scalar);
                  zero().set(value);
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
                k.set(from, k.add(from, bytes));
              });
            }),
          );
        });
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
    k.count(a.M, (m) =>
      k.count(a.C, (c) =>
        k.count(a.T_, (t) => {
          const tap = k.int(k.add(a.taps, k.mul(t, k.c(20))), 16);
          k.push(
            k.add(a.W_, k.mul(which, a.W_p), k.mul(g, a.W_g), k.mul(m, a.W_m), k.mul(c, a.W_c), k.mul(tap, bytes)),
          );
          k.push(k.add(a.scratch, k.mul(k.add(k.mul(c, a.T_), t), wide), k.mul(m, bytes)))
            .memory(`${scalar}.load`)
            .memory(`${scalar}.store`);
        }),
      ),
    );
  });
  return f;
}
