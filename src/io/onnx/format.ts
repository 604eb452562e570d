/** ONNX's names of dtypes, and its tensors as ours and back. */
import { create } from "@bufbuild/protobuf";
import { FormatError } from "../../errors.js";
import { itemBytes } from "../../ops/dtype.js";
import { type DType, fromBytes, type Tensor } from "../../tensor/index.js";
import { hostIsLittleEndian, swapBytes } from "../byte-order.js";
import { allBytesOf, bytesOf } from "../tensor-bytes.js";
import { type TensorProto, TensorProtoSchema } from "./onnx_pb.js";

/** TensorProto.DataType */
export const elementTypes: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};

const dtypeOf = new Map(Object.entries(elementTypes).map(([dtype, type]) => [type, dtype as DType]));

export function dtypeOfElement(type: number, where: string): DType {
  return (
    dtypeOf.get(type) ??
    fail(`${where}: element type ${type} is not here; known are ${[...dtypeOf.values()].join(", ")}`)
  );
}

export function toProto(tensor: Tensor, name: string): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: tensor.shape.map(BigInt),
    dataType: elementTypes[tensor.dtype],
    rawData: allBytesOf(bytesOf(tensor), tensor.numel() * itemBytes[tensor.dtype]),
  });
}

/** A tensor of a file: raw bytes, or numbers of the type's list. */
export function fromProto(proto: TensorProto, where: string): Tensor {
  if (proto.dataLocation === 1) return fail(`${where}: its data is in another file, which is not read`);
  const dtype = dtypeOfElement(proto.dataType, where);
  const shape = proto.dims.map(Number);
  let numel = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return fail(`${where}: a size of ${size}`);
    numel *= size;
    if (!Number.isSafeInteger(numel * 8)) return fail(`${where}: shape (${shape.join(", ")}) is too large`);
  }
  const bytes = bytesIn(proto, dtype);
  const expected = numel * itemBytes[dtype];
  if (bytes.length !== expected) {
    return fail(`${where}: shape (${shape.join(", ")}) of ${dtype} takes ${expected} bytes; ${bytes.length} are there`);
  }
  if (dtype === "bool" && bytes.some((byte) => byte > 1)) return fail(`${where}: a truth value is neither 0 nor 1`);
  return fromBytes(bytes, shape, dtype);
}

function bytesIn(proto: TensorProto, dtype: DType): Uint8Array {
  if (proto.rawData.length > 0) {
    if (hostIsLittleEndian) return proto.rawData;
    const bytes = proto.rawData.slice();
    swapBytes(bytes, itemBytes[dtype]);
    return bytes;
  }
  const array = (() => {
    switch (dtype) {
      case "float32":
        return Float32Array.from(proto.floatData);
      case "float64":
        return Float64Array.from(proto.doubleData);
      case "int64":
        return BigInt64Array.from(proto.int64Data);
      case "int32":
        return Int32Array.from(proto.int32Data);
      case "int16":
      case "float16":
      case "bfloat16":
        return Int16Array.from(proto.int32Data);
      default:
        return Uint8Array.from(proto.int32Data);
    }
  })();
  return new Uint8Array(array.buffer);
}

const fail = (what: string): never => {
  throw new FormatError(what);
};
