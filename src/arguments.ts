/**
 * Checks of what callers without types hand over: `undefined` for a tensor, a number for a path, a list for bytes. Each
 * names the operation, the argument and what came. What values an argument may have is the operation's own matter.
 */
import { ValueError } from "./errors.js";
import { isTensor, type Tensor } from "./tensor/tensor.js";

/** A value in a few words, for an error. */
export function inWords(value: unknown): string {
  if (isTensor(value)) return `a tensor of shape (${value.shape.join(", ")})`;
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (ArrayBuffer.isView(value) || value instanceof Promise || value instanceof Date)
    return `a ${value.constructor.name}`;
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
    case "bigint":
      return `${value}n`;
    case "object":
      return value === null ? "null" : "an object";
    case "function":
      return "a function";
    default:
      return String(value);
  }
}

/** ValueError: "saveNpy: path is undefined; it must be a string". */
export function refuseArgument(what: string, name: string, value: unknown, wanted: string): never {
  throw new ValueError(`${what}: ${name} is ${inWords(value)}; it must be ${wanted}`);
}

export function checkTensor(what: string, name: string, value: unknown): asserts value is Tensor {
  if (!isTensor(value)) refuseArgument(what, name, value, "a tensor");
}

export function checkTensors(what: string, name: string, values: unknown): asserts values is readonly Tensor[] {
  if (!Array.isArray(values)) refuseArgument(what, name, values, "a list of tensors");
  for (const [i, value] of values.entries()) checkTensor(what, `${name}[${i}]`, value);
}

/** A plain object of tensors, as `stateDict()` gives it. */
export function checkNamedTensors(
  what: string,
  name: string,
  values: unknown,
): asserts values is Readonly<Record<string, Tensor>> {
  checkObject(what, name, values, "an object of tensors by name");
  for (const [key, value] of Object.entries(values as object))
    checkTensor(what, `${name}[${JSON.stringify(key)}]`, value);
}

export function checkPath(what: string, value: unknown, name = "path"): asserts value is string {
  if (typeof value !== "string" || value === "") refuseArgument(what, name, value, "a path, as a string");
}

export function checkBytes(what: string, value: unknown): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) refuseArgument(what, "bytes", value, "a Uint8Array");
}

/** A list by position: an array or a typed array. */
export function checkList(what: string, name: string, value: unknown): void {
  const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value);
  if (!isList) refuseArgument(what, name, value, "a list");
}

/** A list of strings: names of columns, classes, titles. */
export function checkStrings(what: string, name: string, values: unknown): asserts values is readonly string[] {
  if (!Array.isArray(values)) refuseArgument(what, name, values, "a list of strings");
  for (const [i, value] of values.entries())
    if (typeof value !== "string") refuseArgument(what, `${name}[${i}]`, value, "a string");
}

export function checkObject(what: string, name: string, value: unknown, wanted = "an object"): void {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject || isTensor(value) || ArrayBuffer.isView(value)) refuseArgument(what, name, value, wanted);
}

/** Options are an object, or not given. */
export function checkOptions(what: string, value: unknown): void {
  if (value !== undefined) checkObject(what, "options", value, "an object");
}
