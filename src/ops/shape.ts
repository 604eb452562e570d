/** The rules of shapes, as pure functions: one for each way in which shapes meet. */
import { IndexError, ShapeError } from "../errors.js";

export type Shape = readonly number[];

export const show = (shape: Shape): string => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

export function numelOf(shape: Shape): number {
  let n = 1;
  for (let i = 0; i < shape.length; i++) n *= shape[i] as number;
  return n;
}

export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let s = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = s;
    s *= Math.max(1, shape[i] as number);
  }
  return strides;
}

export function isContiguous(shape: Shape, strides: Shape): boolean {
  let s = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const n = shape[i] as number;
    if (n === 0) return true;
    if (n !== 1 && strides[i] !== s) return false;
    s *= n;
  }
  return true;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The shape both broadcast to: aligned at the end, sizes equal or 1. */
export function broadcast(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const n = Math.max(a.length, b.length);
  const out = new Array<number>(n);
  for (let i = 1; i <= n; i++) {
    const x = a.length >= i ? (a[a.length - i] as number) : 1;
    const y = b.length >= i ? (b[b.length - i] as number) : 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `${op}: shapes ${show(a)} and ${show(b)} do not broadcast: ${x} and ${y} at dimension ${n - i}`,
      );
    }
    out[n - i] = x === 1 ? y : x;
  }
  return out;
}

/** The strides of a tensor seen at the broadcast shape `to`: 0 where it is repeated. */
export function broadcastStrides(shape: Shape, strides: Shape, to: Shape): number[] {
  const out = new Array<number>(to.length).fill(0);
  const shift = to.length - shape.length;
  for (let i = 0; i < shape.length; i++) out[i + shift] = shape[i] === 1 ? 0 : (strides[i] as number);
  return out;
}

/** A tensor's shape and strides when its dimensions of size 1 repeat until it has the shape `to`, where −1 keeps a size. */
export function expandView(from: Shape, fromStrides: Shape, to: Shape): { shape: number[]; strides: number[] } {
  const lead = to.length - from.length;
  if (lead < 0) throw new ShapeError(`expand: ${show(from)} has more dimensions than ${show(to)}`);
  const strides = new Array<number>(to.length).fill(0);
  const shape = to.map((n, i) => {
    const have = i < lead ? 1 : (from[i - lead] as number);
    if (i < lead && n < 0) throw new ShapeError(`expand: -1 has no size to keep at new dimension ${i} of ${show(to)}`);
    const size = n === -1 ? have : n;
    if (size !== have && have !== 1) {
      throw new ShapeError(`expand: dimension ${i} has size ${have} and cannot become ${size}; only size 1 repeats`);
    }
    if (i >= lead && (have !== 1 || size === 1)) strides[i] = fromStrides[i - lead] as number;
    return size;
  });
  return { shape, strides };
}

/** `dim` with negatives counted from the end. */
export function wrapDim(op: string, dim: number, ndim: number): number {
  const n = Math.max(1, ndim);
  if (!Number.isInteger(dim) || dim < -n || dim >= n) {
    throw new IndexError(`${op}: dimension ${dim} is out of range for ${ndim} dimensions; expected ${-n} to ${n - 1}`);
  }
  return dim < 0 ? dim + n : dim;
}

/** Sorted distinct dimensions; all of them for undefined or an empty list. */
export function wrapDims(op: string, dims: number | readonly number[] | null | undefined, ndim: number): number[] {
  if (dims === null || dims === undefined) return Array.from({ length: ndim }, (_, i) => i);
  const list = (typeof dims === "number" ? [dims] : dims).map((d) => wrapDim(op, d, ndim));
  if (list.length === 0) return Array.from({ length: ndim }, (_, i) => i);
  if (new Set(list).size !== list.length)
    throw new IndexError(`${op}: a dimension appears twice in [${list.join(", ")}]`);
  if (ndim === 0) return [];
  return list.sort((x, y) => x - y);
}

/** Sizes checked to be whole and not negative. */
export function checkShape(op: string, shape: Shape): void {
  if (!Array.isArray(shape)) throw new ShapeError(`${op}: the shape is a list of sizes, [2, 3], not ${String(shape)}`);
  let n = 1;
  for (const s of shape) {
    if (!Number.isInteger(s) || s < 0) throw new ShapeError(`${op}: ${s} in ${show(shape)} is not a size`);
    n *= s;
  }
  if (n > 2 ** 40) throw new ShapeError(`${op}: ${show(shape)} has ${n} elements; at most 2^40 are possible`);
}

/** `shape` with one −1 replaced by what is left of `numel`. */
export function inferShape(op: string, shape: Shape, numel: number): number[] {
  const at = shape.indexOf(-1);
  const out = shape.slice();
  if (at >= 0) {
    if (shape.indexOf(-1, at + 1) >= 0) throw new ShapeError(`${op}: only one size of ${show(shape)} may be -1`);
    out[at] = 1;
    const rest = numelOf(out);
    if (rest === 0 || numel % rest !== 0) {
      throw new ShapeError(`${op}: ${show(shape)} does not fit ${numel} elements`);
    }
    out[at] = numel / rest;
  }
  checkShape(op, out);
  if (numelOf(out) !== numel) {
    throw new ShapeError(`${op}: ${show(shape)} has ${numelOf(out)} elements; ${numel} are there`);
  }
  return out;
}

/** Strides that show the same memory at another shape, or null where only a copy can. */
export function viewStrides(shape: Shape, strides: Shape, to: Shape): number[] | null {
  if (numelOf(shape) === 0) return contiguousStrides(to);
  const out = new Array<number>(to.length).fill(1);
  let j = to.length - 1;
  let i = shape.length - 1;
  while (i >= 0) {
    // A run of axes that is contiguous within itself can be cut anew.
    const base = strides[i] as number;
    let run = shape[i] as number;
    while (i > 0 && (shape[i - 1] === 1 || run === 1 || strides[i - 1] === run * base)) {
      if (run === 1 && shape[i - 1] !== 1) break;
      i -= 1;
      run *= shape[i] as number;
    }
    i -= 1;
    if (run === 1) continue;
    let left = run;
    let s = base;
    while (j >= 0 && left > 1) {
      const n = to[j] as number;
      if (n > left || left % n !== 0) return null;
      out[j] = s;
      s *= n;
      left /= n;
      j -= 1;
    }
    if (left !== 1) return null;
    while (j >= 0 && to[j] === 1) {
      out[j] = s;
      j -= 1;
    }
  }
  return out;
}
