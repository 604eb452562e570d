/** PyTorch's names for our dtypes: of storages in files, and of dtypes as values. */
import type { DType } from "../tensor/index.js";

/** The storage classes of `torch`, by dtype. */
export const storageClasses: Readonly<Record<DType, string>> = {
  float64: "DoubleStorage",
  float32: "FloatStorage",
  float16: "HalfStorage",
  bfloat16: "BFloat16Storage",
  int64: "LongStorage",
  int32: "IntStorage",
  int16: "ShortStorage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  bool: "BoolStorage",
};

const dtypeOf = new Map(Object.entries(storageClasses).map(([dtype, name]) => [name, dtype as DType]));

/** The dtype of a storage class; undefined for those that are not here. */
export const dtypeOfStorage = (name: string): DType | undefined => dtypeOf.get(name);

export const isDTypeName = (name: string): name is DType => Object.hasOwn(storageClasses, name);
