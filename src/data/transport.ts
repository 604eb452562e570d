/**
 * Batches on their way between threads: tensors become typed arrays, whose memory is handed over without a copy, and tensors
 * again on the other side. Everything else goes as `structuredClone` copies it.
 */
import { fromTypedArray, type Tensor } from "../tensor/index.js";

/** A tensor between threads. */
interface Packed {
  readonly $cressetTensor: Parameters<typeof fromTypedArray>[0];
  readonly shape: readonly number[];
  readonly dtype: Tensor["dtype"];
}

const isPacked = (value: object): value is Packed => "$cressetTensor" in value;

/** A worker's bundle may hold a copy of the library of its own, so a tensor is known by its name, not by its class. */
const isTensorLike = (value: object): value is Tensor =>
  (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === "Tensor" && "toTypedArray" in value;

const isPlain = (value: object): value is Record<string, unknown> => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

/** The value without tensors; buffers to hand over are added to `transfer`. */
export function pack(value: unknown, transfer: ArrayBufferLike[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isTensorLike(value)) {
    const data = value.toTypedArray();
    transfer.push(data.buffer);
    return { $cressetTensor: data, shape: value.shape, dtype: value.dtype } satisfies Packed;
  }
  if (Array.isArray(value)) return value.map((item) => pack(item, transfer));
  if (isPlain(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item, transfer)]));
  return value;
}

/** What was given to `pack`. */
export function unpack(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(unpack);
  if (!isPlain(value)) return value;
  if (isPacked(value)) return fromTypedArray(value.$cressetTensor, [...value.shape], { dtype: value.dtype });
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}
