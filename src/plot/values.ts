/** What charts take for a list of numbers, and how each becomes one. */
import { inWords, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { isTensor, type Tensor } from "../tensor/index.js";

/** Numbers in a row: a list, a typed array, a tensor (its elements in order), a column of a table. */
export type Numbers = ArrayLike<number> | Tensor | Iterable<number | bigint | boolean | string | null>;

/** A copy as numbers; gaps are NaN. Errors: ValueError for text. */
export function numbersOf(what: string, values: Numbers, name = "values"): number[] {
  if (!isNumbers(values)) refuseArgument(what, name, values, "a list of numbers, a tensor or a column");
  const list = isTensor(values)
    ? Array.from(values.detach().toTypedArray() as ArrayLike<number | bigint>)
    : Symbol.iterator in values
      ? [...values]
      : Array.from(values);
  return list.map((value: unknown, i) => {
    if (value === null || value === undefined) return Number.NaN;
    if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean") {
      throw new ValueError(`${what}: ${inWords(value)} is not a number (${name}, place ${i})`);
    }
    return Number(value);
  });
}

/** True for lists, tensors and columns; false for objects that hold several by name. */
export const isNumbers = (values: unknown): values is Numbers =>
  isTensor(values) ||
  (typeof values === "object" && values !== null && (Symbol.iterator in values || "length" in values));

/** JSON has no NaN: gaps in a line are null. */
export const plain = (value: number): number | null => (Number.isFinite(value) ? value : null);
