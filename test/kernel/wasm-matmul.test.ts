/** The WebAssembly matrix product against the interpreter: every edge, any strides, batches, epilogues. */
import { describe, expect, it } from "vitest";
import { WasmEngine } from "../../src/device/wasm/engine.js";
import { constant, type Expr, load, type MatmulKernel, make } from "../../src/kernel/ir.js";
import { difference, expectMatmul, runMatmul } from "./harness.js";
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

function check(
  kernel: MatmulKernel,
  [batch, m, n, k]: readonly number[],
  layouts: readonly ["rows" | "columns" | "loose", "rows" | "columns" | "loose"],
  biasStride = 1,
): void {
  const { type } = kernel;
  const size = { batch, m, n, k };
  const a = matrix(type, batch, m, k, layouts[0]);
  const b = matrix(type, batch, k, n, layouts[1]);
  const c: View = { data: fill(memoryOf(type, batch * m * (n + 2) + 4)), offset: 2, strides: [m * (n + 2), n + 2, 1] };
  const bias: View | null = kernel.bias
    ? { data: fill(memoryOf(type, n * biasStride + 2)), offset: 1, strides: [biasStride] }
    : null;
  const want = expectMatmul(kernel, size, a, b, c, bias);
  for (const engine of engines) {
    const problem = difference(runMatmul(engine, kernel, size, a, b, c, bias), want, type === "float32" ? 2e-5 : 1e-12);
    if (problem !== null) expect.fail(`${type} ${batch}×${m}×${n}×${k}, ${layouts.join("·")}: ${problem}`);
  }
}

const plain = (type: MatmulKernel["type"], bias = false, finish: Expr | null = null): MatmulKernel => ({
  kind: "matmul",
  name: "mm",
  type,
  bias,
  finish,
});

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
    it(`${type}: bias and epilogue`, () => {
      const t = type === "float32" ? "f32" : "f64";
      const sum = make("add", t, [load(0, t), load(1, t)]);
      const leaky = make("select", t, [
        make("lt", "bool", [sum, constant(0, t)]),
        make("mul", t, [sum, constant(0.25, t)]),
        sum,
      ]);
      const odd = make("add", t, [
        make("cast", t, [make("cast", "i32", [make("mul", t, [load(0, t), constant(8, t)])])]),
        load(1, t),
      ]);
      for (const [m, n, k] of [
        [1, 11, 6],
        [6, 8, 4],
        [7, 21, 9],
        [99, 13, 300],
      ])
        for (const stride of [1, 2]) {
          check(plain(type, true), [2, m, n, k], ["rows", "columns"], stride);
          check(plain(type, true, leaky), [2, m, n, k], ["rows", "columns"], stride);
          if (k < 10) check(plain(type, true, odd), [1, m, n, k], ["rows", "rows"], stride);
        }
      check(plain(type, false, make("abs", t, [load(0, t)])), [2, 9, 10, 4], ["columns", "columns"]);
    });
  }
});
