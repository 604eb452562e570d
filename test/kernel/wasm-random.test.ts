/**
 * Random loop kernels, rendered to WebAssembly and interpreted: expressions over all types with nested reductions, scans,
 * several stores, random layouts and vector axes. Finds what the tests by hand did not think of.
 */
import { expect, it } from "vitest";
import { WasmEngine } from "../../src/device/wasm/engine.js";
import {
  constant,
  type Expr,
  type Fold,
  index,
  type LoopKernel,
  load,
  make,
  type Operand,
  type StorageType,
  type Store,
  scalar,
  type ValueType,
  valueTypeOf,
} from "../../src/kernel/ir.js";
import { printKernel } from "../../src/kernel/print.js";
import { difference, expectLoop, runLoop } from "./harness.js";
import { memoryOf, type View } from "./interpreter.js";

const engine = new WasmEngine();

let seed = 1;
const random = (): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const below = (n: number): number => Math.floor(random() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)];

const families: readonly (readonly StorageType[])[] = [
  ["float32"],
  ["float32", "int32", "bool", "uint8", "int16", "int8"],
  ["float64"],
  ["float64", "int64", "bool"],
  ["float32", "float64", "int64", "int32", "bool", "int8"],
  ["float32", "int64"],
];

/** Values stay small whole numbers (or exact halves), so that every order of summation gives the same digits. */
class Generator {
  constructor(
    readonly inputs: readonly StorageType[],
    readonly types: readonly ValueType[],
    readonly axes: number,
    readonly reducing: boolean,
    readonly scanning: boolean,
  ) {}

  expr(type: ValueType, depth: number, folds: number): Expr {
    const leaf = depth <= 0 || random() < 0.15;
    if (leaf) {
      const fitting = this.inputs.map((t, i) => [t, i] as const).filter(([t]) => valueTypeOf[t] === type);
      if (fitting.length > 0 && random() < 0.7) return load(pick(fitting)[1], type);
      if (type === "i32" && random() < 0.4) return index(below(this.axes));
      if (type === "f32" && random() < 0.3) return scalar(0, "f32");
      if (type === "bool") return constant(below(2), "bool");
      return constant(type === "i64" ? BigInt(below(5) - 2) : type === "u32" ? below(5) : below(5) - 2, type);
    }
    const sub = (t: ValueType = type): Expr => this.expr(t, depth - 1, folds);
    if (this.reducing && folds > 0 && type !== "u32" && random() < 0.35) {
      const fold: Fold = type === "bool" ? pick(["max", "min"]) : pick(["sum", "max", "min"]);
      return make("reduce", type, [this.small(this.expr(type, depth - 1, folds - 1))], 0, -1, fold);
    }
    if (this.scanning && type !== "bool" && random() < 0.2)
      return make("scan", type, [this.small(sub())], 0, -1, pick(["sum", "max"] as const));
    if (random() < 0.25) {
      const from = pick(this.types);
      if (from !== type) return make("cast", type, [sub(from)]);
    }
    if (type === "bool") {
      if (random() < 0.5) return make(pick(["and", "or", "xor"] as const), "bool", [sub(), sub()]);
      const t = pick(this.types);
      return make(pick(["eq", "ne", "lt", "le"] as const), "bool", [sub(t), sub(t)]);
    }
    if (random() < 0.3) return make("select", type, [this.expr("bool", depth - 1, folds), sub(), sub()]);
    if (random() < 0.2) return make(pick(["neg", "abs"] as const), type, [sub()]);
    if (type !== "f32" && type !== "f64" && random() < 0.3)
      return this.small(make(pick(["and", "xor", "div", "rem", "shr"] as const), type, [sub(), sub()]));
    return this.small(make(pick(["add", "sub", "mul"] as const), type, [sub(), sub()]));
  }

  /** Into −8 … 8. */
  private small(e: Expr): Expr {
    const k = (x: number): Expr => constant(e.type === "i64" ? BigInt(x) : x, e.type);
    if (e.type === "bool") return e;
    const low = e.type === "u32" ? e : make("select", e.type, [make("lt", "bool", [e, k(-8)]), k(-8), e]);
    return make("select", e.type, [make("lt", "bool", [k(8), low]), k(8), low]);
  }
}

function trial(): void {
  const family = pick(families);
  const outer = below(3);
  const inner = below(3);
  const vector = inner === 0 || (outer > 0 && random() < 0.5) ? "outer" : "inner";
  const axes = outer + inner;
  const axis = vector === "inner" ? axes - 1 : outer - 1;
  const sizes = Array.from({ length: axes }, (_, a) =>
    a === axis ? pick([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 70]) : 1 + below(5),
  );
  if (random() < 0.03 && axes > 0) sizes[below(axes)] = 0;
  const inputs = Array.from({ length: 1 + below(3) }, () => pick(family));
  const types = [...new Set(inputs.map((t) => valueTypeOf[t]))];
  const scanning = inner === 1 && random() < 0.3;
  const generator = new Generator(
    inputs,
    random() < 0.3 ? [...types, "i32"] : types,
    Math.max(1, axes),
    inner > 0,
    scanning,
  );
  const operands: Operand[] = [];
  const views: View[] = [];
  const add = (type: StorageType, per: "input" | "row" | "element"): void => {
    // strides of a dense layout of the axes in random order, some of them broadcast if read
    const order = sizes.map((_, a) => a).sort(() => random() - 0.5);
    if (axis >= 0 && random() < 0.6) order.push(...order.splice(order.indexOf(axis), 1));
    const strides = sizes.map(() => 0);
    let size = 1;
    for (const a of order.reverse()) {
      if ((per === "input" && random() < 0.2) || (per === "row" && a >= outer)) continue;
      strides[a] = size;
      size *= Math.max(1, sizes[a]);
      if (random() < 0.1) size += 3;
    }
    const s = axis < 0 ? 0 : strides[axis];
    operands.push({ type, step: s === 0 ? "uniform" : s === 1 && random() < 0.9 ? "unit" : "strided" });
    const data = memoryOf(type, size * 2 + 5);
    for (let i = 0; i < data.length; i++) {
      const x =
        type === "bool" ? below(2) : type === "uint8" ? below(6) : type[0] === "f" ? below(16) / 2 - 4 : below(12) - 6;
      if (data instanceof BigInt64Array) data[i] = BigInt(x);
      else data[i] = x;
    }
    views.push({ data, offset: below(4), strides });
  };
  for (const t of inputs) add(t, "input");
  const stores: Store[] = [];
  for (let n = 1 + below(3); n > 0; n--) {
    const per = inner > 0 && random() < 0.5 ? "row" : "element";
    const type = pick(inputs);
    const body = new Generator(
      inputs,
      generator.types,
      per === "row" ? Math.max(1, outer) : Math.max(1, axes),
      inner > 0,
      scanning && per === "element",
    );
    let value = body.expr(valueTypeOf[type], 2 + below(4), inner > 0 ? 2 : 0);
    if (axes === 0 || (per === "row" && outer === 0))
      value = constant(valueTypeOf[type] === "i64" ? 1n : 1, valueTypeOf[type]);
    add(type, per);
    stores.push({ operand: operands.length - 1, value, per, at: null, accumulate: false });
  }
  const kernel: LoopKernel = { kind: "loop", name: "random", operands, scalars: ["f32"], stores, outer, inner, vector };
  const want = expectLoop(kernel, views, sizes, [1.5]);
  const describe = (): string =>
    `sizes ${sizes.join("×")}, strides ${views.map((v) => `(${v.strides})`).join(" ")}\n${printKernel(kernel)}`;
  let got: ReturnType<typeof runLoop>;
  try {
    got = runLoop(engine, kernel, views, sizes, [1.5]);
  } catch (error) {
    throw new Error(`${String(error)}\n${describe()}`);
  }
  for (let o = 0; o < views.length; o++) {
    const loose = operands[o].type === "float32" ? 1e-5 : operands[o].type === "float64" ? 1e-12 : 0;
    const problem = difference(got[o], want[o], loose);
    if (problem !== null) expect.fail(`operand ${o}: ${problem}\n${describe()}`);
  }
}

it("1500 random kernels do what the interpreter does", () => {
  for (let n = 0; n < 1500; n++) {
    seed = n * 7919 + 13;
    for (let warm = 0; warm < 3; warm++) random();
    try {
      trial();
    } catch (error) {
      throw new Error(`trial ${n}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}, 120_000);
