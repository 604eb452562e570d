/**
 * The inner parts of the matrix product: packing panels, the micro-kernel over a tile in registers, and the copy of a tile at
 * the edge. `matmul.ts` decides which blocks they see. Convolutions have the same
 * tiles, and take the step along their depth from here.
 *
 * A tile is two vectors wide, and as high as the sixteen registers of x86 allow: with fused multiply-add six rows, which with
 * two vectors of B and one of A fill fifteen; without it the product needs one more, and a sixth row would be spilled. For the
 * same reason the micro-kernel is not unrolled: V8 then loads ahead, and spills.
 */
import type { MatmulKernel } from "../ir.js";
import type { FunctionBuilder, ModuleBuilder } from "./encoder.js";

const VECTORS = 2;

/** How a product's type lies in vectors. */
export interface Shape {
  readonly scalar: "f32" | "f64";
  readonly vector: "f32x4" | "f64x2";
  readonly size: 4 | 8;
  readonly lanes: 2 | 4;
  /** Rows and columns of a tile; and rows of a lower one, for what is left of a matrix. */
  readonly rows: number;
  readonly lower: number;
  readonly columns: number;
  readonly splat: string;
  readonly relaxed: boolean;
}

export function shapeFor(type: MatmulKernel["type"], relaxed: boolean): Shape {
  const rows = relaxed ? 6 : 5;
  const lower = 3;
  return type === "float32"
    ? {
        scalar: "f32",
        vector: "f32x4",
        size: 4,
        lanes: 4,
        rows,
        lower,
        columns: 4 * VECTORS,
        splat: "v128.load32_splat",
        relaxed,
      }
    : {
        scalar: "f64",
        vector: "f64x2",
        size: 8,
        lanes: 2,
        rows,
        lower,
        columns: 2 * VECTORS,
        splat: "v128.load64_splat",
        relaxed,
      };
}

/** Pushes a zero of the type. */
export const zero = (f: FunctionBuilder, { scalar }: Shape): FunctionBuilder =>
  scalar === "f32" ? f.f32(0) : f.f64(0);

/** The registers of a tile: its sums, by row and vector; a row of B; and a number of A, in every lane. */
export interface TileRegisters {
  readonly sums: readonly (readonly number[])[];
  readonly row: readonly number[];
  readonly x: number;
}

export function tileRegisters(f: FunctionBuilder, rows: number): TileRegisters {
  const vectors = (): number[] => Array.from({ length: VECTORS }, () => f.local("v128"));
  return { sums: Array.from({ length: rows }, vectors), row: vectors(), x: f.local("v128") };
}

/** One step of the depth: sums[r] ← sums[r] + A[r] · B. B's row lies at `b`; `a` pushes A[r], `next` moves on from it. */
export function tileStep(
  f: FunctionBuilder,
  { size, lanes, vector, relaxed }: Shape,
  { sums, row, x }: TileRegisters,
  b: number,
  a: (r: number) => void,
  next?: (r: number) => void,
): void {
  row.forEach((y, v) => {
    f.get(b)
      .memory("v128.load", v * lanes * size)
      .set(y);
  });
  sums.forEach((sum, r) => {
    a(r);
    f.set(x);
    sum.forEach((acc, v) => {
      if (relaxed) f.get(x).get(row[v]).get(acc).op(`${vector}.relaxed_madd`).set(acc);
      else f.get(acc).get(x).get(row[v]).op(`${vector}.mul`).op(`${vector}.add`).set(acc);
    });
    next?.(r);
  });
}

/** for (i = 0; i < n; i++) */
export function counted(f: FunctionBuilder, i: number, n: number, body: () => void): void {
  f.i32(0).set(i);
  f.repeat(
    () => f.get(i).get(n).op("i32.lt_s"),
    () => {
      body();
      f.get(i).i32(1).op("i32.add").set(i);
    },
  );
}

/**
 * micro(a, row stride of a, step of a, b, step of b, c, row stride of c, k, rows): a tile. A is read where it lies or in a
 * panel, B the same: at each step along k, a number a row and `columns` numbers side by side. Rows beyond `rows` are the last one
 * again, and go where it goes: a branch at the end would make V8 spill the sums within the loop.
 */
export function microKernel(module: ModuleBuilder, shape: Shape, rows: number): FunctionBuilder {
  const { size, lanes, splat } = shape;
  const f = module.function(Array.from({ length: 9 }, () => "i32" as const));
  const [A, A_ROW, A_STEP, B, B_STEP, C, STRIDE, K, ROWS] = Array.from({ length: 9 }, (_, i) => i);
  const pointers = Array.from({ length: rows }, () => f.local("i32"));
  const end = f.local("i32");
  const tile = tileRegisters(f, rows);
  pointers.forEach((p, r) => {
    if (r === 0) f.get(A).set(p);
    else {
      const before = pointers[r - 1];
      f.get(before).get(A_ROW).op("i32.add").get(before).get(ROWS).i32(r).op("i32.gt_s").op("select").set(p);
    }
  });
  f.get(B).get(K).get(B_STEP).op("i32.mul").op("i32.add").set(end);
  f.repeat(
    () => f.get(B).get(end).op("i32.ne"),
    () => {
      tileStep(
        f,
        shape,
        tile,
        B,
        (r) => f.get(pointers[r]).memory(splat),
        (r) => f.get(pointers[r]).get(A_STEP).op("i32.add").set(pointers[r]),
      );
      f.get(B).get(B_STEP).op("i32.add").set(B);
    },
  );
  tile.sums.forEach((sum, r) => {
    if (r > 0) f.get(C).i32(0).get(STRIDE).get(ROWS).i32(r).op("i32.le_s").op("select").op("i32.add").set(C);
    sum.forEach((acc, v) => {
      f.get(C)
        .get(acc)
        .memory("v128.store", v * lanes * size);
    });
  });
  return f;
}

/** copy(tile, c, row stride of c, rows, columns, add): the part of a tile that lies inside the matrix, or adds it to what is there. */
export function copyTile(module: ModuleBuilder, shape: Shape): FunctionBuilder {
  const { size, lanes, rows, columns, scalar, vector } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const [TILE, C, STRIDE, ROWS, COLUMNS, ADD] = [0, 1, 2, 3, 4, 5];
  const [i, j, from, to] = Array.from({ length: 4 }, () => f.local("i32"));
  const x = f.local(scalar);
  const wide = f.local("v128");
  const vectors = (): void => {
    for (let offset = 0; offset < columns * size; offset += lanes * size) {
      f.get(TILE).memory("v128.load", offset).set(wide);
      f.get(ADD).if(() => f.get(C).memory("v128.load", offset).get(wide).op(`${vector}.add`).set(wide));
      f.get(C).get(wide).memory("v128.store", offset);
    }
  };
  const single = (): void => {
    f.get(TILE).set(from).get(C).set(to);
    counted(f, j, COLUMNS, () => {
      f.get(from).memory(`${scalar}.load`).set(x);
      f.get(ADD).if(() => f.get(to).memory(`${scalar}.load`).get(x).op(`${scalar}.add`).set(x));
      f.get(to).get(x).memory(`${scalar}.store`);
      f.get(from).i32(size).op("i32.add").set(from);
      f.get(to).i32(size).op("i32.add").set(to);
    });
  };
  // a tile higher than the matrix is cut
  f.get(ROWS).i32(rows).get(ROWS).i32(rows).op("i32.lt_s").op("select").set(ROWS);
  counted(f, i, ROWS, () => {
    f.get(COLUMNS).i32(columns).op("i32.ge_s").if(vectors, single);
    f.get(TILE)
      .i32(columns * size)
      .op("i32.add")
      .set(TILE);
    f.get(C).get(STRIDE).op("i32.add").set(C);
  });
  return f;
}

/**
 * pack(source, stride across, stride along k, count, k, target): `count` rows of A (or columns of B) as panels of `width`,
 * each panel step by step along k, the last one padded with zeros.
 */
export function pack(module: ModuleBuilder, shape: Shape, width: number): FunctionBuilder {
  const { size, scalar, lanes } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const [SOURCE, ACROSS, ALONG, COUNT, K, TARGET] = [0, 1, 2, 3, 4, 5];
  const k = f.local("i32");
  const at = f.local("i32");
  const to = f.local("i32");
  const r = f.local("i32");
  // one pointer a row: the panel's rows are read side by side
  const pointers = Array.from({ length: width }, () => f.local("i32"));
  const start = (): void =>
    pointers.forEach((p, n) => {
      f.get(n === 0 ? SOURCE : pointers[n - 1]);
      if (n > 0) f.get(ACROSS).op("i32.add");
      f.set(p);
    });
  const next = (steps: number): void =>
    void f
      .get(TARGET)
      .i32(steps * width * size)
      .op("i32.add")
      .set(TARGET);
  /** `k` counts on from where it is. */
  const single = (): void => {
    f.repeat(
      () => f.get(k).get(K).op("i32.lt_s"),
      () => {
        pointers.forEach((p, n) => {
          f.get(TARGET)
            .get(p)
            .memory(`${scalar}.load`)
            .memory(`${scalar}.store`, n * size);
          f.get(p).get(ALONG).op("i32.add").set(p);
        });
        next(1);
        f.get(k).i32(1).op("i32.add").set(k);
      },
    );
  };
  const loose = (): void => {
    f.i32(0).set(k);
    start();
    single();
  };
  /** Side by side along k: `lanes` steps of `lanes` rows are turned in registers. */
  const turned = (): void => {
    const limit = f.local("i32");
    f.i32(0).set(k).get(K).i32(-lanes).op("i32.and").set(limit);
    start();
    f.repeat(
      () => f.get(k).get(limit).op("i32.lt_s"),
      () => {
        for (let n = 0; n < width; n += lanes) {
          const from = pointers.slice(n, n + lanes).map((p) => {
            const v = f.local("v128");
            f.get(p).memory("v128.load").set(v);
            f.get(p).i32(16).op("i32.add").set(p);
            return v;
          });
          transpose(f, from).forEach((v, step) => {
            f.get(TARGET)
              .get(v)
              .memory("v128.store", (step * width + n) * size);
          });
        }
        next(lanes);
        f.get(k).i32(lanes).op("i32.add").set(k);
      },
    );
    single();
  };
  const sideBySide = (): void => {
    f.get(SOURCE).set(at);
    counted(f, k, K, () => {
      let n = 0;
      for (; n + lanes <= width; n += lanes)
        f.get(TARGET)
          .get(at)
          .memory("v128.load", n * size)
          .memory("v128.store", n * size);
      for (; n < width; n++)
        f.get(TARGET)
          .get(at)
          .memory(`${scalar}.load`, n * size)
          .memory(`${scalar}.store`, n * size);
      f.get(at).get(ALONG).op("i32.add").set(at);
      next(1);
    });
  };
  const partial = (): void => {
    const row = (value: () => void): void => {
      f.get(TARGET).get(r).i32(size).op("i32.mul").op("i32.add").set(to);
      counted(f, k, K, () => {
        f.get(to);
        value();
        f.memory(`${scalar}.store`);
        f.get(to)
          .i32(width * size)
          .op("i32.add")
          .set(to);
      });
    };
    f.i32(0).set(r);
    f.repeat(
      () => f.get(r).i32(width).op("i32.lt_s"),
      () => {
        // never read beyond the matrix: it may end where memory does
        f.get(r).get(COUNT).op("i32.lt_s");
        f.if(
          () => {
            f.get(SOURCE).get(r).get(ACROSS).op("i32.mul").op("i32.add").set(at);
            row(() => {
              f.get(at).memory(`${scalar}.load`);
              f.get(at).get(ALONG).op("i32.add").set(at);
            });
          },
          () => row(() => zero(f, shape)),
        );
        f.get(r).i32(1).op("i32.add").set(r);
      },
    );
  };
  f.repeat(
    () => f.get(COUNT).i32(0).op("i32.gt_s"),
    () => {
      f.get(COUNT).i32(width).op("i32.ge_s");
      f.if(() => {
        f.get(ACROSS).i32(size).op("i32.eq");
        f.if(sideBySide, () => {
          if (width % lanes !== 0) loose();
          else f.get(ALONG).i32(size).op("i32.eq").if(turned, loose);
        });
      }, partial);
      f.get(SOURCE).get(ACROSS).i32(width).op("i32.mul").op("i32.add").set(SOURCE);
      f.get(COUNT).i32(width).op("i32.sub").set(COUNT);
    },
  );
  return f;
}

/** The transpose of a square of `rows.length` lanes. */
function transpose(f: FunctionBuilder, rows: readonly number[]): number[] {
  const lanes = rows.length;
  const bytes = 16 / lanes;
  /** Lanes of a, then of b, in this order. */
  const mix = (a: number, b: number, order: readonly number[]): number => {
    const v = f.local("v128");
    const unit = 16 / order.length;
    f.get(a)
      .get(b)
      .shuffle(order.flatMap((n) => Array.from({ length: unit }, (_, i) => n * unit + i)));
    f.set(v);
    return v;
  };
  const [a, b, c, d] = rows;
  if (bytes === 8) return [mix(a, b, [0, 2]), mix(a, b, [1, 3])];
  const [ab, AB, cd, CD] = [
    mix(a, b, [0, 4, 1, 5]),
    mix(a, b, [2, 6, 3, 7]),
    mix(c, d, [0, 4, 1, 5]),
    mix(c, d, [2, 6, 3, 7]),
  ];
  return [mix(ab, cd, [0, 1, 4, 5]), mix(ab, cd, [2, 3, 6, 7]), mix(AB, CD, [0, 1, 4, 5]), mix(AB, CD, [2, 3, 6, 7])];
}
