/** Reductions and scans of the WebAssembly renderer against the interpreter, along either vector axis. */
import { describe, expect, it } from "vitest";
import {
  constant,
  type Fold,
  index,
  load,
  make,
  type Operand,
  type Step,
  type StorageType,
  scalar,
  valueTypeOf,
} from "../../src/kernel/ir.js";
import { runLoop } from "./harness.js";
import { memoryOf, type View } from "./interpreter.js";
import { check, engine, fill, kernelOf, store } from "./wasm-loops.js";

describe("wasm: reductions and scans", () => {
  const folds: readonly Fold[] = ["sum", "prod", "max", "min"];
  const types: readonly StorageType[] = ["float32", "float64", "int32", "int64", "bool"];

  function rows(type: StorageType, fold: Fold, r: number, c: number, plain: boolean): void {
    const value = valueTypeOf[type];
    const e = make("reduce", value, [load(0, value)], 0, -1, fold);
    const data = fill(memoryOf(type, 2000), type, plain);
    if (fold === "prod" && !(data instanceof BigInt64Array))
      for (let i = 0; i < data.length; i++) if (plain) data[i] = Number(data[i]) / (type[0] === "f" ? 10 : 1);
    const out: View = { data: memoryOf(type, 50), offset: 1, strides: [1, 0] };
    const stores = [store(1, e, "row")];
    const inner = (step: Step, strides: number[]): void =>
      check(
        {
          operands: [
            { type, step },
            { type, step: "uniform" },
          ],
          stores,
          outer: [r],
          inner: [c],
          vector: "inner",
        },
        [{ data, offset: 2, strides }, out],
        1e-5,
      );
    const outer = (step: Step, strides: number[]): void =>
      check(
        {
          operands: [
            { type, step },
            { type, step: "unit" },
          ],
          stores,
          outer: [r],
          inner: [c],
          vector: "outer",
        },
        [{ data, offset: 2, strides }, out],
        1e-5,
      );
    inner("unit", [c, 1]);
    inner("strided", [1, r]);
    inner("uniform", [1, 0]);
    outer("unit", [1, r]);
    outer("strided", [c, 1]);
    outer("uniform", [0, 1]);
  }
  for (const fold of folds) {
    it(`${fold} of rows and of columns`, () => {
      for (const type of types)
        for (const [r, c] of [
          [1, 0],
          [1, 1],
          [3, 2],
          [5, 4],
          [1, 9],
          [4, 31],
          [33, 5],
          [17, 33],
          [2, 100],
          [20, 17],
        ])
          rows(type, fold, r, c, true);
    });
  }
  it("lets NaN win and keeps infinities", () => {
    for (const fold of ["max", "min"] as const)
      for (const type of ["float32", "float64"] as const) for (let n = 1; n < 40; n += 3) rows(type, fold, 3, n, false);
  });
  it("folds over several axes", () => {
    const e = make(
      "reduce",
      "f32",
      [make("mul", "f32", [load(0, "f32"), make("cast", "f32", [make("add", "i32", [index(1), index(2)])])])],
      0,
      -1,
      "sum",
    );
    for (const [a, b, c] of [
      [3, 4, 5],
      [2, 3, 33],
      [5, 7, 1],
      [2, 0, 4],
      [18, 3, 4],
    ]) {
      const data = fill(memoryOf("float32", 1000), "float32", true);
      const out: View = { data: memoryOf("float32", 40), offset: 0, strides: [1, 0, 0] };
      check(
        {
          operands: [
            { type: "float32", step: "unit" },
            { type: "float32", step: "uniform" },
          ],
          stores: [store(1, e, "row")],
          outer: [a],
          inner: [b, c],
          vector: "inner",
        },
        [{ data, offset: 0, strides: [b * c, c, 1] }, out],
        1e-5,
      );
      check(
        {
          operands: [
            { type: "float32", step: "unit" },
            { type: "float32", step: "unit" },
          ],
          stores: [store(1, e, "row")],
          outer: [a],
          inner: [b, c],
          vector: "outer",
        },
        [{ data, offset: 0, strides: [1, a * c, a] }, out],
        1e-5,
      );
    }
  });
  it("everything, with no outer axis", () => {
    const e = make("reduce", "f32", [load(0, "f32")], 0, -1, "sum");
    for (const n of [0, 1, 33, 5000]) {
      check(
        {
          operands: [
            { type: "float32", step: "unit" },
            { type: "float32", step: "uniform" },
          ],
          stores: [store(1, e, "row")],
          outer: [],
          inner: [n],
          vector: "inner",
        },
        [
          { data: fill(memoryOf("float32", n), "float32", true), offset: 0, strides: [1] },
          { data: memoryOf("float32", 1), offset: 0, strides: [0] },
        ],
        1e-5,
      );
    }
  });
  it("nests: a normalised row with its statistics, either vector axis", () => {
    // y = (x − mean) / Σ(x − mean)², with max and the scale of the row stored beside
    const x = load(0, "f32");
    const mean = make("div", "f32", [make("reduce", "f32", [x], 0, -1, "sum"), scalar(0, "f32")]);
    const centred = make("sub", "f32", [x, mean]);
    const power = make("add", "f32", [
      make("reduce", "f32", [make("mul", "f32", [centred, centred])], 0, -1, "sum"),
      constant(1, "f32"),
    ]);
    const top = make("reduce", "f32", [make("mul", "f32", [centred, load(1, "f32")])], 0, -1, "max");
    const y = make("add", "f32", [make("div", "f32", [centred, power]), load(1, "f32")]);
    for (const [r, c] of [
      [1, 1],
      [3, 7],
      [5, 33],
      [33, 6],
      [18, 20],
    ]) {
      for (const vector of ["inner", "outer"] as const) {
        const along = vector === "inner";
        const unit = (rows: number): number[] => (along ? [rows, 1] : [1, r]);
        const operands: Operand[] = [
          { type: "float32", step: "unit" },
          { type: "float32", step: along ? "unit" : "uniform" },
          { type: "float32", step: "unit" },
          { type: "float32", step: along ? "uniform" : "unit" },
          { type: "float32", step: along ? "uniform" : "strided" },
        ];
        check(
          {
            operands,
            stores: [store(2, y), store(3, power, "row"), store(4, make("add", "f32", [top, mean]), "row")],
            outer: [r],
            inner: [c],
            vector,
            scalars: ["f32"],
            values: [c],
          },
          [
            { data: fill(memoryOf("float32", r * c), "float32", true), offset: 0, strides: unit(c) },
            { data: fill(memoryOf("float32", 40), "float32", true), offset: 0, strides: [0, 1] },
            { data: memoryOf("float32", r * c), offset: 0, strides: unit(c) },
            { data: memoryOf("float32", 40), offset: 0, strides: [1, 0] },
            { data: memoryOf("float32", 80), offset: 0, strides: [2, 0] },
          ],
          1e-4,
        );
      }
    }
  });
  it("argmax: the first index of the greatest", () => {
    const x = load(0, "f32");
    const top = make("reduce", "f32", [x], 0, -1, "max");
    const here = make("select", "i32", [make("eq", "bool", [x, top]), index(1), constant(0x7fffffff, "i32")]);
    const e = make("reduce", "i32", [here], 0, -1, "min");
    for (const vector of ["inner", "outer"] as const) {
      check(
        {
          operands: [
            { type: "float32", step: vector === "inner" ? "unit" : "strided" },
            { type: "int32", step: vector === "inner" ? "uniform" : "unit" },
          ],
          stores: [store(1, e, "row")],
          outer: [9],
          inner: [33],
          vector,
        },
        [
          {
            data: (fill(memoryOf("float32", 300), "float32", true) as Float32Array).map(Math.round),
            offset: 0,
            strides: [33, 1],
          },
          { data: memoryOf("int32", 9), offset: 0, strides: [1, 0] },
        ],
      );
    }
  });
  it("scans", () => {
    for (const type of types.slice(0, 4))
      for (const fold of folds)
        for (const vector of ["inner", "outer"] as const)
          for (const [r, c] of [
            [1, 1],
            [3, 9],
            [18, 5],
            [2, 33],
          ]) {
            const value = valueTypeOf[type];
            const e = make("scan", value, [load(0, value)], 0, -1, fold);
            const step: Step = vector === "inner" ? "unit" : "strided";
            const data = fill(memoryOf(type, r * c), type, true);
            if (type[0] === "f") for (let i = 0; i < data.length; i++) data[i] = 1 + Number(data[i]) / 20;
            check(
              {
                operands: [
                  { type, step },
                  { type, step },
                ],
                stores: [store(1, e)],
                outer: [r],
                inner: [c],
                vector,
              },
              [
                { data, offset: 0, strides: [c, 1] },
                { data: memoryOf(type, r * c), offset: 0, strides: [c, 1] },
              ],
              1e-4,
            );
          }
  });
  it("sums millions of float32 to seven digits", () => {
    const e = make("reduce", "f32", [load(0, "f32")], 0, -1, "sum");
    const n = 2 ** 22 + 5;
    const data = new Float32Array(n).fill(0.1);
    for (const vector of ["inner", "outer"] as const) {
      const kernel = kernelOf({
        operands: [
          { type: "float32", step: vector === "inner" ? "unit" : "uniform" },
          { type: "float32", step: "uniform" },
        ],
        stores: [store(1, e, "row")],
        outer: [1],
        inner: [n],
        vector,
      });
      const [, out] = runLoop(
        engine,
        kernel,
        [
          { data, offset: 0, strides: [0, 1] },
          { data: memoryOf("float32", 1), offset: 0, strides: [0, 0] },
        ],
        [1, n],
      );
      const exact = Math.fround(0.1) * n;
      expect(Math.abs(Number(out[0]) / exact - 1)).toBeLessThan(2e-6);
    }
  });
});
