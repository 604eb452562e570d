/** Reading elements back to JavaScript. */
import type { Buffer, Engine } from "../device/engine.js";
import { DeviceError } from "../errors.js";
import { capturing } from "../ops/capture.js";
import type { TypedArray } from "../ops/creation.js";
import { type DType, itemBytes } from "../ops/dtype.js";
import { cast, clone } from "../ops/view.js";
import type { Tensor } from "./tensor.js";

function hostView(t: Tensor): Uint8Array {
  const { engine } = t.device;
  if (!engine.host) throw new DeviceError(`reading from ${t.device} is asynchronous; await .cpu() first`);
  capturing()?.refuse("reading a tensor's values");
  return engine.view(t.buffer);
}

/** The element at the tensor's offset. int64 beyond 2⁵³ rounds. */
export function readScalar(t: Tensor): number {
  if (t.dtype === "float16" || t.dtype === "bfloat16") return readScalar(cast(t.detach(), "float32"));
  return numberAt(hostView(t), t.offset * itemBytes[t.dtype], t.dtype);
}

/** The number at `at` bytes into a buffer; not for 16-bit floats. */
export const readNumber = (engine: Engine, buffer: Buffer, at: number, dtype: DType): number =>
  numberAt(engine.view(buffer), at, dtype);

function numberAt(bytes: Uint8Array, from: number, dtype: DType): number {
  const at = bytes.byteOffset + from;
  switch (dtype) {
    case "float32":
      return new Float32Array(bytes.buffer, at, 1)[0] as number;
    case "float64":
      return new Float64Array(bytes.buffer, at, 1)[0] as number;
    case "int64":
      return Number(new BigInt64Array(bytes.buffer, at, 1)[0]);
    case "int32":
      return new Int32Array(bytes.buffer, at, 1)[0] as number;
    case "int16":
      return new Int16Array(bytes.buffer, at, 1)[0] as number;
    case "int8":
      return new Int8Array(bytes.buffer, at, 1)[0] as number;
    default:
      return bytes[from] as number;
  }
}

/** A copy of all elements, row-major. */
export function readElements(t: Tensor): TypedArray {
  if (t.dtype === "float16" || t.dtype === "bfloat16") return readElements(cast(t.detach(), "float32"));
  const source = t.contiguous_ ? t : clone(t.detach());
  const bytes = hostView(source);
  const from = source.offset * itemBytes[t.dtype];
  const copy = bytes.slice(from, from + source.numel() * itemBytes[t.dtype]).buffer as ArrayBuffer;
  switch (t.dtype) {
    case "float32":
      return new Float32Array(copy);
    case "float64":
      return new Float64Array(copy);
    case "int64":
      return new BigInt64Array(copy);
    case "int32":
      return new Int32Array(copy);
    case "int16":
      return new Int16Array(copy);
    case "int8":
      return new Int8Array(copy);
    default:
      return new Uint8Array(copy);
  }
}

/** The bytes as they lie in memory, row-major: what files store. */
export function readBytes(t: Tensor): Uint8Array {
  const source = t.contiguous_ ? t : clone(t.detach());
  const bytes = hostView(source);
  const from = source.offset * itemBytes[t.dtype];
  return bytes.slice(from, from + source.numel() * itemBytes[t.dtype]);
}
