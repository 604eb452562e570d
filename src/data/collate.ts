/**
 * From a list of items to one batch: tensors are stacked, numbers become a tensor, tuples and objects keep their form.
 * Which items make a batch is the samplers' matter.
 */
import { checkList, checkOptions } from "../arguments.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import { fromTypedArray, isTensor, stack, type Tensor } from "../tensor/index.js";

/**
 * The type of a batch of `T`: `[Tensor, number]` becomes `[Tensor, Tensor]`, `{ x: Tensor, name: string }` becomes
 * `{ x: Tensor, name: string[] }`. Promised items count as what they promise.
 */
export type Collated<T> = T extends Tensor
  ? Tensor
  : T extends number | bigint | boolean | ArrayBufferView
    ? Tensor
    : T extends string
      ? string[]
      : T extends PromiseLike<infer U>
        ? Collated<U>
        : T extends readonly unknown[] | Record<string, unknown>
          ? { -readonly [K in keyof T]: Collated<T[K]> }
          : T extends object
            ? { [K in keyof T]: Collated<T[K]> }
            : T[];

export interface CollateOptions {
  /**
   * The dtype of numbers, int32 by default: a plain number in an item is nearly always a label. A fraction is then an
   * error, never rounded, and never a quiet change of dtype from one batch to the next. Use "float32" for numbers that
   * are measurements.
   */
  numberDtype?: "int32" | "float32" | "float64";
}

/**
 * Makes a batch of a list of items. Tensors of one shape are stacked along a new first dimension; numbers become a
 * tensor of shape (batch) and dtype `numberDtype`; booleans one of dtype bool; strings a list; arrays and objects are
 * collated member by member. Typed arrays of one length become a tensor (batch, length) of their type.
 *
 * Errors: ShapeError when items differ in shape or length, ValueError for a fraction under int32 or an empty list,
 * DTypeError for something that has no batch.
 *
 * @example
 * const [x, y] = defaultCollate([[torch.ones([2]), 0], [torch.zeros([2]), 1]] as [Tensor, number][]);
 * // x has shape (2, 2), y is int32 of shape (2)
 */
export function defaultCollate<T>(items: readonly T[], options: CollateOptions = {}): Collated<T> {
  checkList("defaultCollate", "items", items);
  checkOptions("defaultCollate", options);
  return collate(items, options.numberDtype ?? "int32", "item") as Collated<T>;
}

type NumberDtype = NonNullable<CollateOptions["numberDtype"]>;

function collate(items: readonly unknown[], numberDtype: NumberDtype, where: string): unknown {
  const first = items[0];
  if (items.length === 0) throw new ValueError("collate: an empty batch");
  if (isTensor(first)) {
    return stack(all(items, isTensor, where, "a tensor"), 0);
  }
  switch (typeof first) {
    case "number":
      return numbers(all(items, isNumber, where, "a number"), numberDtype, where);
    case "bigint":
      return fromTypedArray(BigInt64Array.from(all(items, isBigint, where, "a bigint")), [items.length]);
    case "boolean":
      return fromTypedArray(Uint8Array.from(all(items, isBoolean, where, "a boolean"), Number), [items.length], {
        dtype: "bool",
      });
    case "string":
      return all(items, isString, where, "a string");
    case "object":
      if (Array.isArray(first)) return tuples(all(items, Array.isArray, where, "an array"), numberDtype, where);
      if (ArrayBuffer.isView(first))
        return stack(
          items.map((item) => viewToTensor(item, where)),
          0,
        );
      if (first instanceof Promise) {
        throw new ValueError(`collate: ${where} is a promise; iterate the DataLoader with for await`);
      }
      if (first !== null) return records(all(items, isObject, where, "an object"), numberDtype, where);
  }
  throw new DTypeError(
    `collate: ${where} is ${first === null ? "null" : `of type ${typeof first}`}, which has no batch; pass collate`,
  );
}

function numbers(items: readonly number[], dtype: NumberDtype, where: string): Tensor {
  if (dtype === "float64") return fromTypedArray(Float64Array.from(items), [items.length]);
  if (dtype === "float32") return fromTypedArray(Float32Array.from(items), [items.length]);
  const array = Int32Array.from(items);
  const odd = items.find((item, index) => array[index] !== item);
  if (odd !== undefined) {
    throw new ValueError(
      `collate: ${where} is ${odd}, not a 32-bit integer; numbers are taken for labels (int32): ` +
        `pass numberDtype: "float32", or give the item as a tensor`,
    );
  }
  return fromTypedArray(array, [items.length]);
}

function tuples(items: readonly unknown[][], numberDtype: NumberDtype, where: string): unknown[] {
  const length = items[0]?.length ?? 0;
  const other = items.find((item) => item.length !== length);
  if (other !== undefined) throw new ShapeError(`collate: ${where}: lengths differ: ${length} and ${other.length}`);
  return Array.from({ length }, (_, i) =>
    collate(
      items.map((item) => item[i]),
      numberDtype,
      `${where}[${i}]`,
    ),
  );
}

function records(
  items: readonly Record<string, unknown>[],
  numberDtype: NumberDtype,
  where: string,
): Record<string, unknown> {
  const keys = Object.keys(items[0] ?? {});
  return Object.fromEntries(
    keys.map((key) => [
      key,
      collate(
        items.map((item) => item[key]),
        numberDtype,
        `${where}.${key}`,
      ),
    ]),
  );
}

function viewToTensor(item: unknown, where: string): Tensor {
  if (
    item instanceof Uint8Array ||
    item instanceof Int8Array ||
    item instanceof Int16Array ||
    item instanceof Int32Array ||
    item instanceof Float32Array ||
    item instanceof Float64Array ||
    item instanceof BigInt64Array
  ) {
    return fromTypedArray(item, [item.length]);
  }
  throw new DTypeError(`collate: ${where}: ${Object.prototype.toString.call(item).slice(8, -1)} has no dtype here`);
}

/** The items, once every one is known to be what the first is. */
function all<U>(items: readonly unknown[], is: (item: unknown) => item is U, where: string, kind: string): U[] {
  const odd = items.findIndex((item) => !is(item));
  if (odd >= 0) throw new DTypeError(`collate: ${where} is ${kind} in the batch's first item, not in item ${odd}`);
  return items as U[];
}

const isNumber = (item: unknown): item is number => typeof item === "number";
const isBigint = (item: unknown): item is bigint => typeof item === "bigint";
const isBoolean = (item: unknown): item is boolean => typeof item === "boolean";
const isString = (item: unknown): item is string => typeof item === "string";
const isObject = (item: unknown): item is Record<string, unknown> => typeof item === "object" && item !== null;
