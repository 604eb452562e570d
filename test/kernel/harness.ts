/** Runs a kernel on an engine and in the interpreter on equal data, for the tests of both CPU engines. */
import type { Buffer, Engine, Executable } from "../../src/device/engine.js";
import { constant, type LoopKernel, load, type MatmulKernel, make, scalar } from "../../src/kernel/ir.js";
import { interpretLoop, interpretMatmul, type MatmulSizes, type Memory, type Value, type View } from "./interpreter.js";

export const bytesIn = (data: Memory): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

export function upload(engine: Engine, data: Memory): Buffer {
  const buffer = engine.alloc(data.byteLength);
  engine.view(buffer).set(bytesIn(data));
  return buffer;
}

/** The buffer's content as an array like `like`. */
export function download<M extends Memory>(engine: Engine, buffer: Buffer, like: M): M {
  const out = like.slice() as M;
  bytesIn(out).set(engine.view(buffer));
  return out;
}

/** Runs on the engine; gives each view's data afterwards. Views that share data share a buffer. */
export function runLoop(
  engine: Engine,
  kernel: LoopKernel,
  views: readonly View[],
  sizes: readonly number[],
  scalars: readonly Value[] = [],
): Memory[] {
  const buffers = new Map<Memory, Buffer>();
  for (const v of views) if (!buffers.has(v.data)) buffers.set(v.data, upload(engine, v.data));
  const params = Float64Array.from([...sizes, ...views.flatMap((v) => v.strides), ...scalars.map(Number)]);
  const outer = sizes.slice(0, kernel.outer);
  const unitAxes = kernel.vector === "outer" && outer.length > 1 ? outer.slice(0, -1) : outer;
  const units = unitAxes.reduce((a, b) => a * b, 1);
  const list = views.map((v) => buffers.get(v.data) as Buffer);
  const offsets = views.map((v) => v.offset);
  const work = sizes.reduce((a, b) => a * b, 1);
  engine.launch(engine.compile(kernel), list, offsets, params, params.length, units, work);
  return views.map((v, i) => download(engine, list[i], v.data));
}

/** What the interpreter makes of the same. */
export function expectLoop(
  kernel: LoopKernel,
  views: readonly View[],
  sizes: readonly number[],
  scalars: readonly Value[] = [],
): Memory[] {
  const copies = new Map<Memory, Memory>();
  for (const v of views) if (!copies.has(v.data)) copies.set(v.data, v.data.slice() as Memory);
  const own = views.map((v) => ({ ...v, data: copies.get(v.data) as Memory }));
  interpretLoop(kernel, own, sizes, scalars);
  return own.map((v) => v.data);
}

const executables = new WeakMap<Engine, Map<MatmulKernel, Executable>>();

function compiled(engine: Engine, kernel: MatmulKernel): Executable {
  const known = executables.get(engine) ?? new Map<MatmulKernel, Executable>();
  executables.set(engine, known);
  const executable = known.get(kernel) ?? engine.compile(kernel);
  known.set(kernel, executable);
  return executable;
}

/** Gives the data of C and of the extras afterwards. */
export function runMatmul(
  engine: Engine,
  kernel: MatmulKernel,
  size: MatmulSizes,
  a: View,
  b: View,
  c: View,
  extras: readonly View[] = [],
  scalars: readonly Value[] = [],
): Memory[] {
  const views = [a, b, c, ...extras];
  const buffers = views.map((v) => upload(engine, v.data));
  const params = Float64Array.from([
    size.batch,
    size.m,
    size.n,
    size.k,
    ...a.strides,
    ...b.strides,
    c.strides[0],
    c.strides[1],
    ...extras.flatMap((v) => v.strides),
    ...scalars.map(Number),
  ]);
  engine.launch(
    compiled(engine, kernel),
    buffers,
    views.map((v) => v.offset),
    params,
    params.length,
    size.batch * size.m,
    0,
  );
  return [c, ...extras].map((v, i) => download(engine, buffers[2 + i], v.data));
}

export function expectMatmul(
  kernel: MatmulKernel,
  size: MatmulSizes,
  a: View,
  b: View,
  c: View,
  extras: readonly View[] = [],
  scalars: readonly Value[] = [],
): Memory[] {
  const [out, ...others] = [c, ...extras].map((v) => ({ ...v, data: v.data.slice() as Memory }));
  interpretMatmul(kernel, size, a, b, out, others, scalars);
  return [out, ...others].map((v) => v.data);
}

/** The epilogues that engines are tested with, for sums of `type`: each with the extras and the scalars that it wants. */
export const epilogues = (type: MatmulKernel["type"]): readonly MatmulKernel[] => kernels[type];

function makeEpilogues(type: MatmulKernel["type"]): MatmulKernel[] {
  const t = type === "float32" ? "f32" : "f64";
  const x = [0, 1, 2, 3].map((i) => load(i, t));
  const sum = make("add", t, [x[0], x[1]]);
  const leaky = make("select", t, [
    make("lt", "bool", [sum, constant(0, t)]),
    make("mul", t, [sum, constant(0.25, t)]),
    sum,
  ]);
  const cut = make("cast", t, [make("cast", "i32", [make("mul", t, [x[0], constant(8, t)])])]);
  const kernel = { kind: "matmul", name: "mm", type, scalars: [] } as const;
  return [
    { ...kernel, extras: [], epilogue: [] },
    { ...kernel, extras: [], epilogue: [{ operand: 0, value: make("abs", t, [x[0]]) }] },
    { ...kernel, extras: ["unit"], epilogue: [{ operand: 0, value: sum }] },
    { ...kernel, extras: ["strided"], epilogue: [{ operand: 0, value: leaky }] },
    { ...kernel, extras: ["unit"], epilogue: [{ operand: 0, value: make("add", t, [cut, x[1]]) }] },
    // A scale, a number for each row, a residual that the result replaces; the sum stays in C.
    {
      ...kernel,
      extras: ["uniform", "unit"],
      scalars: [t, "bool"],
      epilogue: [
        {
          operand: 2,
          value: make("select", t, [
            scalar(1, "bool"),
            make("add", t, [make("mul", t, [make("mul", t, [x[0], scalar(0, t)]), x[1]]), x[2]]),
            x[0],
          ]),
        },
      ],
    },
    // Two results, of which one reads what the other replaces.
    {
      ...kernel,
      extras: ["strided", "unit", "unit"],
      epilogue: [
        { operand: 0, value: make("mul", t, [x[0], x[3]]) },
        { operand: 3, value: make("sub", t, [x[1], x[0]]) },
        { operand: 2, value: x[3] },
      ],
    },
  ];
}

const kernels = { float32: makeEpilogues("float32"), float64: makeEpilogues("float64") };

/** Equal element by element: NaN equals NaN, floats within `tolerance` relative to 1 and to the expected. */
export function difference(got: Memory, want: Memory, tolerance: number): string | null {
  if (got.length !== want.length) return `lengths differ: ${got.length}, ${want.length}`;
  for (let i = 0; i < got.length; i++) {
    const [x, y] = [got[i], want[i]];
    if (x === y) {
      if (tolerance === 0 && !Object.is(x, y))
        return `element ${i}: ${Object.is(x, -0) ? "-0" : x}, expected ${Object.is(y, -0) ? "-0" : y}`;
      continue;
    }
    const [p, q] = [Number(x), Number(y)];
    if (Number.isNaN(p) && Number.isNaN(q)) continue;
    if (tolerance > 0 && Math.abs(p - q) <= tolerance * (1 + Math.abs(q))) continue;
    return `element ${i}: ${x}, expected ${y}`;
  }
  return null;
}
