/** Multiply-add: each engine rounds once or twice as its host can, and then does so for every element, wherever it stands. */
import { describe, expect, it } from "vitest";
import { NativeEngine } from "../../src/device/native/engine.js";
import { WasmEngine } from "../../src/device/wasm/engine.js";
import { type LoopKernel, load, make, type Operand, type Step } from "../../src/kernel/ir.js";
import { runLoop } from "./harness.js";
import { lengths } from "./wasm-loops.js";

const engines = {
  native: NativeEngine.create(),
  wasm: new WasmEngine(),
  "wasm without relaxed SIMD": new WasmEngine({ relaxed: false }),
};

function kernelOf(type: "f32" | "f64", steps: readonly Step[]): LoopKernel {
  const operands = [...steps, "unit" as const].map(
    (step): Operand => ({ type: `float${type.slice(1)}`, step }) as Operand,
  );
  const value = make("madd", type, [load(0, type), load(1, type), load(2, type)]);
  const store = { operand: 3, value, per: "element", at: null, accumulate: false } as const;
  return { kind: "loop", name: "madd", operands, scalars: [], stores: [store], outer: 1, inner: 0, vector: "outer" };
}

describe.each(Object.entries(engines))("madd: %s", (name, engine) => {
  it.runIf(engine !== null)("rounds every element alike", () => {
    for (const [type, array, half] of [
      ["f32", Float32Array, 12],
      ["f64", Float64Array, 27],
    ] as const) {
      // x² = 1 + 2·2⁻ʰ + 2⁻²ʰ, whose last term no product keeps: with −(1 + 2·2⁻ʰ) it remains, or nothing does.
      const x = 1 + 2 ** -half;
      const z = -(1 + 2 * 2 ** -half);
      const found = new Set<number>();
      for (const n of lengths)
        for (const steps of [
          ["unit", "unit", "unit"],
          ["uniform", "unit", "uniform"],
          ["uniform", "uniform", "uniform"],
          ["strided", "unit", "unit"],
        ] as const) {
          const strides = steps.map((s) => ({ unit: 1, uniform: 0, strided: 2 })[s]);
          const views = [x, x, z].map((v, i) => ({
            data: new array(2 * n + 1).fill(v),
            offset: 0,
            strides: [strides[i]],
          }));
          const out = { data: new array(n), offset: 0, strides: [1] };
          const [, , , result] = runLoop(engine as NativeEngine, kernelOf(type, steps), [...views, out], [n]);
          for (const v of result as Float32Array) found.add(v);
        }
      expect([...found], type).toHaveLength(1);
      expect(name === "wasm without relaxed SIMD" ? [0] : [0, 2 ** (-2 * half)]).toContain([...found][0]);
    }
  });
});
