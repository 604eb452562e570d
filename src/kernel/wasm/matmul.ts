/**
 * Renders a MatmulKernel to WebAssembly: blocks of A and B are packed into scratch so that a register-tiled micro-kernel reads
 * both of them in order (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008). The micro-kernel
 * and the packing are in `tile.ts`; expressions of the epilogue are `ops.ts`'s. Products of up to three rows are better run as
 * reductions, and whoever builds kernels does so.
 *
 * A unit is a block of rows of one matrix of the batch. A launch packs B once for all the row blocks it was given.
 */
import { type Expr, type MatmulKernel, make, topological } from "../ir.js";
import { type FunctionBuilder, ModuleBuilder } from "./encoder.js";
import { emit, localTypeOf, pushConstant } from "./ops.js";
import { copyTile, counted, MR, microKernel, pack, type Shape, shapeFor } from "./tile.js";

/** Rows of A in a packed block (a multiple of MR), steps of K, columns of B. A's block stays in the second-level cache. */
const MC = 96;
const KC = 256;
const NC = 1024;

export interface MatmulFeatures {
  /** Use relaxed SIMD's fused multiply-add. */
  readonly relaxed: boolean;
}

/** The units of a launch. */
export function matmulUnits(batch: number, m: number): number {
  return batch * Math.ceil(m / MC);
}

/** Bytes of scratch a launch needs. */
export function matmulScratch(type: MatmulKernel["type"], _m: number, n: number, k: number): number {
  const { size, columns } = shapeFor(type, false);
  const depth = Math.min(k, KC);
  const width = Math.ceil(Math.min(n, NC) / columns) * columns;
  return size * (MR * columns + MC * depth + width * depth);
}

export function renderMatmul(kernel: MatmulKernel, features: MatmulFeatures): Uint8Array<ArrayBuffer> {
  const shape = shapeFor(kernel.type, features.relaxed);
  const module = new ModuleBuilder();
  const finish = epilogue(module, kernel, shape);
  const run = driver(module, shape, finish);
  return module.encode(run);
}

/** finish(c, rows, columns, row stride, bias, bias stride): applies the epilogue in place. Null where there is none. */
function epilogue(module: ModuleBuilder, kernel: MatmulKernel, shape: Shape): FunctionBuilder | null {
  const type = kernel.type === "float32" ? "f32" : "f64";
  const { size, lanes, scalar } = shape;
  let root = kernel.finish;
  if (root === null) {
    if (!kernel.bias) return null;
    root = make("add", type, [make("load", type, [], 0, 0), make("load", type, [], 0, 1)]);
  }
  const value = root;
  const f = module.function(["i32", "i32", "i32", "i32", "i32", "i32"]);
  const [C, ROWS, COLUMNS, STRIDE, BIAS, BIAS_STRIDE] = [0, 1, 2, 3, 4, 5];
  const c = f.local("i32");
  const b = f.local("i32");
  const j = f.local("i32");
  const i = f.local("i32");
  const limit = f.local("i32");
  // four lanes hold no 64-bit type
  const vector = lanes === 2 || topological([value]).every((e) => e.type !== "f64" && e.type !== "i64");
  const evaluate = (width: 1 | 2 | 4): void => {
    const known = new Map<Expr, number>();
    const push = (e: Expr): void => {
      const local = known.get(e);
      if (local !== undefined) {
        f.get(local);
        return;
      }
      if (e.op === "const") {
        pushConstant(f, e.value, e.type, width);
        return;
      }
      if (e.op === "load") f.get(e.slot === 0 ? c : b).memory(width > 1 ? "v128.load" : `${scalar}.load`);
      else emit(f, e, width, (k) => push(e.args[k]));
      const made = f.local(localTypeOf(e.type, width));
      f.tee(made);
      known.set(e, made);
    };
    f.get(c);
    push(value);
    f.memory(width > 1 ? "v128.store" : `${scalar}.store`);
    f.get(c)
      .i32(width * size)
      .op("i32.add")
      .set(c);
    f.get(b).get(BIAS_STRIDE);
    if (width > 1) f.i32(width).op("i32.mul");
    f.op("i32.add").set(b);
    f.get(j).i32(width).op("i32.add").set(j);
  };
  f.get(BIAS)
    .op("i32.eqz")
    .if(() => f.i32(size).set(BIAS_STRIDE));
  f.i32(0).set(limit);
  // vectors only where the bias lies side by side
  if (vector)
    f.get(BIAS_STRIDE)
      .i32(size)
      .op("i32.eq")
      .if(() => f.get(COLUMNS).i32(-lanes).op("i32.and").set(limit));
  counted(f, i, ROWS, () => {
    f.get(C).set(c).get(BIAS).set(b).i32(0).set(j);
    if (vector) {
      f.repeat(
        () => f.get(j).get(limit).op("i32.lt_s"),
        () => evaluate(lanes),
      );
    }
    f.repeat(
      () => f.get(j).get(COLUMNS).op("i32.lt_s"),
      () => evaluate(1),
    );
    f.get(C).get(STRIDE).op("i32.add").set(C);
  });
  return f;
}

/** run(args, begin, end): the loops over blocks. */
function driver(module: ModuleBuilder, shape: Shape, finish: FunctionBuilder | null): FunctionBuilder {
  const { size, columns } = shape;
  const packA = pack(module, shape, MR);
  const packB = pack(module, shape, columns);
  const micro = microKernel(module, shape);
  const copy = copyTile(module, shape);
  const f = module.function(["i32", "i32", "i32"]);
  const [ARGS, BEGIN, END] = [0, 1, 2];
  let slot = 0;
  const read = (scale: number): number => {
    const local = f.local("i32");
    f.get(ARGS)
      .memory("f64.load", 8 * slot++)
      .op(scale === 0 ? "i32.trunc_sat_f64_u" : "i32.trunc_sat_f64_s");
    if (scale > 1) f.i32(scale).op("i32.mul");
    f.set(local);
    return local;
  };
  const [A, B, C, bias, scratch] = [read(0), read(0), read(0), read(0), read(0)];
  read(1); // batch: the units say it
  const [M, N, K] = [read(1), read(1), read(1)];
  const strides = Array.from({ length: 9 }, () => read(size));
  const [aBatch, aRow, aStep, bBatch, bStep, bColumn, cBatch, cRow, biasStep] = strides;
  const i32 = (): number => f.local("i32");
  const add = (to: number, ...rest: (readonly [number, number])[]): void => {
    f.get(to);
    for (const [x, y] of rest) f.get(x).get(y).op("i32.mul").op("i32.add");
  };
  const min = (x: () => void, y: number, out: number): void => {
    x();
    f.tee(out).get(y).get(out).get(y).op("i32.lt_s").op("select").set(out);
  };
  const unit = i32();
  const blocks = i32();
  const block = i32();
  const matrix = i32();
  const [a, b, c] = [i32(), i32(), i32()];
  const [m0, m1, rows] = [i32(), i32(), i32()];
  const [n0, nc, k0, kc, i0, mc] = [i32(), i32(), i32(), i32(), i32(), i32()];
  const [bufferA, bufferB] = [i32(), i32()];
  const [i, j, h, w, to, panelA, panelB] = [i32(), i32(), i32(), i32(), i32(), i32(), i32()];

  f.get(M)
    .i32(MC - 1)
    .op("i32.add")
    .i32(MC)
    .op("i32.div_s")
    .set(blocks);
  // scratch: one tile, the packed block of A, that of B
  f.get(scratch)
    .i32(MR * columns * size)
    .op("i32.add")
    .set(bufferA);
  min(() => f.get(K), konst(f, KC), kc);
  f.get(kc)
    .i32(MC * size)
    .op("i32.mul")
    .get(bufferA)
    .op("i32.add")
    .set(bufferB);

  const tiles = (): void => {
    f.i32(0).set(j).get(bufferB).set(panelB);
    f.repeat(
      () => f.get(j).get(nc).op("i32.lt_s"),
      () => {
        f.get(nc).get(j).op("i32.sub").set(w);
        f.i32(0).set(i).get(bufferA).set(panelA);
        f.repeat(
          () => f.get(i).get(mc).op("i32.lt_s"),
          () => {
            f.get(mc).get(i).op("i32.sub").set(h);
            // where the tile goes: row i0 + i, column n0 + j
            f.get(c).get(i0).get(i).op("i32.add").get(cRow).op("i32.mul").op("i32.add");
            f.get(n0).get(j).op("i32.add").i32(size).op("i32.mul").op("i32.add").set(to);
            f.get(h).i32(MR).op("i32.ge_s").get(w).i32(columns).op("i32.ge_s").op("i32.and");
            f.if(
              () => f.get(panelA).get(panelB).get(to).get(cRow).get(kc).get(k0).call(micro),
              () => {
                f.get(panelA)
                  .get(panelB)
                  .get(scratch)
                  .i32(columns * size)
                  .get(kc)
                  .i32(0)
                  .call(micro);
                f.get(scratch).get(to).get(cRow).get(h).get(w).get(k0).call(copy);
              },
            );
            f.get(panelA)
              .get(kc)
              .i32(MR * size)
              .op("i32.mul")
              .op("i32.add")
              .set(panelA);
            f.get(i).i32(MR).op("i32.add").set(i);
          },
        );
        f.get(panelB)
          .get(kc)
          .i32(columns * size)
          .op("i32.mul")
          .op("i32.add")
          .set(panelB);
        f.get(j).i32(columns).op("i32.add").set(j);
      },
    );
  };

  const packed = (): void => {
    f.i32(0).set(n0);
    f.repeat(
      () => f.get(n0).get(N).op("i32.lt_s"),
      () => {
        min(() => f.get(N).get(n0).op("i32.sub"), konst(f, NC), nc);
        f.i32(0).set(k0);
        const depth = (): void => {
          min(() => f.get(K).get(k0).op("i32.sub"), konst(f, KC), kc);
          add(b, [k0, bStep], [n0, bColumn]);
          f.get(bColumn).get(bStep).get(nc).get(kc).get(bufferB).call(packB);
          f.get(m0).set(i0);
          f.repeat(
            () => f.get(i0).get(m1).op("i32.lt_s"),
            () => {
              min(() => f.get(m1).get(i0).op("i32.sub"), konst(f, MC), mc);
              add(a, [i0, aRow], [k0, aStep]);
              f.get(aRow).get(aStep).get(mc).get(kc).get(bufferA).call(packA);
              tiles();
              f.get(i0).i32(MC).op("i32.add").set(i0);
            },
          );
          f.get(k0).i32(KC).op("i32.add").set(k0);
        };
        // once even when K is 0: it writes the zeros
        f.get(K)
          .op("i32.eqz")
          .if(depth, () => f.repeat(() => f.get(k0).get(K).op("i32.lt_s"), depth));
        if (finish !== null) {
          add(c, [m0, cRow]);
          f.get(n0).i32(size).op("i32.mul").op("i32.add").get(rows).get(nc).get(cRow);
          add(bias, [n0, biasStep]);
          f.i32(0).get(bias).op("select").get(biasStep).call(finish);
        }
        f.get(n0).i32(NC).op("i32.add").set(n0);
      },
    );
  };

  f.get(BEGIN).set(unit);
  f.repeat(
    () => f.get(unit).get(END).op("i32.lt_s"),
    () => {
      f.get(unit).get(blocks).op("i32.div_s").set(matrix);
      f.get(unit).get(blocks).op("i32.rem_s").set(block);
      f.get(block).i32(MC).op("i32.mul").set(m0);
      // all the row blocks of this matrix that the launch covers
      min(() => f.get(END).get(unit).op("i32.sub").get(block).op("i32.add"), blocks, i);
      f.get(unit).get(i).get(block).op("i32.sub").op("i32.add").set(unit);
      min(() => f.get(i).i32(MC).op("i32.mul"), M, m1);
      f.get(m1).get(m0).op("i32.sub").set(rows);
      add(A, [matrix, aBatch]);
      f.set(a);
      add(B, [matrix, bBatch]);
      f.set(b);
      add(C, [matrix, cBatch]);
      f.set(c);
      packed();
    },
  );
  return f;
}

/** A constant in a local, where an operand is wanted as one. */
function konst(f: FunctionBuilder, value: number): number {
  const local = f.local("i32");
  f.i32(value).set(local);
  return local;
}
