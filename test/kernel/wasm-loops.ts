/** What the tests of the WebAssembly loop renderer share: data with awkward values, and kernels checked against the interpreter. */
import { expect } from "vitest";
import { WasmEngine } from "../../src/device/wasm/engine.js";
import type { Expr, LoopKernel, Operand, StorageType, Store, ValueType } from "../../src/kernel/ir.js";
import { difference, expectLoop, runLoop } from "./harness.js";
import type { Memory, Value, View } from "./interpreter.js";

export const engine = new WasmEngine({ relaxed: false });
export const lengths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33];
export const storageOf: Record<ValueType, StorageType> = {
  f32: "float32",
  f64: "float64",
  i32: "int32",
  i64: "int64",
  u32: "int32",
  bool: "bool",
};

let seed = 1;
export const random = (): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

const special: Record<string, readonly number[]> = {
  float: [
    0,
    -0,
    1,
    -1,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    NaN,
    Infinity,
    -Infinity,
    3e9,
    -3e9,
    1e20,
    2147483648,
    16777217,
    1e-40,
  ],
  int: [0, 1, -1, 2, -2, 7, -7, 2147483647, -2147483648, 31, 32, 33, 65535, 65536],
};

export function fill(data: Memory, type: StorageType, plain = false): Memory {
  for (let i = 0; i < data.length; i++) {
    const odd = !plain && random() < 0.4;
    if (data instanceof BigInt64Array) {
      const edge = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 63n, 64n, 2n ** 53n + 1n];
      data[i] = odd ? edge[Math.floor(random() * edge.length)] : BigInt(Math.floor(random() * 200 - 100));
    } else if (type === "bool") data[i] = random() < 0.5 ? 1 : 0;
    else if (type === "float32" || type === "float64") {
      data[i] = odd ? special.float[Math.floor(random() * special.float.length)] : random() * 20 - 10;
    } else data[i] = odd ? special.int[Math.floor(random() * special.int.length)] : Math.floor(random() * 200 - 100);
  }
  return data;
}

export interface Setup {
  readonly operands: readonly Operand[];
  readonly stores: readonly Store[];
  readonly outer: readonly number[];
  readonly inner?: readonly number[];
  readonly vector?: "inner" | "outer";
  readonly scalars?: readonly ValueType[];
  readonly values?: readonly Value[];
}

export const store = (operand: number, value: Expr, per: "row" | "element" = "element"): Store => ({
  operand,
  value,
  per,
  at: null,
  accumulate: false,
});

export const kernelOf = (s: Setup): LoopKernel => ({
  kind: "loop",
  name: "test",
  operands: s.operands,
  scalars: s.scalars ?? [],
  stores: s.stores,
  outer: s.outer.length,
  inner: s.inner?.length ?? 0,
  vector: s.vector ?? "outer",
});

export function check(s: Setup, views: readonly View[], tolerance = 0): void {
  const kernel = kernelOf(s);
  const sizes = [...s.outer, ...(s.inner ?? [])];
  const got = runLoop(engine, kernel, views, sizes, s.values);
  const want = expectLoop(kernel, views, sizes, s.values);
  for (let o = 0; o < views.length; o++) {
    const type = s.operands[o].type;
    const loose = type === "float32" || type === "float64" ? tolerance : 0;
    const problem = difference(got[o], want[o], loose);
    if (problem !== null) expect.fail(`operand ${o}, sizes ${sizes.join("×")}, vector ${kernel.vector}: ${problem}`);
  }
}
