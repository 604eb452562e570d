/**
 * The dtypes and PyTorch's rules for mixing them: bool < integers < floats; within a kind the wider wins; a plain number
 * only raises the kind. https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
 */
import { DTypeError } from "../errors.js";
import { bytesOf, type StorageType, type ValueType, valueTypeOf } from "../kernel/ir.js";

export type DType = StorageType;

export const dtypes = [
  "float32",
  "float64",
  "int32",
  "int64",
  "uint8",
  "int8",
  "int16",
  "bool",
  "float16",
  "bfloat16",
] as const satisfies readonly DType[];

const codes = Object.fromEntries(dtypes.map((d, i) => [d, i])) as Record<DType, number>;

/** A small number for each dtype, for cache keys. Lookups by names that vary are slow in V8, so the usual one goes before. */
export const codeOf = (d: DType): number => (d === "float32" ? 0 : codes[d]);

/** What a dtype is computed in. */
export const computeType = (d: DType): ValueType => (d === "float32" ? "f32" : valueTypeOf[d]);

export const itemBytes = bytesOf;

export const isFloating = (d: DType): boolean =>
  d === "float32" || d === "float64" || d === "float16" || d === "bfloat16";
export const isInteger = (d: DType): boolean => !isFloating(d) && d !== "bool";

const rank: Record<DType, number> = {
  bool: 0,
  uint8: 1,
  int8: 1,
  int16: 2,
  int32: 3,
  int64: 4,
  float16: 5,
  bfloat16: 5,
  float32: 6,
  float64: 7,
};

/** The dtype two tensors meet in. https://pytorch.org/docs/stable/generated/torch.promote_types.html */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const ra = rank[a];
  const rb = rank[b];
  if (ra !== rb) return ra > rb ? a : b;
  // uint8 with int8 → int16; float16 with bfloat16 → float32
  return ra === 1 ? "int16" : "float32";
}

let defaultFloat: "float32" | "float64" = "float32";

/** The dtype of new floating tensors. https://pytorch.org/docs/stable/generated/torch.set_default_dtype.html */
export function setDefaultDType(d: "float32" | "float64"): void {
  if (d !== "float32" && d !== "float64")
    throw new DTypeError(`setDefaultDType: ${String(d)} is not float32 or float64`);
  defaultFloat = d;
}
export const getDefaultDType = (): "float32" | "float64" => defaultFloat;

/** The integer dtype of counts, indices and integer literals. int64 has no place in browsers' GPUs. */
export const defaultInteger: DType = "int32";

/** What a tensor of `d` becomes when it meets the plain number `v`: numbers raise the kind, never the width. */
export function promoteNumber(d: DType, v: number): DType {
  if (Number.isInteger(v)) return d === "bool" ? defaultInteger : d;
  return isFloating(d) ? d : defaultFloat;
}

/** The dtype in which a floating function of `d` is computed. */
export const toFloating = (d: DType): DType => (isFloating(d) ? d : defaultFloat);
