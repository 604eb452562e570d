/** Tensors from nothing: constants, ranges, and numbers from JavaScript. */
import { type Device, type DeviceLike, defaultDevice, device as deviceByName } from "../device/index.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import { emptyTensor, LoopFamily } from "./core.js";
import { type DType, defaultInteger, getDefaultDType, itemBytes } from "./dtype.js";
import { checkShape, numelOf, type Shape, show } from "./shape.js";
import { fill } from "./view.js";

export type NestedArray = number | boolean | bigint | readonly NestedArray[];
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | BigInt64Array;

export interface TensorOptions {
  dtype?: DType;
  device?: DeviceLike;
  requiresGrad?: boolean;
}

export const deviceFrom = (o: TensorOptions | undefined): Device =>
  o?.device === undefined ? defaultDevice() : deviceByName(o.device);

export function finish(t: Tensor, o: TensorOptions | undefined): Tensor {
  if (o?.requiresGrad === true) t.requiresGrad = true;
  return t;
}

export function empty(shape: Shape, o?: TensorOptions): Tensor {
  checkShape("empty", shape);
  return finish(emptyTensor([...shape], o?.dtype ?? getDefaultDType(), deviceFrom(o)), o);
}
export function full(shape: Shape, value: number | boolean, o?: TensorOptions): Tensor {
  checkShape("full", shape);
  const dtype = o?.dtype ?? (typeof value === "boolean" ? "bool" : getDefaultDType());
  const t = emptyTensor([...shape], dtype, deviceFrom(o));
  fill(t, Number(value));
  return finish(t, o);
}
export const zeros = (shape: Shape, o?: TensorOptions): Tensor => full(shape, 0, o);
export const ones = (shape: Shape, o?: TensorOptions): Tensor => full(shape, 1, o);

const ramps = (type: "f64" | "i32"): LoopFamily =>
  new LoopFamily(
    {
      name: "arange",
      build: (_l, s) => [{ value: k.add(s(0), k.mul(k.cast(k.index(0), type), s(1))), per: "element" }],
    },
    [type, type],
    true,
  );
const ramp64 = ramps("f64");
/** Whole numbers of 32 bits: float64 becomes them at length. */
const ramp32 = ramps("i32");
function ramp(n: number, start: number, step: number, dtype: DType, device: Device): Tensor {
  const t = emptyTensor([n], dtype, device);
  const end = start + n * step;
  const whole =
    Number.isInteger(step) && Number.isInteger(start) && Math.abs(start) < 2 ** 31 && Math.abs(end) < 2 ** 31;
  if (n > 0) (whole ? ramp32 : ramp64).run([t], 0, [n], [], [[1]], [start, step]);
  return t;
}

/** start, start + step, … below end. Integers where all three are whole, as in PyTorch (int32 here). */
export function arange(
  start: number,
  end?: number | TensorOptions | null,
  step?: number | TensorOptions,
  o?: TensorOptions,
): Tensor {
  let from = start;
  let to = end;
  let by = step;
  let options = o;
  if (typeof to !== "number") {
    options = to ?? undefined;
    to = start;
    from = 0;
    by = 1;
  } else if (typeof by !== "number") {
    options = by ?? options;
    by = 1;
  }
  if (by === 0 || !Number.isFinite((to - from) / by))
    throw new ValueError(`arange: ${from} to ${to} by ${by} has no end`);
  const n = Math.max(0, Math.ceil((to - from) / by));
  const whole = Number.isInteger(from) && Number.isInteger(to) && Number.isInteger(by);
  const dtype = options?.dtype ?? (whole ? defaultInteger : getDefaultDType());
  return finish(ramp(n, from, by, dtype, deviceFrom(options)), options);
}

/** `n` numbers from start to end, both included. */
export function linspace(start: number, end: number, n: number, o?: TensorOptions): Tensor {
  if (!Number.isInteger(n) || n < 0) throw new ValueError(`linspace: ${n} is not a number of points`);
  const t = ramp(n, start, n > 1 ? (end - start) / (n - 1) : 0, o?.dtype ?? getDefaultDType(), deviceFrom(o));
  if (n > 1) fill(t.detach().narrow(0, n - 1, 1), end);
  return finish(t, o);
}
export const logspace = (start: number, end: number, n: number, base = 10, o?: TensorOptions): Tensor => {
  const exponents = linspace(start, end, n, { ...o, dtype: "float64", requiresGrad: false });
  return finish(
    exponents
      .mul(Math.log(base))
      .exp()
      .to(o?.dtype ?? getDefaultDType()),
    o,
  );
};

export function eye(n: number, m = n, o?: TensorOptions): Tensor {
  const t = zeros([n, m], { ...o, requiresGrad: false });
  if (Math.min(n, m) > 0) fill(t.diagonal(), 1);
  return finish(t, o);
}

/** `value` without dimensions, beside `like` and of its dtype. */
export const scalarLike = (value: number, like: Tensor): Tensor => {
  const t = emptyTensor([], like.dtype, like.device);
  fill(t, value);
  return t;
};
/** 0 … n−1 as int32 beside `like`. */
export const positionsLike = (n: number, like: Tensor): Tensor => ramp(n, 0, 1, "int32", like.device);

export const emptyLike = (t: Tensor, o?: TensorOptions): Tensor => empty(t.shape, likeOptions(t, o));
export const zerosLike = (t: Tensor, o?: TensorOptions): Tensor => zeros(t.shape, likeOptions(t, o));
export const onesLike = (t: Tensor, o?: TensorOptions): Tensor => ones(t.shape, likeOptions(t, o));
export const fullLike = (t: Tensor, value: number | boolean, o?: TensorOptions): Tensor =>
  full(t.shape, value, likeOptions(t, o));
export const likeOptions = (t: Tensor, o?: TensorOptions): TensorOptions => ({
  dtype: t.dtype,
  device: t.device,
  ...o,
});

const arrayDType = (a: TypedArray): DType => {
  if (a instanceof Float32Array) return "float32";
  if (a instanceof Float64Array) return "float64";
  if (a instanceof Int32Array) return "int32";
  if (a instanceof Int16Array) return "int16";
  if (a instanceof Int8Array) return "int8";
  if (a instanceof BigInt64Array) return "int64";
  if (a instanceof Uint16Array) return "int32";
  return "uint8";
};

const isTypedArray = (x: unknown): x is TypedArray => ArrayBuffer.isView(x) && !(x instanceof DataView);

/** A copy of a typed array, seen at `shape`. The dtype is the array's own unless another is named. */
export function fromTypedArray(array: TypedArray, shape?: Shape, o?: TensorOptions): Tensor {
  const sizes = shape ?? [array.length];
  checkShape("fromTypedArray", sizes);
  if (numelOf(sizes) !== array.length) {
    throw new ShapeError(`fromTypedArray: ${array.length} numbers do not fill ${show(sizes)}`);
  }
  const device = deviceFrom(o);
  const source = array instanceof Uint16Array ? Int32Array.from(array) : array;
  const raw = emptyTensor([...sizes], arrayDType(array), device);
  if (array.length > 0) {
    device.engine.view(raw.buffer).set(new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
  }
  const dtype = o?.dtype ?? raw.dtype;
  return finish(dtype === raw.dtype ? raw : raw.to(dtype), o);
}

/** A tensor of an engine whose memory is at hand, which `write` fills in place. `write` must not make tensors. */
export function filled(shape: Shape, dtype: DType, write: (bytes: Uint8Array) => void): Tensor {
  checkShape("filled", shape);
  const device = defaultDevice();
  const t = emptyTensor([...shape], dtype, device);
  if (t.numel() > 0) write(device.engine.view(t.buffer));
  return t;
}

/** Raw bits as they lie in memory, for files: no conversion. */
export function fromBytes(bytes: Uint8Array, shape: Shape, dtype: DType, device: Device = defaultDevice()): Tensor {
  checkShape("fromBytes", shape);
  if (bytes.length !== numelOf(shape) * itemBytes[dtype]) {
    throw new ShapeError(`fromBytes: ${bytes.length} bytes do not fill ${show(shape)} of ${dtype}`);
  }
  const t = emptyTensor([...shape], dtype, device);
  if (bytes.length > 0) device.engine.view(t.buffer).set(bytes);
  return t;
}

/**
 * A tensor of nested arrays, a typed array or a single value (copied). Numbers become the default float, booleans bool,
 * bigints int64; `dtype` says otherwise. https://pytorch.org/docs/stable/generated/torch.tensor.html
 */
export function tensor(data: NestedArray | TypedArray, o?: TensorOptions): Tensor {
  if (isTypedArray(data)) return fromTypedArray(data, undefined, o);
  const shape: number[] = [];
  for (let level: NestedArray = data; Array.isArray(level); level = level[0] as NestedArray) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  const flat: (number | boolean | bigint)[] = [];
  flatten(data, shape, 0, flat);
  const dtype = o?.dtype ?? guess(flat);
  const device = deviceFrom(o);
  if (dtype === "int64") {
    const big = BigInt64Array.from(flat, (v) => wholeBig(v));
    return finish(fromTypedArray(big, shape, { device }), o);
  }
  const t = fromTypedArray(Float64Array.from(flat, Number), shape, { device });
  return finish(t.to(dtype), o);
}

function wholeBig(v: number | boolean | bigint): bigint {
  if (typeof v === "bigint") return v;
  if (!Number.isFinite(Number(v))) throw new DTypeError(`tensor: ${v} is not a whole number, as int64 needs`);
  return BigInt(Math.trunc(Number(v)));
}

function guess(flat: readonly (number | boolean | bigint)[]): DType {
  if (flat.length === 0) return getDefaultDType();
  if (flat.every((v) => typeof v === "boolean")) return "bool";
  if (flat.every((v) => typeof v === "bigint")) return "int64";
  return getDefaultDType();
}

function flatten(data: NestedArray, shape: Shape, depth: number, out: (number | boolean | bigint)[]): void {
  if (Array.isArray(data)) {
    if (depth >= shape.length || data.length !== shape[depth]) {
      throw new ShapeError(
        depth >= shape.length
          ? `tensor: a list where dimension ${depth - 1} had a number; nested lists must have equal depths`
          : `tensor: ${data.length} entries at dimension ${depth} where the first list had ${shape[depth]}`,
      );
    }
    for (const d of data) flatten(d, shape, depth + 1, out);
    return;
  }
  const scalar = data as number | boolean | bigint;
  if (depth !== shape.length)
    throw new ShapeError(`tensor: a number at depth ${depth} where lists go ${shape.length} deep`);
  if (typeof scalar !== "number" && typeof scalar !== "boolean" && typeof scalar !== "bigint") {
    throw new DTypeError(`tensor: ${typeof scalar} is not a number, a boolean or a list of them`);
  }
  out.push(scalar);
}
