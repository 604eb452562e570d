/** Reads the fixtures of test/fixtures (see make.py for their form), runs a case on the engine in force, and compares. */
import { readFileSync } from "node:fs";
import { setCpuEngine } from "../../src/device/index.js";
import type { DType, Tensor } from "../../src/index.js";
import * as torch from "../../src/index.js";
import { drawn } from "./numbers.js";
import { table } from "./table.js";

export type Encoded = number | "NaN" | "Infinity" | "-Infinity" | "-0";

interface Spec {
  t: DType;
  s: number[];
  g?: [number, number, number];
  v?: Encoded[];
  r?: ([view: "transpose" | "slice", ...args: number[]] | [view: "expand", shape: number[]])[];
}

export interface Case {
  op: string;
  name: string;
  in: (Spec | number)[];
  args?: Args;
  out: { t: DType; s: number[]; v: Encoded[] }[];
  up?: (number | null)[];
  grad?: (Encoded[] | null)[];
  /** Relative tolerance, where float32 itself keeps fewer digits. */
  tol?: number;
}

/** Keyword arguments of a case; each operation of the table knows its own. */
export interface Args {
  dim?: number | number[];
  keepdim?: boolean;
  dtype?: DType;
  correction?: number;
  p?: number | "Infinity" | "-Infinity";
  descending?: boolean;
  k?: number;
  largest?: boolean;
  min?: number;
  max?: number;
  alpha?: number;
  beta?: number;
  value?: number | "-Infinity";
  rounding?: "floor" | "trunc";
  shape?: number[];
  start?: number;
  end?: number;
  step?: number;
  length?: number;
  index?: number;
  a?: number;
  b?: number;
  dims?: number[];
  size?: number | number[];
  sizes?: number[];
  chunks?: number;
  times?: number[];
  offset?: number;
  diagonal?: number;
  items?: (number | null | string | number[] | { start?: number; stop?: number; step?: number })[];
  slope?: number;
  threshold?: number;
  eps?: number;
  classes?: number;
  reduction?: "mean" | "sum" | "none";
  ignoreIndex?: number;
  labelSmoothing?: number;
  kernel?: number | number[];
  stride?: number | number[];
  padding?: number | number[] | "same" | "valid";
  dilation?: number | number[];
  groups?: number;
  outputPadding?: number | number[];
  ceilMode?: boolean;
  countIncludePad?: boolean;
  divisorOverride?: number;
  training?: boolean;
  momentum?: number;
}

export const engines = ["native", "wasm"] as const;

/** Runs `fn` with tensors made on one of the CPU engines. */
export function onEngine(name: (typeof engines)[number]): void {
  setCpuEngine(name);
}

export function load<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/${file}.json`, import.meta.url), "utf8")) as T;
}

export const decode = (values: readonly Encoded[]): number[] => values.map(Number);

export function make(values: ArrayLike<number>, shape: readonly number[], dtype: DType): Tensor {
  return torch.fromTypedArray(Float64Array.from(values), shape, { dtype: "float64" }).to(dtype);
}

export const isFloating = (dtype: DType): boolean => dtype.includes("float");

const product = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

/** The base of a spec; `dtype` takes the place of its own where given. */
export function base(spec: Spec, dtype: DType = spec.t): Tensor {
  const values = spec.v ? decode(spec.v) : drawn(product(spec.s), spec.t, spec.g ?? [0, 0, 0]);
  return make(values, spec.s, dtype);
}

export function viewed(base: Tensor, spec: Spec): Tensor {
  let t = base;
  for (const step of spec.r ?? []) {
    if (step[0] === "expand") t = t.expand(step[1]);
    else if (step[0] === "transpose") t = t.transpose(step[1] as number, step[2] as number);
    else t = t.slice(step[1] as number, step[2] as number, step[3] as number, step[4] as number);
  }
  return t;
}

export function call(op: string, inputs: readonly (Tensor | number)[], args: Args): Tensor[] {
  const fn = table[op];
  if (!fn) throw new Error(`test/ops/table.ts has no entry for ${op}`);
  const out = fn(args, ...(inputs as [Tensor, ...Tensor[]]));
  return Array.isArray(out) ? out : [out as Tensor];
}

export const values = (t: Tensor): number[] => Array.from(t.detach().to("float64").toTypedArray() as Float64Array);

/** Relative and absolute tolerance by dtype. */
const tolerances: Partial<Record<DType, [number, number]>> = {
  float32: [1e-5, 1e-6],
  float64: [1e-11, 1e-12],
  float16: [2e-3, 2e-3],
  bfloat16: [2e-2, 1e-2],
};

/** Nothing if the same within tolerance; else the first difference, in words. */
export function difference(
  actual: readonly number[],
  expected: readonly number[],
  dtype: DType,
  tolerance: number | null = null,
): string | null {
  const [relative, absolute] = tolerance === null ? (tolerances[dtype] ?? [0, 0]) : [tolerance, tolerance];
  if (actual.length !== expected.length) return `${actual.length} values instead of ${expected.length}`;
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i] as number;
    const e = expected[i] as number;
    if (Object.is(a, e) || a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    if (!(Math.abs(a - e) <= absolute + relative * Math.abs(e)) || !Number.isFinite(e)) {
      return `element ${i} is ${a}, PyTorch's ${e}`;
    }
  }
  return null;
}

/** Runs a case and gives all that differs from PyTorch. */
export function run(c: Case): string[] {
  const problems: string[] = [];
  const track = c.grad?.some((g) => g !== null) ?? false;
  const bases = c.in.map((spec, i) => {
    if (typeof spec === "number") return spec;
    const t = base(spec);
    return track && c.grad?.[i] ? t.requiresGrad_() : t;
  });
  const inputs = bases.map((b, i) => (typeof b === "number" ? b : viewed(b, c.in[i] as Spec)));
  const outputs = call(c.op, inputs, c.args ?? {});
  if (outputs.length !== c.out.length) return [`${outputs.length} results instead of ${c.out.length}`];
  for (const [i, expected] of c.out.entries()) {
    const out = outputs[i] as Tensor;
    if (out.dtype !== expected.t) problems.push(`result ${i} is ${out.dtype}, PyTorch's ${expected.t}`);
    if (out.shape.join() !== expected.s.join()) {
      problems.push(`result ${i} has shape (${out.shape.join(", ")}), PyTorch's (${expected.s.join(", ")})`);
      continue;
    }
    const differs = difference(values(out), decode(expected.v), expected.t, c.tol);
    if (differs) problems.push(`result ${i}: ${differs}`);
  }
  if (!track || problems.length > 0) return problems;

  let root: Tensor | null = null;
  for (const [i, seed] of (c.up ?? []).entries()) {
    if (seed === null) continue;
    const out = outputs[i] as Tensor;
    const upstream = make(drawn(out.numel(), out.dtype, [seed, -1, 1]), out.shape, out.dtype);
    const term = out.mul(upstream).sum();
    root = root ? root.add(term) : term;
  }
  root?.backward();
  for (const [i, expected] of (c.grad ?? []).entries()) {
    if (expected === null) continue;
    const leaf = bases[i] as Tensor;
    const grad = leaf.grad;
    if (!grad) {
      problems.push(`operand ${i} has no gradient`);
      continue;
    }
    if (grad.shape.join() !== leaf.shape.join()) problems.push(`gradient ${i} has shape (${grad.shape.join(", ")})`);
    if (grad.dtype !== leaf.dtype) problems.push(`gradient ${i} is ${grad.dtype}`);
    const differs = difference(values(grad), decode(expected), leaf.dtype, c.tol);
    if (differs) problems.push(`gradient ${i}: ${differs}`);
  }
  return problems;
}
