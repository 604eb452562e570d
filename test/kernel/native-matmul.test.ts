/**
 * The native matrix product against the interpreter, around the sizes of its tiles: every schedule (B packed or read where it
 * lies, C computed as it is or as its transpose), any strides, batches, epilogues, one thread and two; and the tiles of
 * processors with other vectors than this one's.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { NativeEngine } from "../../src/device/native/engine.js";
import { load, type MatmulKernel, make } from "../../src/kernel/ir.js";
import { difference, expectMatmul, runMatmul } from "./harness.js";
import { type Memory, memoryOf, type View } from "./interpreter.js";
import { others, own } from "./vectors.js";

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

const bias = (type: MatmulKernel["type"], with_: boolean): MatmulKernel => {
  const t = type === "float32" ? "f32" : "f64";
  const finish = with_ ? make("add", t, [load(0, t), load(1, t)]) : null;
  return { kind: "matmul", name: "mm", type, bias: with_, finish };
};

function check(kernel: MatmulKernel, size: readonly [number, number, number, number], x: Layout, y: Layout): void {
  const [batch, m, n, k] = size;
  const { type } = kernel;
  const a = matrix(type, batch, m, k, x);
  const b = matrix(type, batch, k, n, y);
  const c: View = { data: fill(memoryOf(type, batch * m * (n + 1) + 2)), offset: 2, strides: [m * (n + 1), n + 1, 1] };
  const added: View | null = kernel.bias ? { data: fill(memoryOf(type, 2 * n)), offset: 0, strides: [2] } : null;
  const want = expectMatmul(kernel, { batch, m, n, k }, a, b, c, added);
  const got = runMatmul(engine as NativeEngine, kernel, { batch, m, n, k }, a, b, c, added);
  const problem = difference(got, want, type === "float32" ? 3e-5 : 1e-12);
  if (problem !== null) expect.fail(`${type} ${size.join("×")}, ${x}·${y}, ${engine?.threads} threads: ${problem}`);
}

const settings = [[own, 1], [own, 2], ...others.map((v) => [v, 1] as const)] as const;

describe.runIf(engine !== null).each(settings)("native matrix product, %j, threads: %i", (vectors, threads) => {
  beforeAll(() => {
    engine = NativeEngine.create(null, vectors);
    if (engine) engine.threads = threads;
  });
  for (const type of ["float32", "float64"] as const) {
    it(`${type}: around tiles`, () => {
      const rows = [1, 2, 5, 6, 7, 13, 14, 15, 27, 28, 29, 43];
      const columns = [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];
      for (const m of rows)
        for (const n of columns)
          check(bias(type, (m + n) % 2 === 0), [1, m, n, 9], layouts[m % 3] as Layout, layouts[n % 3] as Layout);
      for (const x of layouts)
        for (const y of layouts)
          for (const [m, n] of [
            [14, 32],
            [29, 31],
            [70, 5],
            [5, 70],
            [61, 100],
          ] as const)
            for (const k of [0, 1, 15, 16, 17, 33]) check(bias(type, true), [1, m, n, k], x, y);
    });
    it(`${type}: several blocks, batches and epilogues`, () => {
      for (const x of layouts)
        for (const y of layouts) {
          for (const k of [255, 256, 257, 303, 304, 305, 319, 320, 321, 609, 700])
            check(bias(type, true), [1, 20, 40, k], x, y);
          check(bias(type, false), [1, 150, 35, 330], x, y);
          check(bias(type, true), [1, 10, 300, 330], x, y);
          check(bias(type, true), [1, 300, 10, 330], x, y);
          check(bias(type, true), [7, 15, 33, 20], x, y);
          check(bias(type, true), [2, 130, 70, 90], x, y);
        }
      check(bias(type, true), [1, 0, 5, 3], "rows", "rows");
      check(bias(type, true), [1, 5, 0, 3], "rows", "rows");
    });
  }
});
