/** Runs a kernel on an engine and in the interpreter on equal data, for the tests of both CPU engines. */
import type { Buffer, Engine } from "../../src/device/engine.js";
import type { LoopKernel, MatmulKernel } from "../../src/kernel/ir.js";
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

export function runMatmul(
  engine: Engine,
  kernel: MatmulKernel,
  size: MatmulSizes,
  a: View,
  b: View,
  c: View,
  bias: View | null,
): Memory {
  const views = bias === null ? [a, b, c] : [a, b, c, bias];
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
    bias === null ? 0 : bias.strides[0],
  ]);
  const executable = engine.compile(kernel);
  engine.launch(
    executable,
    buffers,
    views.map((v) => v.offset),
    params,
    params.length,
    size.batch * size.m,
    0,
  );
  return download(engine, buffers[2], c.data);
}

export function expectMatmul(
  kernel: MatmulKernel,
  size: MatmulSizes,
  a: View,
  b: View,
  c: View,
  bias: View | null,
): Memory {
  const out = c.data.slice() as Memory;
  interpretMatmul(kernel, size, a, b, { ...c, data: out }, bias);
  return out;
}

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
