/**
 * Sizes of one to three spatial dimensions, as users give them and as convolutions and pooling compute with them: always three,
 * depth, height and width, those that are missing in front.
 */
import { ValueError } from "../errors.js";
import type { Shape } from "./shape.js";

/** One number for every spatial dimension, or one each. */
export type Sizes = number | readonly number[];

export type Triple = readonly [number, number, number];

export const triple = (f: (i: 0 | 1 | 2) => number): Triple => [f(0), f(1), f(2)];

/** `dims` sizes from one or a list; an error if they are not whole numbers from `least` on. */
export function sizesOf(op: string, name: string, value: Sizes, dims: number, least: number): number[] {
  const list = typeof value === "number" ? new Array<number>(dims).fill(value) : [...value];
  const sizes = list.length === 1 ? new Array<number>(dims).fill(list[0] as number) : list;
  if (sizes.length !== dims || sizes.some((n) => !Number.isInteger(n) || n < least)) {
    throw new ValueError(
      `${op}: ${name} is a whole number from ${least} on, or ${dims} of them, not ${JSON.stringify(value)}`,
    );
  }
  return sizes;
}

/** Up to three sizes as three, with `neutral` in front. */
export const widen = (sizes: readonly number[], neutral: number): Triple => {
  const all = [...new Array<number>(3 - sizes.length).fill(neutral), ...sizes];
  return [all[0] as number, all[1] as number, all[2] as number];
};

/** Sizes of the last three of five dimensions. */
export const spatial = (shape: Shape): Triple => [shape[2] as number, shape[3] as number, shape[4] as number];
