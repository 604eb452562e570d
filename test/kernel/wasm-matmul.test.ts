/** The WebAssembly matrix product against the interpreter: every edge, any strides, batches, epilogues. */
import { describe, expect, it } from "vitest";
import { WasmEngine } from "../../src/device/wasm/engine.js";
import type { MatmulKernel, Step } from "../../src/kernel/ir.js";
import { difference, epilogues, expectMatmul, runMatmul } from "./harness.js";
import { type Memory, memoryOf, type View } from "./interpreter.js";

const engines = [new WasmEngine({ relaxed: false }), new WasmEngine()];

let seed = 7;
const random = (): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const fill = (data: Memory): Memory => {
  for (let i = 0; i < data.length; i++) data[i] = random() * 2 - 1;
  return data;
};

/** A batch of matrices laid out in one of several ways: strides (batch, row, column). */
function matrix(
  type: MatmulKernel["type"],
  batch: number,
  rows: number,
  columns: number,
  layout: "rows" | "columns" | "loose",
): View {
  const [row, column] = layout === "rows" ? [columns, 1] : layout === "columns" ? [1, rows] : [2 * columns + 3, 2];
  const each = rows * row + columns * column + 1;
  return { data: fill(memoryOf(type, batch * each + 5)), offset: 3, strides: [each, row, column] };
}

const extra = (type: MatmulKernel["type"], step: Step, [batch, m, n]: readonly number[]): View => {
  if (step === "uniform") return { data: fill(memoryOf(type, m)), offset: 0, strides: [0, 1, 0] };
  const by = step === "unit" ? 1 : 2;
  return { data: fill(memoryOf(type, batch * m * n * by + 1)), offset: 1, strides: [m * n * by, n * by, by] };
};

function check(
  kernel: MatmulKernel,
  [batch, m, n, k]: readonly number[],
  layouts: readonly ["rows" | "columns" | "loose", "rows" | "columns" | "loose"],
): void {
  const { type } = kernel;
  const size = { batch, m, n, k };
  const a = matrix(type, batch, m, k, layouts[0]);
  const b = matrix(type, batch, k, n, layouts[1]);
  const c: View = { data: fill(memoryOf(type, batch * m * (n + 2) + 4)), offset: 2, strides: [m * (n + 2), n + 2, 1] };
  const extras = kernel.extras.map((step) => extra(type, step, [batch, m, n]));
  const scalars = kernel.scalars.map((_, i) => (i === 0 ? 0.75 : 1));
  const want = expectMatmul(kernel, size, a, b, c, extras, scalars);
  // One product is rounded as any, and the epilogue must not round otherwise than loops do.
  const tolerance = k === 1 ? 0 : type === "float32" ? 2e-5 : 1e-12;
  for (const engine of engines) {
    const got = runMatmul(engine, kernel, size, a, b, c, extras, scalars);
    want.forEach((data, i) => {
      const problem = difference(got[i], data, tolerance);
      if (problem !== null)
        expect.fail(`${type} ${batch}×${m}×${n}×${k}, ${layouts.join("·")}, operand ${i}: ${problem}`);
    });
  }
}

const plain = (type: MatmulKernel["type"]): MatmulKernel => epilogues(type)[0];

describe("wasm: matrix product", () => {
  const layouts = ["rows", "columns", "loose"] as const;
  for (const type of ["float32", "float64"] as const) {
    it(`${type}: edges in every dimension, any strides`, () => {
      for (const [m, n, k] of [
        [1, 1, 1],
        [1, 33, 9],
        [2, 70, 5],
        [4, 7, 13],
        [5, 8, 3],
        [6, 8, 4],
        [7, 9, 5],
        [12, 16, 8],
        [13, 17, 31],
        [96, 3, 2],
        [97, 25, 7],
        [100, 10, 260],
      ])
        for (const x of layouts) for (const y of layouts) check(plain(type), [1, m, n, k], [x, y]);
    });
    it(`${type}: several blocks of rows, steps and columns`, () => {
      check(plain(type), [1, 200, 40, 600], ["rows", "rows"]);
      check(plain(type), [1, 7, 1030, 20], ["rows", "columns"]);
    });
    it(`${type}: nothing to sum, nothing to write`, () => {
      check(plain(type), [1, 3, 5, 0], ["rows", "rows"]);
      check(plain(type), [1, 9, 5, 0], ["rows", "rows"]);
      check(plain(type), [1, 0, 5, 2], ["rows", "rows"]);
      check(plain(type), [1, 9, 0, 2], ["rows", "rows"]);
    });
    it(`${type}: batches`, () => {
      check(plain(type), [5, 3, 4, 6], ["rows", "columns"]);
      check(plain(type), [3, 100, 9, 5], ["loose", "rows"]);
    });
    it(`${type}: epilogues`, () => {
      epilogues(type).forEach((kernel, kind) => {
        for (const [m, n, k] of [
          [1, 11, 6],
          [6, 8, 4],
          [7, 21, 9],
          [33, 37, 1],
          [99, 13, 300],
          [130, 1030, 3],
        ]) {
          // What is cut to whole numbers falls on either side when sums are long.
          if (kind === 4 && k > 10) continue;
          check(kernel, [2, m, n, k], ["rows", "columns"]);
          check(kernel, [1, m, n, k], ["columns", "rows"]);
        }
      });
    });
  }
});
