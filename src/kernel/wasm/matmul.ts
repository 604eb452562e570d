/**
 * Renders a MatmulKernel to WebAssembly: blocks of A and B are packed into scratch so that a register-tiled micro-kernel reads
 * both of them in order (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008). Where packing costs
 * more than it saves, the micro-kernel reads them where they lie. The micro-kernel and the packing are in `tile.ts`; expressions
 * of the epilogue are `ops.ts`'s. Products of up to three rows are better run as reductions, and whoever builds kernels does so.
 *
 * A unit is a task: some rows and columns of one matrix of the batch. Each packs what it needs into the scratch of the thread
 * that runs it. How a product is cut changes no digit: each number is added up along K in the same order.
 */
import { type Expr, type MatmulKernel, topological } from "../ir.js";
import { type FunctionBuilder, ModuleBuilder } from "./encoder.js";
import { type Features, supported } from "./features.js";
import { emit, localTypeOf, pushConstant, readArgument, splat } from "./ops.js";
import { copyTile, counted, microKernel, pack, type Shape, shapeFor } from "./tile.js";

/** Rows of A in a block (a multiple of a tile's rows), steps of K, columns of B. A's block stays in the second-level cache. */
const MC = 120;
const KC = 256;
const NC = 1024;
/** B is read where it lies for up to so many rows, and A, if not side by side along K, for up to so many columns. */
const FEW_ROWS = 24;
const FEW_COLUMNS = 64;
/** What packing a number of B takes, in rows of A that it is multiplied with. */
const PACKING = 8;

/** How a product is cut into tasks: rows and columns of each, and how many there are. */
export interface Tasks {
  readonly rows: number;
  readonly columns: number;
  readonly units: number;
}

/** Tasks for so many threads: whole tiles, so that the threads finish together and pack little twice. */
export function matmulTasks(
  type: MatmulKernel["type"],
  relaxed: boolean,
  batch: number,
  m: number,
  n: number,
  threads: number,
): Tasks {
  let best: Tasks = { rows: Math.max(1, m), columns: Math.max(1, n), units: m > 0 && n > 0 ? batch : 0 };
  if (threads === 1 || batch >= 4 * threads) return best;
  const shape = shapeFor(type, relaxed);
  const down = Math.ceil(m / shape.rows);
  const across = Math.ceil(n / shape.columns);
  const most = Math.max(1, Math.floor((4 * threads) / batch));
  let least = Infinity;
  for (let rows = 1; rows <= Math.min(down, most); rows++) {
    for (let columns = 1; columns <= Math.min(across, most) && rows * columns <= most; columns++) {
      const high = Math.ceil(down / rows) * shape.rows;
      const wide = Math.ceil(across / columns) * shape.columns;
      const units = batch * Math.ceil(m / high) * Math.ceil(n / wide);
      const cost = Math.ceil(units / threads) * wide * (high + PACKING);
      if (cost > least) continue;
      least = cost;
      best = { rows: high, columns: wide, units };
    }
  }
  return best;
}

/** Bytes of scratch that each thread of a launch needs. */
export function matmulScratch(type: MatmulKernel["type"], n: number, k: number): number {
  const { size, columns, rows } = shapeFor(type, true);
  const depth = Math.min(k, KC);
  const width = Math.ceil(Math.min(n, NC) / columns) * columns;
  return size * (rows * columns + MC * depth + width * depth);
}

export function renderMatmul(kernel: MatmulKernel, features: Features): Uint8Array<ArrayBuffer> {
  const shape = shapeFor(kernel.type, features.relaxed);
  const module = new ModuleBuilder(features.shared);
  const run = driver(
    module,
    kernel,
    shape,
    epilogueOf(module, { ...kernel, epilogue: supported(kernel.epilogue, features) }, shape),
  );
  return module.encode(run);
}

/** Numbers of the argument block: addresses of A, B, C and the extras, batch … C_m, the extras' strides, the scalars, the task's size. */
const fixedNumbers = 12;
const firstNumber = (kernel: MatmulKernel): number => 3 + kernel.extras.length;
const firstScalar = (kernel: MatmulKernel): number => firstNumber(kernel) + fixedNumbers + 3 * kernel.extras.length;

/**
 * finish(args, rows, columns, then for C and each extra operand where it starts and its strides along rows and columns): applies
 * the epilogue to sums in place. Null where there is none.
 */
function epilogueOf(module: ModuleBuilder, kernel: MatmulKernel, shape: Shape): FunctionBuilder | null {
  const { epilogue, extras } = kernel;
  if (epilogue.length === 0) return null;
  const { lanes, scalar } = shape;
  const steps = ["unit", ...extras] as const;
  const f = module.function(new Array<"i32">(3 + 3 * steps.length).fill("i32"));
  const [ARGS, ROWS, COLUMNS] = [0, 1, 2];
  const start = (operand: number): number => 3 + 3 * operand;
  const at = steps.map(() => f.local("i32"));
  const [i, j, limit] = [f.local("i32"), f.local("i32"), f.local("i32")];
  const scalars = kernel.scalars.map((type, s) => readArgument(f, ARGS, firstScalar(kernel) + s, type));
  // four lanes hold no 64-bit type
  const vector =
    !extras.includes("strided") &&
    (lanes === 2 || topological(epilogue.map((s) => s.value)).every((e) => e.type !== "f64" && e.type !== "i64"));
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
      if (e.op === "scalar") {
        f.get(scalars[e.slot]);
        splat(f, e.type, width);
      } else if (e.op === "load") {
        const uniform = steps[e.slot] === "uniform";
        f.get(at[e.slot]).memory(width > 1 && !uniform ? "v128.load" : `${scalar}.load`);
        if (uniform) splat(f, e.type, width);
      } else emit(f, e, width, (k) => push(e.args[k]));
      const made = f.local(localTypeOf(e.type, width));
      f.tee(made);
      known.set(e, made);
    };
    // All values before any is stored: a result may lie where an operand is read.
    const results = epilogue.map(({ operand, value }) => {
      push(value);
      const made = f.local(localTypeOf(value.type, width));
      f.set(made);
      return { operand, made };
    });
    for (const { operand, made } of results) {
      f.get(at[operand])
        .get(made)
        .memory(width > 1 ? "v128.store" : `${scalar}.store`);
    }
    steps.forEach((step, operand) => {
      if (step === "uniform") return;
      f.get(at[operand]).get(start(operand) + 2);
      if (width > 1) f.i32(width).op("i32.mul");
      f.op("i32.add").set(at[operand]);
    });
    f.get(j).i32(width).op("i32.add").set(j);
  };
  counted(f, i, ROWS, () => {
    steps.forEach((_, operand) => f.get(start(operand)).set(at[operand]));
    f.i32(0).set(j);
    if (vector) {
      f.get(COLUMNS).i32(-lanes).op("i32.and").set(limit);
      f.repeat(
        () => f.get(j).get(limit).op("i32.lt_s"),
        () => evaluate(lanes),
      );
    }
    f.repeat(
      () => f.get(j).get(COLUMNS).op("i32.lt_s"),
      () => evaluate(1),
    );
    steps.forEach((_, operand) =>
      f
        .get(start(operand))
        .get(start(operand) + 1)
        .op("i32.add")
        .set(start(operand)),
    );
  });
  return f;
}

/** run(args, begin, end, scratch): the loops over blocks. */
function driver(
  module: ModuleBuilder,
  kernel: MatmulKernel,
  shape: Shape,
  finish: FunctionBuilder | null,
): FunctionBuilder {
  const { size, rows: high, columns: wide } = shape;
  const packA = pack(module, shape, high);
  const packB = pack(module, shape, wide);
  const micro = [microKernel(module, shape, high), microKernel(module, shape, shape.lower)] as const;
  const copy = copyTile(module, shape);
  const f = module.function(["i32", "i32", "i32", "i32"]);
  const [ARGS, BEGIN, END, SCRATCH] = [0, 1, 2, 3];
  let slot = 0;
  const read = (scale: number): number => {
    const local = readArgument(f, ARGS, slot++, scale === 0 ? "address" : "i32");
    if (scale > 1) f.get(local).i32(scale).op("i32.mul").set(local);
    return local;
  };
  const [A, B, C] = [read(0), read(0), read(0)];
  const addresses = kernel.extras.map(() => read(0));
  slot += 1; // the batch, which the units say
  const [M, N, K] = [read(1), read(1), read(1)];
  const strides = Array.from({ length: 8 }, () => read(size));
  const [aBatch, aRow, aStep, bBatch, bStep, bColumn, cBatch, cRow] = strides;
  const extras = addresses.map((address) => ({
    address,
    batch: read(size),
    row: read(size),
    column: read(size),
  }));
  slot += kernel.scalars.length; // which the epilogue reads
  const [taskRows, taskColumns] = [read(1), read(1)];
  const i32 = (): number => f.local("i32");
  const add = (to: number, ...rest: (readonly [number, number])[]): void => {
    f.get(to);
    for (const [x, y] of rest) f.get(x).get(y).op("i32.mul").op("i32.add");
  };
  const min = (x: () => void, y: number, out: number): void => {
    x();
    f.tee(out).get(y).get(out).get(y).op("i32.lt_s").op("select").set(out);
  };
  const blocks = (of: number, each: number): number => {
    const count = i32();
    f.get(of).get(each).op("i32.add").i32(1).op("i32.sub").get(each).op("i32.div_u").set(count);
    return count;
  };
  const either = (condition: number, yes: () => void, no: () => void, out: number): void => {
    yes();
    no();
    f.get(condition).op("select").set(out);
  };
  const [unit, task, matrix] = [i32(), i32(), i32()];
  const [a, b, c] = [i32(), i32(), i32()];
  const [m0, m1, n0, n1] = [i32(), i32(), i32(), i32()];
  const [nc, k0, kc, i0, mc] = [i32(), i32(), i32(), i32(), i32()];
  const [bufferA, bufferB, packsA, packsB] = [i32(), i32(), i32(), i32()];
  // a tile: its index in the block, its size, where it goes; where its panels of A and B are and how they are walked
  const [i, j, h, w, to] = [i32(), i32(), i32(), i32(), i32()];
  const [atA, rowA, stepA, nextA] = [i32(), i32(), i32(), i32()];
  const [atB, stepB, nextB] = [i32(), i32(), i32()];

  // scratch: one tile, the packed block of A, that of B
  f.get(SCRATCH)
    .i32(high * wide * size)
    .op("i32.add")
    .set(bufferA);
  min(() => f.get(K), konst(f, KC), kc);
  f.get(kc)
    .i32(MC * size)
    .op("i32.mul")
    .get(bufferA)
    .op("i32.add")
    .set(bufferB);
  const down = blocks(M, taskRows);
  const across = blocks(N, taskColumns);

  const panels = (): void => {
    f.get(atA).get(rowA).get(stepA).get(atB).get(stepB);
  };
  const run = (target: () => void): void => {
    f.get(h).i32(shape.lower).op("i32.gt_s");
    const call = (n: 0 | 1) => (): void => {
      panels();
      target();
      f.get(kc).get(h).call(micro[n]);
    };
    f.if(call(0), call(1));
  };
  const tile = (): void => {
    f.get(mc).get(i).op("i32.sub").set(h);
    // row i0 + i, column n0 + j
    f.get(c).get(i0).get(i).op("i32.add").get(cRow).op("i32.mul").op("i32.add");
    f.get(n0).get(j).op("i32.add").i32(size).op("i32.mul").op("i32.add").set(to);
    // the first steps of a tile that is whole go straight to the matrix
    f.get(w).i32(wide).op("i32.ge_s").get(k0).op("i32.eqz").op("i32.and");
    f.if(
      () => run(() => f.get(to).get(cRow)),
      () => {
        run(() => f.get(SCRATCH).i32(wide * size));
        f.get(SCRATCH).get(to).get(cRow).get(h).get(w).get(k0).call(copy);
      },
    );
  };
  const tiles = (): void => {
    f.i32(0).set(j);
    either(
      packsB,
      () => f.get(bufferB),
      () => add(b, [k0, bStep], [n0, bColumn]),
      atB,
    );
    f.repeat(
      () => f.get(j).get(nc).op("i32.lt_s"),
      () => {
        f.get(nc).get(j).op("i32.sub").set(w);
        // a last panel that is not whole is packed in any case: beyond it may be the end of memory
        f.get(packsB).get(w).i32(wide).op("i32.ge_s").op("i32.or").op("i32.eqz");
        f.if(() => {
          f.get(atB).get(bColumn).get(bStep).get(w).get(kc).get(bufferB).call(packB);
          f.get(bufferB)
            .set(atB)
            .i32(wide * size)
            .set(stepB);
        });
        f.i32(0).set(i);
        either(
          packsA,
          () => f.get(bufferA),
          () => add(a, [i0, aRow], [k0, aStep]),
          atA,
        );
        f.repeat(
          () => f.get(i).get(mc).op("i32.lt_s"),
          () => {
            tile();
            f.get(atA).get(nextA).op("i32.add").set(atA);
            f.get(i).i32(high).op("i32.add").set(i);
          },
        );
        f.get(atB).get(nextB).op("i32.add").set(atB);
        f.get(j).i32(wide).op("i32.add").set(j);
      },
    );
  };

  /** Steps k0 … k0 + kc of the columns n0 … n0 + nc. */
  const depth = (): void => {
    min(() => f.get(K).get(k0).op("i32.sub"), konst(f, KC), kc);
    either(
      packsA,
      () =>
        f
          .get(kc)
          .i32(high * size)
          .op("i32.mul"),
      () => f.get(aRow).i32(high).op("i32.mul"),
      nextA,
    );
    either(
      packsB,
      () =>
        f
          .get(kc)
          .i32(wide * size)
          .op("i32.mul"),
      () => f.i32(wide * size),
      nextB,
    );
    either(
      packsB,
      () => f.i32(wide * size),
      () => f.get(bStep),
      stepB,
    );
    f.get(packsB).if(() => {
      add(b, [k0, bStep], [n0, bColumn]);
      f.get(bColumn).get(bStep).get(nc).get(kc).get(bufferB).call(packB);
    });
    f.get(m0).set(i0);
    f.repeat(
      () => f.get(i0).get(m1).op("i32.lt_s"),
      () => {
        min(() => f.get(m1).get(i0).op("i32.sub"), konst(f, MC), mc);
        f.get(packsA).if(() => {
          add(a, [i0, aRow], [k0, aStep]);
          f.get(aRow).get(aStep).get(mc).get(kc).get(bufferA).call(packA);
        });
        tiles();
        // the last step finishes what is still in the cache
        if (finish !== null) {
          f.get(k0).get(kc).op("i32.add").get(K).op("i32.ge_s");
          f.if(() => {
            f.get(ARGS).get(mc).get(nc);
            add(c, [i0, cRow]);
            f.get(n0).i32(size).op("i32.mul").op("i32.add").get(cRow).i32(size);
            for (const x of extras) {
              add(x.address, [matrix, x.batch], [i0, x.row], [n0, x.column]);
              f.get(x.row).get(x.column);
            }
            f.call(finish);
          });
        }
        f.get(i0).i32(MC).op("i32.add").set(i0);
      },
    );
    f.get(k0).i32(KC).op("i32.add").set(k0);
  };

  f.get(BEGIN).set(unit);
  f.repeat(
    () => f.get(unit).get(END).op("i32.lt_s"),
    () => {
      f.get(unit).get(down).get(across).op("i32.mul").op("i32.div_u").set(matrix);
      f.get(unit).get(down).get(across).op("i32.mul").op("i32.rem_u").set(task);
      f.get(task).get(across).op("i32.div_u").get(taskRows).op("i32.mul").set(m0);
      f.get(task).get(across).op("i32.rem_u").get(taskColumns).op("i32.mul").set(n0);
      min(() => f.get(m0).get(taskRows).op("i32.add"), M, m1);
      min(() => f.get(n0).get(taskColumns).op("i32.add"), N, n1);
      add(A, [matrix, aBatch]);
      f.set(a);
      add(B, [matrix, bBatch]);
      f.set(b);
      add(C, [matrix, cBatch]);
      f.set(c);
      // A is packed if it is read often and not side by side along K; B unless it is read seldom and side by side across
      f.get(aStep).i32(size).op("i32.ne").get(n1).get(n0).op("i32.sub").i32(FEW_COLUMNS).op("i32.gt_s");
      f.op("i32.and").set(packsA);
      f.get(bColumn).i32(size).op("i32.ne").get(bStep).op("i32.eqz").op("i32.or");
      f.get(m1).get(m0).op("i32.sub").i32(FEW_ROWS).op("i32.gt_s").op("i32.or").set(packsB);
      either(
        packsA,
        () => f.i32(size),
        () => f.get(aRow),
        rowA,
      );
      either(
        packsA,
        () => f.i32(high * size),
        () => f.get(aStep),
        stepA,
      );
      f.repeat(
        () => f.get(n0).get(n1).op("i32.lt_s"),
        () => {
          min(() => f.get(n1).get(n0).op("i32.sub"), konst(f, NC), nc);
          f.i32(0).set(k0);
          // once even when K is 0: it writes the zeros
          f.get(K)
            .op("i32.eqz")
            .if(depth, () => f.repeat(() => f.get(k0).get(K).op("i32.lt_s"), depth));
          f.get(n0).i32(NC).op("i32.add").set(n0);
        },
      );
      f.get(unit).i32(1).op("i32.add").set(unit);
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
