/**
 * A recorded function: steps over places. A place is a run of memory that the function made, was given, or found; a step is
 * a launch or a look at values by JavaScript. Loops carry their expressions, so they can be rewritten; what the graph does
 * not understand (convolutions) it keeps as it is.
 */
import type { Buffer, Executable } from "../device/engine.js";
import type { Expr, LoopKernel, MatmulKernel, Step as VectorStep } from "../kernel/ir.js";
import { topological } from "../kernel/ir.js";
import type { DType } from "../ops/dtype.js";

export interface Place {
  readonly id: number;
  /** `made` in the function; `found` outside it; an `argument`; the old `gradient` of a leaf. */
  readonly kind: "made" | "found" | "argument" | "gradient";
  readonly bytes: number;
  /** Its memory, where the function found it. */
  readonly buffer: Buffer | null;
  /** Of arguments and gradients: which one. */
  readonly index: number;
}

/** How a launch walks a place: elements from its start, and a stride for each axis. */
export interface Access {
  readonly place: Place;
  readonly offset: number;
  readonly strides: readonly number[];
}

/** A scalar of a launch: a number, or one of those that a provider computes for each run. */
export type Scalar = number | { readonly provider: Provider; readonly index: number };
export interface Provider {
  compute(): readonly number[];
}

export interface LoopStep {
  readonly kind: "loop";
  readonly kernel: LoopKernel;
  /** Of each axis, outer first. */
  readonly sizes: readonly number[];
  readonly accesses: readonly Access[];
  readonly scalars: readonly Scalar[];
}

/** A matrix product: operands A, B, C and those of its epilogue. */
export interface ProductStep {
  readonly kind: "product";
  readonly kernel: MatmulKernel;
  /** What was launched; null where the epilogue has grown since. */
  readonly executable: Executable | null;
  /** Their strides are among `params`. */
  readonly accesses: readonly Access[];
  readonly written: ReadonlySet<number>;
  /** See MatmulKernel; the scalars come last. */
  readonly params: Float64Array;
  readonly scalars: readonly Scalar[];
  readonly units: number;
  readonly work: number;
}

export interface OpaqueStep {
  readonly kind: "opaque";
  readonly executable: Executable;
  readonly accesses: readonly Access[];
  /** Which operands are written; the others are read. */
  readonly written: ReadonlySet<number>;
  readonly params: Float64Array;
  readonly units: number;
  readonly work: number;
}

export interface CheckStep {
  readonly kind: "check";
  readonly values: readonly { readonly place: Place; readonly offset: number; readonly dtype: DType }[];
  readonly check: (numbers: readonly number[]) => void;
}

export type Step = LoopStep | ProductStep | OpaqueStep | CheckStep;

/** The operands that expressions load. */
export const loadsOf = (values: readonly Expr[]): Set<number> =>
  new Set(
    topological(values)
      .filter((e) => e.op === "load")
      .map((e) => e.slot),
  );

/** The loads and gathers of a kernel, by operand. */
export function readsOf(kernel: LoopKernel): { loads: Set<number>; gathers: Set<number>; indexed: boolean } {
  const loads = new Set<number>();
  const gathers = new Set<number>();
  let indexed = false;
  for (const e of topological(rootsOf(kernel))) {
    if (e.op === "load") loads.add(e.slot);
    else if (e.op === "gather") gathers.add(e.slot);
    else if (e.op === "index") indexed = true;
  }
  return { loads, gathers, indexed };
}

export const rootsOf = (kernel: LoopKernel): Expr[] =>
  kernel.stores.flatMap((s) => (s.at === null ? [s.value] : [s.value, s.at]));

export function placesRead(step: Step): Set<Place> {
  if (step.kind === "check") return new Set(step.values.map((v) => v.place));
  if (step.kind === "opaque") return new Set(step.accesses.filter((_, i) => !step.written.has(i)).map((a) => a.place));
  if (step.kind === "product") {
    const loaded = loadsOf(step.kernel.epilogue.map((s) => s.value));
    return new Set(step.accesses.filter((_, i) => i < 2 || (i > 2 && loaded.has(i - 2))).map((a) => a.place));
  }
  const { loads, gathers } = readsOf(step.kernel);
  const places = new Set([...loads, ...gathers].map((i) => (step.accesses[i] as Access).place));
  for (const s of step.kernel.stores) if (s.accumulate) places.add((step.accesses[s.operand] as Access).place);
  return places;
}

export function placesWritten(step: Step): Set<Place> {
  if (step.kind === "check") return new Set();
  const written = step.kind === "loop" ? new Set(step.kernel.stores.map((s) => s.operand)) : step.written;
  return new Set([...written].map((i) => (step.accesses[i] as Access).place));
}

export const vectorStep = (stride: number): VectorStep =>
  stride === 0 ? "uniform" : stride === 1 ? "unit" : "strided";

/** The axis a kernel's vectors run along, −1 where it has none. */
export const vectorAxis = (kernel: { outer: number; inner: number; vector: "inner" | "outer" }): number =>
  kernel.vector === "inner" ? kernel.outer + kernel.inner - 1 : kernel.outer - 1;

/** Who writes a place, and who reads it. */
export function census(steps: readonly Step[]): { writers: Map<Place, number[]>; readers: Map<Place, number[]> } {
  const writers = new Map<Place, number[]>();
  const readers = new Map<Place, number[]>();
  const note = (map: Map<Place, number[]>, place: Place, i: number): void => {
    const list = map.get(place);
    if (list === undefined) map.set(place, [i]);
    else list.push(i);
  };
  steps.forEach((step, i) => {
    for (const p of placesWritten(step)) note(writers, p, i);
    for (const p of placesRead(step)) note(readers, p, i);
  });
  return { writers, readers };
}
