/**
 * The native matrix product against the interpreter, around the sizes of its tiles: every schedule (B packed or read where it
 * lies, A too, C computed as it is or as its transpose), any strides, batches, epilogues, one thread and two; and the tiles of
 * processors with other vectors than this one's.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { NativeEngine } from "../../src/device/native/engine.js";
import type { MatmulKernel, Step } from "../../src/kernel/ir.js";
import { difference, epilogues, expectMatmul, runMatmul } from "./harness.js";
import { type Memory, memoryOf, type View } from "./interpreter.js";
import { others } from "./vectors.js";

let engine = NativeEngine.create();

let seed = 11;
const fill = (data: Memory): Memory => {
  for (let i = 0; i < data.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    data[i] = seed / 2 ** 31 - 1;
  }
  return data;
};

type Layout = "rows" | "columns" | "loose";
const layouts = ["rows", "columns", "loose"] as const;

function matrix(type: MatmulKernel["type"], batch: number, rows: number, columns: number, layout: Layout): View {
  const [row, column] = layout === "rows" ? [columns, 1] : layout === "columns" ? [1, rows] : [2 * columns + 3, 2];
  // Exactly as much as the last element needs: what reads beyond it shows under a checker of memory.
  const each = Math.max(0, (rows - 1) * row + (columns - 1) * column + 1);
  return { data: fill(memoryOf(type, batch * each + 3)), offset: 3, strides: [each, row, column] };
}

const extra = (type: MatmulKernel["type"], step: Step, [batch, m, n]: readonly number[]): View => {
  if (step === "uniform") return { data: fill(memoryOf(type, m)), offset: 0, strides: [0, 1, 0] };
  const by = step === "unit" ? 1 : 2;
  return { data: fill(memoryOf(type, batch * m * n * by)), offset: 0, strides: [m * n * by, n * by, by] };
};

function check(
  type: MatmulKernel["type"],
  kind: number,
  size: readonly [number, number, number, number],
  x: Layout,
  y: Layout,
): void {
  const kernel = epilogues(type)[kind] as MatmulKernel;
  const [batch, m, n, k] = size;
  const a = matrix(type, batch, m, k, x);
  const b = matrix(type, batch, k, n, y);
  const c: View = { data: fill(memoryOf(type, batch * m * (n + 1) + 2)), offset: 2, strides: [m * (n + 1), n + 1, 1] };
  const extras = kernel.extras.map((step) => extra(type, step, size));
  const scalars = kernel.scalars.map((_, i) => (i === 0 ? 0.75 : 1));
  const want = expectMatmul(kernel, { batch, m, n, k }, a, b, c, extras, scalars);
  const got = runMatmul(engine as NativeEngine, kernel, { batch, m, n, k }, a, b, c, extras, scalars);
  // One product is rounded as any, and the epilogue must not round otherwise than loops do. What is cut to whole numbers
  // may fall on either side.
  const tolerance = k === 1 ? 0 : kind === 4 ? 1.01 : type === "float32" ? 3e-5 : 1e-12;
  want.forEach((data, i) => {
    const problem = difference(got[i] as Memory, data, tolerance);
    if (problem !== null)
      expect.fail(
        `${type} ${size.join("×")}, ${x}·${y}, epilogue ${kind}, operand ${i}, ${engine?.threads} threads: ${problem}`,
      );
  });
}

const nears = [1 << 20, 2 << 20].map((near) => ({ vectors: { bytes: 64, count: 32 } as const, near }));
const settings = [
  [{}, 1],
  [{}, 2],
  ...nears.map((processor) => [processor, 1] as const),
  ...others.filter((v) => v.bytes !== 64).map((vectors) => [{ vectors }, 1] as const),
] as const;

describe.runIf(engine !== null).each(settings)("native matrix product, %j, threads: %i", (processor, threads) => {
  beforeAll(() => {
    engine = NativeEngine.create(null, processor);
    if (engine) engine.threads = threads;
  });
  for (const type of ["float32", "float64"] as const) {
    it(`${type}: around tiles`, () => {
      const rows = [1, 2, 5, 6, 7, 13, 14, 15, 27, 28, 29, 43];
      const columns = [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];
      for (const m of rows)
        for (const n of columns)
          check(type, (m + n) % 2 === 0 ? 2 : 0, [1, m, n, 9], layouts[m % 3] as Layout, layouts[n % 3] as Layout);
      for (const x of layouts)
        for (const y of layouts)
          for (const [m, n] of [
            [14, 32],
            [29, 31],
            [70, 5],
            [5, 70],
            [61, 100],
          ] as const)
            for (const k of [0, 1, 15, 16, 17, 33]) check(type, 2, [1, m, n, k], x, y);
    });
    it(`${type}: several blocks, batches and epilogues`, () => {
      for (const x of layouts)
        for (const y of layouts) {
          for (const k of [255, 256, 257, 303, 304, 305, 319, 320, 321, 511, 512, 513, 609, 700]) {
            check(type, 2, [1, 20, 40, k], x, y);
            check(type, 2, [1, 40, 17, k], x, y);
          }
          for (const n of [767, 768, 769, 2047, 2048, 2049]) check(type, 2, [1, 30, n, 5], x, y);
          if (x === y) for (const n of [511, 512, 513]) check(type, 2, [1, 29, n, 512], x, y);
          check(type, 6, [1, 7, 4100, 310], x, y);
          check(type, 0, [1, 150, 35, 330], x, y);
          check(type, 2, [1, 10, 300, 330], x, y);
          check(type, 2, [1, 300, 10, 330], x, y);
          check(type, 2, [7, 15, 33, 20], x, y);
          for (let kind = 0; kind < 7; kind++) {
            check(type, kind, [2, 130, 70, 90], x, y);
            check(type, kind, [2, 9, 40, kind === 4 ? 9 : 321], x, y);
            check(type, kind, [2, 40, 3, 20], x, y);
            check(type, kind, [2, 33, 37, 1], x, y);
            check(type, kind, [2, 37, 5, 1], x, y);
          }
        }
      check(type, 2, [1, 0, 5, 3], "rows", "rows");
      check(type, 2, [1, 5, 0, 3], "rows", "rows");
    });
  }
});
