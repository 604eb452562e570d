/** Views: other shapes and strides over the same memory, and the copies that a shape sometimes needs. */
import { record, records } from "../autograd/tape.js";
import { IndexError, ShapeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { identity } from "./arithmetic.js";
import { emptyTensor, LoopFamily, wrap } from "./core.js";
import { type DType, isFloating, promoteTypes as promote } from "./dtype.js";
import {
  contiguousStrides,
  expandView,
  inferShape,
  isContiguous,
  type Shape,
  sameShape,
  show,
  viewStrides,
  wrapDim,
} from "./shape.js";
import { traced } from "./trace.js";

/** The same memory at other sizes; `back` brings a gradient to the shape of `x`. */
export function view(
  name: string,
  x: Tensor,
  shape: Shape,
  strides: Shape,
  offset: number,
  back: (g: Tensor) => Tensor,
): Tensor {
  const out = wrap(x.buffer, x.device, x.dtype, shape, strides, offset, isContiguous(shape, strides));
  if (records([x]) && isFloating(x.dtype)) record(name, [x], [out], [], ([g]) => [back(g as Tensor)]);
  out.setBase(x);
  return out;
}

/** dtype conversion; the tensor itself where there is nothing to convert. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : identity.apply([x], dtype, dtype);
}

/** A contiguous copy. */
export const clone = (x: Tensor): Tensor => identity.apply([x], x.dtype, x.dtype);

export const contiguous = (x: Tensor): Tensor => (x.contiguous_ ? x : clone(x));

export function reshape(x: Tensor, to: Shape): Tensor {
  if (sameShape(x.shape, to)) return x;
  const shape = inferShape("reshape", to, x.numel());
  const from = x.shape;
  const strides = x.contiguous_ ? contiguousStrides(shape) : viewStrides(from, x.strides, shape);
  if (strides === null) return reshape(clone(x), shape);
  return view("reshape", x, shape, strides, x.offset, (g) => reshape(g, from));
}

/** As reshape, but never a copy. */
export function viewAs(x: Tensor, to: Shape): Tensor {
  const shape = inferShape("view", to, x.numel());
  if (viewStrides(x.shape, x.strides, shape) === null) {
    throw new ShapeError(
      `view: ${show(x.shape)} with strides ${show(x.strides)} cannot be seen as ${show(shape)} without a copy; use reshape`,
    );
  }
  const from = x.shape;
  const strides = viewStrides(from, x.strides, shape) as number[];
  return view("view", x, shape, strides, x.offset, (g) => reshape(g, from));
}

export function permute(x: Tensor, dims: readonly number[]): Tensor {
  const n = x.shape.length;
  const order = dims.map((d) => wrapDim("permute", d, n));
  if (order.length !== n || new Set(order).size !== n) {
    throw new ShapeError(`permute: [${dims.join(", ")}] is not a permutation of ${n} dimensions`);
  }
  const inverse = new Array<number>(n);
  order.forEach((d, i) => {
    inverse[d] = i;
  });
  return view(
    "permute",
    x,
    order.map((d) => x.shape[d] as number),
    order.map((d) => x.strides[d] as number),
    x.offset,
    (g) => permute(g, inverse),
  );
}

export function transpose(x: Tensor, a: number, b: number): Tensor {
  const n = x.shape.length;
  const i = wrapDim("transpose", a, n);
  const j = wrapDim("transpose", b, n);
  const order = x.shape.map((_, d) => d);
  if (n > 0) {
    order[i] = j;
    order[j] = i;
  }
  return permute(x, order);
}

export function squeeze(x: Tensor, dim?: number | readonly number[]): Tensor {
  const n = x.shape.length;
  const drop = new Set(
    dim === undefined
      ? x.shape.map((_, i) => i)
      : (typeof dim === "number" ? [dim] : dim).map((d) => wrapDim("squeeze", d, n)),
  );
  const keep = x.shape.map((_, i) => i).filter((i) => !(drop.has(i) && x.shape[i] === 1));
  if (keep.length === n) return x;
  const from = x.shape;
  return view(
    "squeeze",
    x,
    keep.map((i) => from[i] as number),
    keep.map((i) => x.strides[i] as number),
    x.offset,
    (g) => reshape(g, from),
  );
}

export function unsqueeze(x: Tensor, dim: number): Tensor {
  const d = wrapDim("unsqueeze", dim, x.shape.length + 1);
  const shape = [...x.shape];
  const strides = [...x.strides];
  const stride = d < x.shape.length ? (x.shape[d] as number) * (x.strides[d] as number) : 1;
  shape.splice(d, 0, 1);
  strides.splice(d, 0, stride);
  const from = x.shape;
  return view("unsqueeze", x, shape, strides, x.offset, (g) => reshape(g, from));
}

export function select(x: Tensor, dim: number, index: number): Tensor {
  if (x.shape.length === 0) throw new IndexError("select: a tensor without dimensions has nothing to select");
  const d = wrapDim("select", dim, x.shape.length);
  const n = x.shape[d] as number;
  if (!Number.isInteger(index) || index < -n || index >= n) {
    throw new IndexError(`select: index ${index} is out of range for dimension ${d} of ${show(x.shape)}`);
  }
  const i = index < 0 ? index + n : index;
  const shape = x.shape.filter((_, j) => j !== d);
  const strides = x.strides.filter((_, j) => j !== d);
  const from = x.shape;
  return view("select", x, shape, strides, x.offset + i * (x.strides[d] as number), (g) =>
    embed(unsqueeze(g, d), from, d, i, 1),
  );
}

/** Elements start, start+step, … below end along `dim`, clipped to what is there, as Python slices. */
export function slice(x: Tensor, dim: number, start = 0, end: number = Number.MAX_SAFE_INTEGER, step = 1): Tensor {
  if (x.shape.length === 0) throw new IndexError("slice: a tensor without dimensions cannot be sliced");
  const d = wrapDim("slice", dim, x.shape.length);
  if (!Number.isInteger(step) || step < 1) throw new ValueError(`slice: step ${step} is not a positive integer`);
  const n = x.shape[d] as number;
  const bound = (v: number): number => Math.min(n, Math.max(0, v < 0 ? v + n : v));
  const from = bound(start);
  const count = Math.max(0, Math.ceil((bound(end) - from) / step));
  if (from === 0 && step === 1 && count === n) return view("slice", x, x.shape, x.strides, x.offset, (g) => g);
  const shape = x.shape.map((m, i) => (i === d ? count : m));
  const strides = x.strides.map((s, i) => (i === d ? s * step : s));
  const whole = x.shape;
  return view("slice", x, shape, strides, x.offset + from * (x.strides[d] as number), (g) =>
    embed(g, whole, d, from, step),
  );
}

export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  const d = wrapDim("narrow", dim, x.shape.length);
  const n = x.shape[d] ?? 0;
  const from = start < 0 ? start + n : start;
  if (from < 0 || length < 0 || from + length > n) {
    throw new IndexError(`narrow: ${start} + ${length} exceeds dimension ${d} of ${show(x.shape)}`);
  }
  return slice(x, d, from, from + length);
}

/** Elements along the diagonal of two dimensions, as a new last dimension. */
export function diagonal(x: Tensor, offset = 0, dim1 = 0, dim2 = 1): Tensor {
  const n = x.shape.length;
  const a = wrapDim("diagonal", dim1, n);
  const b = wrapDim("diagonal", dim2, n);
  if (n < 2 || a === b) throw new ShapeError(`diagonal: needs two dimensions of ${show(x.shape)}`);
  const rows = x.shape[a] as number;
  const cols = x.shape[b] as number;
  const length = Math.max(0, offset >= 0 ? Math.min(rows, cols - offset) : Math.min(rows + offset, cols));
  const keep = x.shape.map((_, i) => i).filter((i) => i !== a && i !== b);
  const start = offset >= 0 ? offset * (x.strides[b] as number) : -offset * (x.strides[a] as number);
  const shape = [...keep.map((i) => x.shape[i] as number), length];
  const strides = [...keep.map((i) => x.strides[i] as number), (x.strides[a] as number) + (x.strides[b] as number)];
  const from = x.shape;
  return view("diagonal", x, shape, strides, length === 0 ? x.offset : x.offset + start, (g) =>
    embedStrided(g, from, (z) => diagonal(z, offset, a, b)),
  );
}

/** Reverses dimensions (a copy: strides of cresset are never negative). */
export function flip(x: Tensor, dims: number | readonly number[]): Tensor {
  const list = (typeof dims === "number" ? [dims] : dims).map((d) => wrapDim("flip", d, x.shape.length));
  let offset = x.offset;
  const strides = [...x.strides];
  for (const d of list) {
    if (x.shape.length === 0 || (x.shape[d] as number) === 0) continue;
    offset += ((x.shape[d] as number) - 1) * (x.strides[d] as number);
    strides[d] = -(x.strides[d] as number);
  }
  const mirrored = wrap(x.buffer, x.device, x.dtype, x.shape, strides, offset, false);
  const out = clone(mirrored);
  if (records([x]) && isFloating(x.dtype)) record("flip", [x], [out], [], ([g]) => [flip(g as Tensor, list)]);
  return out;
}

/** Where a tensor's elements lie in memory. */
export interface Layout {
  readonly shape: Shape;
  readonly strides: Shape;
  readonly offset: number;
}

/**
 * Writes g, which has the shape of `from`, into zeros as `from` lies in memory, and reads what then stands at `to`. Through a
 * window the gradient of a base becomes that of its view, and back; it is its own gradient with the layouts exchanged.
 */
export function throughMemory(g: Tensor, from: Layout, to: Layout): Tensor {
  const start = Math.min(from.offset, to.offset);
  const end = (l: Layout): number =>
    l.shape.reduce((e, n, d) => e + Math.max(0, n - 1) * (l.strides[d] as number), l.offset) + 1;
  const memory = emptyTensor([Math.max(end(from), end(to)) - start], g.dtype, g.device);
  fill(memory, 0);
  const at = (l: Layout): Tensor =>
    wrap(memory.buffer, g.device, g.dtype, l.shape, l.strides, l.offset - start, isContiguous(l.shape, l.strides));
  copyInto(at(from), g);
  const out = clone(at(to));
  if (records([g])) record("window", [g], [out], [], ([gg]) => [throughMemory(gg as Tensor, to, from)]);
  return out;
}

/** Zeros of `shape` with `g` at positions from, from + step, … of dimension `d`: what a slice's gradient is. */
function embed(g: Tensor, shape: Shape, d: number, from: number, step: number): Tensor {
  const count = g.shape[d] as number;
  return embedStrided(g, shape, (z) => slice(z, d, from, from + Math.max(0, (count - 1) * step + 1), step));
}

/** Zeros of `shape` with `g` where `place` looks; `place` is also its gradient. */
export function embedStrided(g: Tensor, shape: Shape, place: (z: Tensor) => Tensor): Tensor {
  const out = emptyTensor(shape, g.dtype, g.device);
  fill(out, 0);
  if (g.numel() > 0) copyInto(place(out), g);
  if (records([g])) record("embed", [g], [out], [], ([gg]) => [place(gg as Tensor)]);
  return out;
}

const fillFamily = new LoopFamily({ name: "fill", build: (_l, scalar) => [{ value: scalar(0), per: "element" }] }, [
  "f64",
]);
/** Sets every element, unrecorded. */
export function fill(x: Tensor, value: number): void {
  if (x.numel() === 0) return;
  if (x.contiguous_) fillFamily.runFlat([x], 0, x.numel(), [value]);
  else fillFamily.run([x], 0, x.shape, [], [x.strides], [value]);
}

const copyFamily = new LoopFamily({ name: "copy", build: (load) => [{ value: load(0), per: "element" }] }, []);
/** Writes `from`, broadcast and converted, into `to`, unrecorded. */
export function copyInto(to: Tensor, from: Tensor): void {
  if (to.numel() === 0) return;
  const source = from.buffer === to.buffer ? clone(from.detach()) : from;
  if (to.contiguous_ && source.contiguous_ && source.numel() === to.numel()) {
    copyFamily.runFlat([source, to], 1, to.numel(), []);
    return;
  }
  const { strides } = expandView(source.shape, source.strides, to.shape);
  copyFamily.run([source, to], 1, to.shape, [], [strides, to.strides], []);
}

/** Joins along an existing dimension. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  const parts = tensors.filter((t) => !(t.shape.length === 1 && t.shape[0] === 0));
  const first = (parts[0] ?? tensors[0]) as Tensor | undefined;
  if (first === undefined) throw new ValueError("cat: needs at least one tensor");
  if (parts.length === 0) return clone(first);
  const d = wrapDim("cat", dim, first.shape.length);
  if (first.shape.length === 0) throw new ShapeError("cat: tensors without dimensions cannot be joined; use stack");
  let size = 0;
  let dtype = first.dtype;
  for (const t of parts) {
    const fits = t.shape.length === first.shape.length && t.shape.every((n, i) => i === d || n === first.shape[i]);
    if (!fits) throw new ShapeError(`cat: ${show(t.shape)} does not join ${show(first.shape)} along dimension ${d}`);
    size += t.shape[d] as number;
    dtype = promote(dtype, t.dtype);
  }
  const out = emptyTensor(
    first.shape.map((n, i) => (i === d ? size : n)),
    dtype,
    first.device,
  );
  let at = 0;
  const starts: number[] = [];
  for (const t of parts) {
    const n = t.shape[d] as number;
    starts.push(at);
    copyInto(slice(out, d, at, at + n), t);
    at += n;
  }
  if (records(parts)) {
    const sizes = parts.map((t) => t.shape[d] as number);
    const types = parts.map((t) => t.dtype);
    record("cat", parts, [out], [], ([g]) =>
      parts.map((_, i) =>
        cast(
          slice(g as Tensor, d, starts[i] as number, (starts[i] as number) + (sizes[i] as number)),
          types[i] as DType,
        ),
      ),
    );
  }
  return traced("cat", [tensors, dim], out);
}

export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  const first = tensors[0];
  if (first === undefined) throw new ValueError("stack: needs at least one tensor");
  for (const t of tensors) {
    if (!sameShape(t.shape, first.shape)) {
      throw new ShapeError(`stack: shapes differ: ${show(first.shape)} and ${show(t.shape)}`);
    }
  }
  const d = wrapDim("stack", dim, first.shape.length + 1);
  const joined = cat(
    tensors.map((t) => unsqueeze(t, d)),
    d,
  );
  return traced("stack", [tensors, dim], joined);
}
