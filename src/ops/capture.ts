/**
 * Where operations meet the recorder of `torch.compile`. Launches reach it through launch.ts; here is what happens beside
 * them: numbers that JavaScript computes anew for each run, values that it looks at, gradients that come and go. With no
 * recording under way all of this is as if it were not there.
 */
import type { Buffer } from "../device/engine.js";
import type { Tensor } from "../tensor/tensor.js";

export interface Capture {
  /** A fresh buffer of an operation. */
  allocated(buffer: Buffer): void;
  /** The scalars of the next launch, which every run computes anew. */
  numbers(compute: () => readonly number[]): readonly number[];
  /** Values that JavaScript checks in every run, at this place among the launches. */
  inspect(values: readonly Tensor[], check: (numbers: readonly number[]) => void): void;
  /** The recording holds only as long as `holds` says so. */
  guard(holds: () => boolean): void;
  /** The `.grad` of a leaf is about to change; `dropped`: to be forgotten. */
  gradientChanges(leaf: Tensor, dropped: boolean): void;
  /** An optimiser has used the gradient of a leaf. */
  gradientUsed(leaf: Tensor): void;
  /** State was made that the next run will find: this run is not like the next. */
  unsettled(): void;
  /** `what` cannot be recorded. */
  refuse(what: string): never;
}

let current: Capture | null = null;

/** The recording under way, if there is one. */
export const capturing = (): Capture | null => current;

export function withCapture<T>(capture: Capture | null, fn: () => T): T {
  const before = current;
  current = capture;
  try {
    return fn();
  } finally {
    current = before;
  }
}

/** Scalars for the next launch that depend on more than the operands: a random stream's position, a learning rate. */
export const hostNumbers = (compute: () => readonly number[]): readonly number[] =>
  current === null ? compute() : current.numbers(compute);

/** Checks values that JavaScript has to look at: now, and in every run of what is being recorded. */
export function inspect(values: readonly Tensor[], check: (numbers: readonly number[]) => void): void {
  if (current === null) check(values.map((value) => value.item()));
  else current.inspect(values, check);
}

/** What recordings stand on: memory of parameters and state. */
const recorded = new WeakSet<Buffer>();
export const markRecorded = (buffer: Buffer): void => {
  recorded.add(buffer);
};

let changes = 0;
/** Counts changes that no recording survives. */
export const structuralChanges = (): number => changes;
/** Says that a module, an optimiser or a parameter is not what it was. */
export function structureChanged(buffer?: Buffer): void {
  if (buffer === undefined || recorded.has(buffer)) changes += 1;
}
