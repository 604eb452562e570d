/** Tensors of other shapes as methods: views of the same memory, and the copies that are made of views. */
import { ShapeError, ValueError } from "../errors.js";
import { expand, repeat } from "../ops/broadcast.js";
import { numelOf, type Shape, show, wrapDim } from "../ops/shape.js";
import { triangle } from "../ops/triangle.js";
import * as v from "../ops/view.js";
import { TensorMath } from "./math.js";
import type { Tensor } from "./tensor.js";

type Many<T> = [readonly T[]] | T[];
const many = <T>(args: Many<T>): readonly T[] => (Array.isArray(args[0]) ? (args[0] as readonly T[]) : (args as T[]));

const self = (t: TensorViews): Tensor => t as Tensor;

export abstract class TensorViews extends TensorMath {
  reshape(...shape: Many<number>): Tensor {
    return v.reshape(self(this), many(shape));
  }
  view(...shape: Many<number>): Tensor {
    return v.viewAs(self(this), many(shape));
  }
  viewAs(other: Tensor): Tensor {
    return v.viewAs(self(this), other.shape);
  }
  reshapeAs(other: Tensor): Tensor {
    return v.reshape(self(this), other.shape);
  }
  flatten(start = 0, end = -1): Tensor {
    if (this.ndim === 0) return v.reshape(self(this), [1]);
    const a = wrapDim("flatten", start, this.ndim);
    const b = wrapDim("flatten", end, this.ndim);
    if (a > b) throw new ShapeError(`flatten: start ${start} comes after end ${end}`);
    return v.reshape(self(this), [
      ...this.shape.slice(0, a),
      numelOf(this.shape.slice(a, b + 1)),
      ...this.shape.slice(b + 1),
    ]);
  }
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    const d = wrapDim("unflatten", dim, this.ndim);
    return v.reshape(self(this), [...this.shape.slice(0, d), ...sizes, ...this.shape.slice(d + 1)]);
  }
  squeeze(dim?: number | readonly number[]): Tensor {
    return v.squeeze(self(this), dim);
  }
  unsqueeze(dim: number): Tensor {
    return v.unsqueeze(self(this), dim);
  }
  transpose(a: number, b: number): Tensor {
    return v.transpose(self(this), a, b);
  }
  swapaxes(a: number, b: number): Tensor {
    return v.transpose(self(this), a, b);
  }
  permute(...dims: Many<number>): Tensor {
    return v.permute(self(this), many(dims));
  }
  movedim(from: number, to: number): Tensor {
    const a = wrapDim("movedim", from, this.ndim);
    const b = wrapDim("movedim", to, this.ndim);
    const order = this.shape.map((_, i) => i).filter((i) => i !== a);
    order.splice(b, 0, a);
    return v.permute(self(this), order);
  }
  t(): Tensor {
    if (this.ndim > 2) throw new ShapeError(`t: ${show(this.shape)} has more than 2 dimensions; use permute`);
    return this.ndim < 2 ? self(this) : v.transpose(self(this), 0, 1);
  }
  get T(): Tensor {
    return v.permute(
      self(this),
      this.shape.map((_, i) => this.ndim - 1 - i),
    );
  }
  get mT(): Tensor {
    return v.transpose(self(this), -2, -1);
  }
  expand(...shape: Many<number>): Tensor {
    return expand(self(this), many(shape));
  }
  expandAs(other: Tensor): Tensor {
    return expand(self(this), other.shape);
  }
  broadcastTo(shape: Shape): Tensor {
    return expand(self(this), shape);
  }
  repeat(...times: Many<number>): Tensor {
    return repeat(self(this), many(times));
  }
  tile(...times: Many<number>): Tensor {
    const t = many(times);
    return repeat(self(this), [...new Array<number>(Math.max(0, this.ndim - t.length)).fill(1), ...t]);
  }
  narrow(dim: number, start: number, length: number): Tensor {
    return v.narrow(self(this), dim, start, length);
  }
  select(dim: number, index: number): Tensor {
    return v.select(self(this), dim, index);
  }
  slice(dim: number, start?: number, end?: number, step?: number): Tensor {
    return v.slice(self(this), dim, start, end, step);
  }
  diagonal(offset = 0, dim1 = 0, dim2 = 1): Tensor {
    return v.diagonal(self(this), offset, dim1, dim2);
  }
  flip(dims: number | readonly number[]): Tensor {
    return v.flip(self(this), dims);
  }
  roll(shift: number, dim?: number): Tensor {
    if (dim === undefined) return this.flatten().roll(shift, 0).reshape(this.shape);
    const d = wrapDim("roll", dim, this.ndim);
    const n = this.shape[d] as number;
    if (n === 0) return self(this).clone();
    const s = ((shift % n) + n) % n;
    return v.cat([v.slice(self(this), d, n - s), v.slice(self(this), d, 0, n - s)], d);
  }
  /** Pieces of the given size (the last may be smaller), or of the given sizes. */
  split(size: number | readonly number[], dim = 0): Tensor[] {
    const d = wrapDim("split", dim, this.ndim);
    const n = this.shape[d] as number;
    if (typeof size === "number" && (!Number.isInteger(size) || size < 1))
      throw new ValueError(`split: ${size} is not a positive size`);
    const sizes =
      typeof size === "number"
        ? Array.from({ length: Math.max(1, Math.ceil(n / size)) }, (_, i) => Math.min(size, n - i * size))
        : size;
    if (sizes.reduce((a, b) => a + b, 0) !== n)
      throw new ShapeError(`split: sizes ${show(sizes)} do not add up to ${n}`);
    let at = 0;
    return sizes.map((s) => {
      at += s;
      return v.narrow(self(this), d, at - s, s);
    });
  }
  chunk(count: number, dim = 0): Tensor[] {
    if (!Number.isInteger(count) || count < 1) throw new ValueError(`chunk: ${count} is not a positive count`);
    const n = this.shape[wrapDim("chunk", dim, this.ndim)] as number;
    return this.split(Math.max(1, Math.ceil(n / count)), dim);
  }
  unbind(dim = 0): Tensor[] {
    const d = wrapDim("unbind", dim, this.ndim);
    return Array.from({ length: this.shape[d] as number }, (_, i) => v.select(self(this), d, i));
  }
  /** Copies of blocks of `size` elements every `step` along a dimension, in a new last dimension. */
  unfold(dim: number, size: number, step: number): Tensor {
    const d = wrapDim("unfold", dim, this.ndim);
    const count = Math.floor(((this.shape[d] as number) - size) / step) + 1;
    return v.stack(
      Array.from({ length: Math.max(0, count) }, (_, i) => v.narrow(self(this), d, i * step, size).movedim(d, -1)),
      d,
    );
  }
  tril(diagonal = 0): Tensor {
    return triangle("tril", self(this), diagonal);
  }
  triu(diagonal = 0): Tensor {
    return triangle("triu", self(this), diagonal);
  }
  diag(offset = 0): Tensor {
    if (this.ndim === 2) return this.diagonal(offset).clone();
    if (this.ndim !== 1) throw new ShapeError(`diag: ${show(this.shape)} has neither one nor two dimensions`);
    const n = this.numel() + Math.abs(offset);
    return v.embedStrided(self(this), [n, n], (z) => v.diagonal(z, offset));
  }
  trace(): Tensor {
    return this.diagonal().sum();
  }
}
