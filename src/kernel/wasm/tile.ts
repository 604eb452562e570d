/**
 * The inner parts of the matrix product: packing panels, the micro-kernel over a tile of MR × columns in registers, and the
 * copy of a tile at the edge. `matmul.ts` decides which blocks they see.
 *
 * Six rows of two vectors are twelve accumulators: with two vectors of B and one of A they fill the sixteen registers of x86.
 */
import type { MatmulKernel } from "../ir.js";
import type { FunctionBuilder, ModuleBuilder } from "./encoder.js";

export const MR = 6;
const VECTORS = 2;
const UNROLL = 4;

/** How a product's type lies in vectors. */
export interface Shape {
  readonly scalar: "f32" | "f64";
  readonly vector: "f32x4" | "f64x2";
  readonly size: 4 | 8;
  readonly lanes: 2 | 4;
  /** Columns of a tile. */
  readonly columns: number;
  readonly splat: string;
  readonly relaxed: boolean;
}

export function shapeFor(type: MatmulKernel["type"], relaxed: boolean): Shape {
  return type === "float32"
    ? { scalar: "f32", vector: "f32x4", size: 4, lanes: 4, columns: 4 * VECTORS, splat: "v128.load32_splat", relaxed }
    : { scalar: "f64", vector: "f64x2", size: 8, lanes: 2, columns: 2 * VECTORS, splat: "v128.load64_splat", relaxed };
}

/** acc ← acc + x · y */
export function multiplyAdd(f: FunctionBuilder, shape: Shape, acc: number, x: () => void, y: () => void): void {
  if (shape.relaxed) {
    x();
    y();
    f.get(acc).op(`${shape.vector}.relaxed_madd`).set(acc);
  } else {
    f.get(acc);
    x();
    y();
    f.op(`${shape.vector}.mul`).op(`${shape.vector}.add`).set(acc);
  }
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

/** micro(a, b, c, row stride of c, k, accumulate): a tile from two packed panels. */
export function microKernel(module: ModuleBuilder, shape: Shape): FunctionBuilder {
  const { size, lanes, columns, vector, splat } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const [A, B, C, STRIDE, K, ACCUMULATE] = [0, 1, 2, 3, 4, 5];
  const i = f.local("i32");
  const n = f.local("i32");
  const sums = Array.from({ length: MR }, () => Array.from({ length: VECTORS }, () => f.local("v128")));
  const row = Array.from({ length: VECTORS }, () => f.local("v128"));
  const x = f.local("v128");
  const steps = (count: number): void => {
    for (let u = 0; u < count; u++) {
      row.forEach((r, v) =>
        f
          .get(B)
          .memory("v128.load", (u * columns + v * lanes) * size)
          .set(r),
      );
      sums.forEach((sum, r) => {
        f.get(A)
          .memory(splat, (u * MR + r) * size)
          .set(x);
        sum.forEach((acc, v) => {
          multiplyAdd(
            f,
            shape,
            acc,
            () => f.get(x),
            () => f.get(row[v]),
          );
        });
      });
    }
    f.get(A)
      .i32(count * MR * size)
      .op("i32.add")
      .set(A);
    f.get(B)
      .i32(count * columns * size)
      .op("i32.add")
      .set(B);
  };
  f.get(K).i32(Math.log2(UNROLL)).op("i32.shr_u").set(n);
  counted(f, i, n, () => steps(UNROLL));
  f.get(K)
    .i32(UNROLL - 1)
    .op("i32.and")
    .set(n);
  counted(f, i, n, () => steps(1));
  const store = (add: boolean): void => {
    for (const sum of sums) {
      sum.forEach((acc, v) => {
        const offset = v * lanes * size;
        f.get(C).get(acc);
        if (add) f.get(C).memory("v128.load", offset).op(`${vector}.add`);
        f.memory("v128.store", offset);
      });
      f.get(C).get(STRIDE).op("i32.add").set(C);
    }
  };
  f.get(ACCUMULATE).if(
    () => store(true),
    () => store(false),
  );
  return f;
}

/** copy(tile, c, row stride of c, rows, columns, accumulate): the part of a tile that lies inside the matrix. */
export function copyTile(module: ModuleBuilder, shape: Shape): FunctionBuilder {
  const { size, columns, scalar } = shape;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const [TILE, C, STRIDE, ROWS, COLUMNS, ACCUMULATE] = [0, 1, 2, 3, 4, 5];
  const [i, j, from, to] = Array.from({ length: 4 }, () => f.local("i32"));
  const x = f.local(scalar);
  // a tile wider or higher than the matrix is cut, one that is not is whole
  for (const [n, most] of [
    [ROWS, MR],
    [COLUMNS, columns],
  ]) {
    f.get(n).i32(most).get(n).i32(most).op("i32.lt_s").op("select").set(n);
  }
  counted(f, i, ROWS, () => {
    f.get(TILE).set(from).get(C).set(to);
    counted(f, j, COLUMNS, () => {
      f.get(from).memory(`${scalar}.load`).set(x);
      f.get(ACCUMULATE).if(() => f.get(to).memory(`${scalar}.load`).get(x).op(`${scalar}.add`).set(x));
      f.get(to).get(x).memory(`${scalar}.store`);
      f.get(from).i32(size).op("i32.add").set(from);
      f.get(to).i32(size).op("i32.add").set(to);
    });
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
  const end = f.local("i32");
  const r = f.local("i32");
  const vectors = width % lanes === 0;
  const whole = (): void => {
    // one pointer a row: the panel's rows are read side by side
    const pointers = Array.from({ length: width }, () => f.local("i32"));
    pointers.forEach((p, n) => {
      f.get(n === 0 ? SOURCE : pointers[n - 1]);
      if (n > 0) f.get(ACROSS).op("i32.add");
      f.set(p);
    });
    counted(f, k, K, () => {
      pointers.forEach((p, n) => {
        f.get(TARGET)
          .get(p)
          .memory(`${scalar}.load`)
          .memory(`${scalar}.store`, n * size);
        f.get(p).get(ALONG).op("i32.add").set(p);
      });
      f.get(TARGET)
        .i32(width * size)
        .op("i32.add")
        .set(TARGET);
    });
  };
  const sideBySide = (): void => {
    f.get(SOURCE).set(at);
    counted(f, k, K, () => {
      for (let v = 0; v < width; v += lanes) {
        f.get(TARGET)
          .get(at)
          .memory("v128.load", v * size)
          .memory("v128.store", v * size);
      }
      f.get(at).get(ALONG).op("i32.add").set(at);
      f.get(TARGET)
        .i32(width * size)
        .op("i32.add")
        .set(TARGET);
    });
  };
  const partial = (): void => {
    counted(f, k, K, () => {
      f.get(SOURCE).get(k).get(ALONG).op("i32.mul").op("i32.add").set(at);
      f.i32(0).set(r);
      f.get(TARGET)
        .i32(width * size)
        .op("i32.add")
        .set(end);
      f.repeat(
        () => f.get(TARGET).get(end).op("i32.lt_u"),
        () => {
          f.get(TARGET);
          // never read beyond the matrix: it may end where memory does
          const v = f.local(scalar);
          if (scalar === "f32") f.f32(0);
          else f.f64(0);
          f.set(v);
          f.get(r)
            .get(COUNT)
            .op("i32.lt_s")
            .if(() => f.get(at).memory(`${scalar}.load`).set(v));
          f.get(v).memory(`${scalar}.store`);
          f.get(at).get(ACROSS).op("i32.add").set(at);
          f.get(r).i32(1).op("i32.add").set(r);
          f.get(TARGET).i32(size).op("i32.add").set(TARGET);
        },
      );
    });
  };
  f.repeat(
    () => f.get(COUNT).i32(0).op("i32.gt_s"),
    () => {
      f.get(COUNT).i32(width).op("i32.ge_s");
      f.if(() => {
        if (vectors) f.get(ACROSS).i32(size).op("i32.eq").if(sideBySide, whole);
        else whole();
      }, partial);
      f.get(SOURCE).get(ACROSS).i32(width).op("i32.mul").op("i32.add").set(SOURCE);
      f.get(COUNT).i32(width).op("i32.sub").set(COUNT);
    },
  );
  return f;
}
