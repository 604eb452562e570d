/** Folds in C: where an accumulator begins, and how it takes the next value. */
import type { Expr, Fold, ValueType } from "../ir.js";
import { cConstant } from "./expression.js";

/** Folds of floats by max or min keep a flag beside them: the SIMD reduction itself would lose NaN. */
export const watchesNaN = (e: Expr): boolean =>
  (e.fold === "max" || e.fold === "min") && (e.type === "f32" || e.type === "f64");

const lowest: Partial<Record<ValueType, [number | bigint, number | bigint]>> = {
  f32: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  f64: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
  u32: [0, 2 ** 32 - 1],
  bool: [0, 1],
};

/** What an accumulator begins with. */
export function identity(e: Expr): string {
  if (e.fold === "sum") return cConstant(e.type === "i64" ? 0n : 0, e.type);
  if (e.fold === "prod") return cConstant(e.type === "i64" ? 1n : 1, e.type);
  const [low, high] = lowest[e.type] as [number | bigint, number | bigint];
  return cConstant(e.fold === "max" ? low : high, e.type);
}

/** The accumulator `acc` after the value `v`. */
export function combine(e: Expr, acc: string, v: string): string {
  switch (e.fold as Fold) {
    case "sum":
      return `${acc} + ${v}`;
    case "prod":
      return `${acc} * ${v}`;
    default: {
      const nan = watchesNaN(e) ? ` || ${v} != ${v}` : "";
      return `${v} ${e.fold === "max" ? ">" : "<"} ${acc}${nan} ? ${v} : ${acc}`;
    }
  }
}
