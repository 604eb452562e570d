/** The text that CRESSET_DEBUG=kernels shows. */
import { expect, it } from "vitest";
import { constant, type LoopKernel, load, make } from "../../src/kernel/ir.js";
import { printKernel } from "../../src/kernel/print.js";

it("prints a loop nest by its passes", () => {
  const x = load(0, "f32");
  const top = make("reduce", "f32", [x], 0, -1, "max");
  const d = make("sub", "f32", [x, top]);
  const square = make("mul", "f32", [d, d]);
  const sum = make("reduce", "f32", [square], 0, -1, "sum");
  const kernel: LoopKernel = {
    kind: "loop",
    name: "normalise",
    operands: [
      { type: "float32", step: "unit" },
      { type: "float32", step: "unit" },
      { type: "float32", step: "uniform" },
    ],
    scalars: [],
    stores: [
      { operand: 1, value: make("div", "f32", [square, sum]), per: "element", at: null, accumulate: false },
      { operand: 2, value: sum, per: "row", at: null, accumulate: false },
    ],
    outer: 1,
    inner: 1,
    vector: "inner",
  };
  expect(printKernel(kernel)).toBe(`loop normalise: 1 outer, 1 inner, vectors along the inner axis
  p0: float32 unit
  p1: float32 unit
  p2: float32 uniform
  for i:
    r0: f32 = empty max
    for j:
      r0 max= p0[i, j]
    r1: f32 = empty sum
    for j:
      t0: f32 = (p0[i, j] - r0)
      r1 += (t0 * t0)
    for j:
      t0: f32 = (p0[i, j] - r0)
      p1[i, j] = ((t0 * t0) / r1)
    p2[i, 0] = r1`);
});

it("prints a matrix product with its epilogue", () => {
  const sum = make("add", "f32", [load(0, "f32"), load(1, "f32")]);
  const finish = make("select", "f32", [make("lt", "bool", [sum, constant(0, "f32")]), constant(0, "f32"), sum]);
  expect(
    printKernel({
      kind: "matmul",
      name: "linear",
      type: "float32",
      extras: ["unit"],
      scalars: [],
      epilogue: [
        { operand: 0, value: finish },
        { operand: 1, value: sum },
      ],
    }),
  ).toBe(`matmul linear: float32
  for b, m, n:
    load0 = sum over k of A[b, m, k] * B[b, k, n]
    load1 = X1[b, m, n], unit along n
    t0: f32 = (load0 + load1)
    C[b, m, n] = ((t0 < 0) ? 0 : t0)
    X1[b, m, n] = t0`);
});
