/**
 * The naive reference of the property tests: an array is its shape and a function from an index to a value. Views are
 * functions of functions; nothing is strided, shared or fast.
 */
import fc from "fast-check";
import type { DType, Tensor } from "../../src/index.js";
import * as torch from "../../src/index.js";

export interface Reference {
  readonly shape: readonly number[];
  at(index: readonly number[]): number;
}

export const size = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);

/** All indices of a shape, in row-major order. */
export function indices(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (found, n) => found.flatMap((index) => Array.from({ length: n }, (_, i) => [...index, i])),
    [[]],
  );
}

export function fromFlat(shape: readonly number[], flat: readonly number[]): Reference {
  return {
    shape,
    at: (index) => flat[index.reduce((offset, i, d) => offset * (shape[d] as number) + i, 0)] as number,
  };
}

export const flatten = (r: Reference): number[] => indices(r.shape).map((index) => r.at(index));

/** Elements in row-major order, read the slow way and the fast way, which must agree. */
export function read(t: Tensor): number[] {
  const slow = indices(t.shape).map((index) => t.get(index));
  const fast = Array.from(t.to("float64").toTypedArray() as Float64Array);
  if (slow.some((v, i) => !Object.is(v, fast[i]))) throw new Error(`get gives ${slow}, toTypedArray ${fast}`);
  return slow;
}

/** A tensor of distinct numbers and its reference. */
export function counted(shape: readonly number[], dtype: DType = "float32"): { tensor: Tensor; reference: Reference } {
  const flat = Array.from({ length: size(shape) }, (_, i) => i + 1);
  return { tensor: torch.fromTypedArray(Float64Array.from(flat), shape).to(dtype), reference: fromFlat(shape, flat) };
}

/** Shapes of up to four dimensions of sizes 0 … 4, mostly not empty. */
export const shapes = fc.array(fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 4 }) }, fc.constant(0)), {
  maxLength: 4,
});
