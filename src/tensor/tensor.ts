/** Tensor: the class users meet. Conversions, views, indexing and in-place changes stand here; base.ts and math.ts hold the rest. */

import { isGradEnabled } from "../autograd/mode.js";
import { type DeviceLike, device as deviceByName } from "../device/device.js";
import { IndexError, ShapeError, ValueError } from "../errors.js";
import * as e from "../ops/arithmetic.js";
import * as b from "../ops/broadcast.js";
import { setConstruct } from "../ops/core.js";
import { tensor as fromData, fromTypedArray, full } from "../ops/creation.js";
import { type DType, dtypes, isFloating } from "../ops/dtype.js";
import type { Elementwise, Operand } from "../ops/elementwise.js";
import * as ix from "../ops/indexing.js";
import * as rnd from "../ops/random.js";
import { numelOf, type Shape, show, wrapDim } from "../ops/shape.js";
import * as v from "../ops/view.js";
import { TensorMath } from "./math.js";
import { readScalar } from "./read.js";

export type { GradHook } from "./base.js";
export type { ExtremeResult } from "./math.js";

export interface ToOptions {
  dtype?: DType;
  device?: DeviceLike;
  copy?: boolean;
}
type Many<T> = [readonly T[]] | T[];
const many = <T>(args: Many<T>): readonly T[] => (Array.isArray(args[0]) ? (args[0] as readonly T[]) : (args as T[]));

/** A typed, strided view of device memory that may remember how it was made. */
export class Tensor extends TensorMath {
  // ── Conversion ────────────────────────────────────────────────────────────────────────────────────────────────────
  to(target: DType | DeviceLike | ToOptions | Tensor): Tensor {
    let o: ToOptions;
    if (typeof target === "string" && (dtypes as readonly string[]).includes(target)) o = { dtype: target as DType };
    else if (target instanceof Tensor) o = { dtype: target.dtype, device: target.device };
    else if (typeof target === "string" || "engine" in target) o = { device: target as DeviceLike };
    else o = target;
    let t: Tensor = this;
    if (o.device !== undefined) {
      const d = deviceByName(o.device);
      if (d !== t.device) t = fromTypedArray(t.toTypedArray(), t.shape, { device: d, dtype: t.dtype });
    }
    if (o.dtype !== undefined) t = v.cast(t, o.dtype);
    return o.copy === true && t === this ? v.clone(t) : t;
  }
  float(): Tensor {
    return v.cast(this, "float32");
  }
  double(): Tensor {
    return v.cast(this, "float64");
  }
  half(): Tensor {
    return v.cast(this, "float16");
  }
  bfloat16(): Tensor {
    return v.cast(this, "bfloat16");
  }
  int(): Tensor {
    return v.cast(this, "int32");
  }
  long(): Tensor {
    return v.cast(this, "int64");
  }
  short(): Tensor {
    return v.cast(this, "int16");
  }
  byte(): Tensor {
    return v.cast(this, "uint8");
  }
  bool(): Tensor {
    return v.cast(this, "bool");
  }
  type(dtype: DType): Tensor {
    return v.cast(this, dtype);
  }
  cpu(): Tensor {
    return this.to("cpu");
  }
  clone(): Tensor {
    return v.clone(this);
  }
  contiguous(): Tensor {
    return v.contiguous(this);
  }
  /** A tensor of one value, of this dtype and device. @internal */
  new_(value: number): Tensor {
    return ix.scalarLike(value, this);
  }

  // ── Views ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  reshape(...shape: Many<number>): Tensor {
    return v.reshape(this, many(shape));
  }
  view(...shape: Many<number>): Tensor {
    return v.viewAs(this, many(shape));
  }
  viewAs(other: Tensor): Tensor {
    return v.viewAs(this, other.shape);
  }
  reshapeAs(other: Tensor): Tensor {
    return v.reshape(this, other.shape);
  }
  flatten(start = 0, end = -1): Tensor {
    if (this.ndim === 0) return v.reshape(this, [1]);
    const a = wrapDim("flatten", start, this.ndim);
    const b = wrapDim("flatten", end, this.ndim);
    if (a > b) throw new ShapeError(`flatten: start ${start} comes after end ${end}`);
    return v.reshape(this, [
      ...this.shape.slice(0, a),
      numelOf(this.shape.slice(a, b + 1)),
      ...this.shape.slice(b + 1),
    ]);
  }
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    const d = wrapDim("unflatten", dim, this.ndim);
    return v.reshape(this, [...this.shape.slice(0, d), ...sizes, ...this.shape.slice(d + 1)]);
  }
  squeeze(dim?: number | readonly number[]): Tensor {
    return v.squeeze(this, dim);
  }
  unsqueeze(dim: number): Tensor {
    return v.unsqueeze(this, dim);
  }
  transpose(a: number, b: number): Tensor {
    return v.transpose(this, a, b);
  }
  swapaxes(a: number, b: number): Tensor {
    return v.transpose(this, a, b);
  }
  permute(...dims: Many<number>): Tensor {
    return v.permute(this, many(dims));
  }
  movedim(from: number, to: number): Tensor {
    const a = wrapDim("movedim", from, this.ndim);
    const b = wrapDim("movedim", to, this.ndim);
    const order = this.shape.map((_, i) => i).filter((i) => i !== a);
    order.splice(b, 0, a);
    return v.permute(this, order);
  }
  t(): Tensor {
    if (this.ndim > 2) throw new ShapeError(`t: ${show(this.shape)} has more than 2 dimensions; use permute`);
    return this.ndim < 2 ? this : v.transpose(this, 0, 1);
  }
  get T(): Tensor {
    return v.permute(
      this,
      this.shape.map((_, i) => this.ndim - 1 - i),
    );
  }
  get mT(): Tensor {
    return v.transpose(this, -2, -1);
  }
  expand(...shape: Many<number>): Tensor {
    return b.expand(this, many(shape));
  }
  expandAs(other: Tensor): Tensor {
    return b.expand(this, other.shape);
  }
  broadcastTo(shape: Shape): Tensor {
    return b.expand(this, shape);
  }
  repeat(...times: Many<number>): Tensor {
    return b.repeat(this, many(times));
  }
  tile(...times: Many<number>): Tensor {
    const t = many(times);
    return b.repeat(this, [...new Array<number>(Math.max(0, this.ndim - t.length)).fill(1), ...t]);
  }
  narrow(dim: number, start: number, length: number): Tensor {
    return v.narrow(this, dim, start, length);
  }
  select(dim: number, index: number): Tensor {
    return v.select(this, dim, index);
  }
  slice(dim: number, start?: number, end?: number, step?: number): Tensor {
    return v.slice(this, dim, start, end, step);
  }
  diagonal(offset = 0, dim1 = 0, dim2 = 1): Tensor {
    return v.diagonal(this, offset, dim1, dim2);
  }
  flip(dims: number | readonly number[]): Tensor {
    return v.flip(this, dims);
  }
  roll(shift: number, dim?: number): Tensor {
    if (dim === undefined) return this.flatten().roll(shift, 0).reshape(this.shape);
    const d = wrapDim("roll", dim, this.ndim);
    const n = this.shape[d] as number;
    if (n === 0) return this.clone();
    const s = ((shift % n) + n) % n;
    return v.cat([v.slice(this, d, n - s), v.slice(this, d, 0, n - s)], d);
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
      return v.narrow(this, d, at - s, s);
    });
  }
  chunk(count: number, dim = 0): Tensor[] {
    if (!Number.isInteger(count) || count < 1) throw new ValueError(`chunk: ${count} is not a positive count`);
    const n = this.shape[wrapDim("chunk", dim, this.ndim)] as number;
    return this.split(Math.max(1, Math.ceil(n / count)), dim);
  }
  unbind(dim = 0): Tensor[] {
    const d = wrapDim("unbind", dim, this.ndim);
    return Array.from({ length: this.shape[d] as number }, (_, i) => v.select(this, d, i));
  }
  /** Copies of blocks of `size` elements every `step` along a dimension, in a new last dimension. */
  unfold(dim: number, size: number, step: number): Tensor {
    const d = wrapDim("unfold", dim, this.ndim);
    const count = Math.floor(((this.shape[d] as number) - size) / step) + 1;
    return v.stack(
      Array.from({ length: Math.max(0, count) }, (_, i) => v.narrow(this, d, i * step, size).movedim(d, -1)),
      d,
    );
  }
  tril(diagonal = 0): Tensor {
    return this.mul(triangle(this, (d) => d.le(diagonal)));
  }
  triu(diagonal = 0): Tensor {
    return this.mul(triangle(this, (d) => d.ge(diagonal)));
  }
  diag(offset = 0): Tensor {
    if (this.ndim === 2) return this.diagonal(offset).clone();
    if (this.ndim !== 1) throw new ShapeError(`diag: ${show(this.shape)} has neither one nor two dimensions`);
    const n = this.numel() + Math.abs(offset);
    return v.embedStrided(this, [n, n], (z) => v.diagonal(z, offset));
  }
  trace(): Tensor {
    return this.diagonal().sum();
  }

  // ── Indexing ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** x.index(0, ":", {start: 1}, mask, [2, 0]) is Python's x[0, :, 1:, mask, [2, 0]]. */
  index(...items: ix.Index[]): Tensor {
    return ix.indexTensor(this, items);
  }
  at(...items: ix.Index[]): Tensor {
    return ix.indexTensor(this, items);
  }
  indexPut_(items: readonly ix.Index[], value: Tensor | number, accumulate = false): this {
    ix.indexPut(this, items, value, accumulate);
    return this;
  }
  /** The element at `indices` as a number. */
  get(indices: readonly number[]): number {
    return readScalar(this.element(indices));
  }
  /** Sets the element (or sub-tensor) at `indices`. */
  set(indices: readonly number[], value: number | Tensor): void {
    const target = this.element(indices);
    if (typeof value === "number") target.fill_(value);
    else target.copy_(value);
  }
  private element(indices: readonly number[]): Tensor {
    if (indices.length > this.ndim)
      throw new IndexError(`index: ${indices.length} indices for a tensor of shape ${show(this.shape)}`);
    return indices.reduce<Tensor>((t, i) => v.select(t, 0, i), this);
  }
  gather(dim: number, index: Tensor): Tensor {
    return ix.gather(this, dim, index);
  }
  scatter(dim: number, index: Tensor, source: Tensor | number): Tensor {
    return ix.scatter(this, dim, index, source);
  }
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    return ix.scatterAdd(this, dim, index, source);
  }
  indexSelect(dim: number, index: Tensor): Tensor {
    return ix.indexSelect(this, dim, index);
  }
  indexAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    const d = wrapDim("indexAdd", dim, this.ndim);
    const wide = index.reshape(source.shape.map((n, i) => (i === d ? n : 1))).expand(source.shape);
    return ix.scatterAdd(this, d, wide, source);
  }
  take(index: Tensor): Tensor {
    return ix.takeFlat(this, index);
  }
  maskedSelect(mask: Tensor): Tensor {
    const shape = b.expand(mask, e.eq.call(this.detach(), mask.detach()).shape).shape;
    return ix.indexTensor(b.expand(this, shape), [b.expand(mask, shape)]);
  }
  maskedFill(mask: Tensor, value: number): Tensor {
    return e.whereSelect.call(ix.scalarLike(value, this), this, mask);
  }
  maskedFill_(mask: Tensor, value: number): this {
    return this.assign(this.maskedFill(mask, value), "maskedFill");
  }
  nonzero(): Tensor {
    return ix.nonzero(this);
  }
  where(condition: Tensor, other: Operand): Tensor {
    return e.whereSelect.call(this, other, condition);
  }

  // ── In place ──────────────────────────────────────────────────────────────────────────────────────────────────────
  add_(other: Operand, o?: { alpha?: number }): this {
    return o?.alpha === undefined || o.alpha === 1
      ? this.inPlace(e.add, other)
      : this.inPlace(e.addScaled, other, o.alpha);
  }
  sub_(other: Operand, o?: { alpha?: number }): this {
    return o?.alpha === undefined || o.alpha === 1
      ? this.inPlace(e.sub, other)
      : this.inPlace(e.subScaled, other, o.alpha);
  }
  mul_(other: Operand): this {
    return this.inPlace(e.mul, other);
  }
  div_(other: Operand): this {
    return this.inPlace(e.div, other);
  }
  pow_(exponent: Operand): this {
    return this.inPlace(e.pow, exponent);
  }
  remainder_(other: Operand): this {
    return this.inPlace(e.remainder, other);
  }
  neg_(): this {
    return this.inPlace(e.neg);
  }
  abs_(): this {
    return this.inPlace(e.abs);
  }
  sqrt_(): this {
    return this.inPlace(e.sqrt);
  }
  rsqrt_(): this {
    return this.inPlace(e.rsqrt);
  }
  square_(): this {
    return this.inPlace(e.square);
  }
  reciprocal_(): this {
    return this.inPlace(e.reciprocal);
  }
  exp_(): this {
    return this.inPlace(e.exp);
  }
  log_(): this {
    return this.inPlace(e.log);
  }
  sin_(): this {
    return this.inPlace(e.sin);
  }
  cos_(): this {
    return this.inPlace(e.cos);
  }
  tanh_(): this {
    return this.inPlace(e.tanh);
  }
  sigmoid_(): this {
    return this.inPlace(e.sigmoid);
  }
  relu_(): this {
    return this.inPlace(e.relu);
  }
  floor_(): this {
    return this.inPlace(e.floor);
  }
  ceil_(): this {
    return this.inPlace(e.ceil);
  }
  round_(): this {
    return this.inPlace(e.round);
  }
  trunc_(): this {
    return this.inPlace(e.trunc);
  }
  clamp_(min?: Operand | null, max?: Operand | null): this {
    const has = (b: Operand | null | undefined): b is Operand => b !== undefined && b !== null;
    if (has(min) && has(max)) return this.inPlace(e.clamp, min, max);
    if (has(min)) return this.inPlace(e.clampMin, min);
    if (has(max)) return this.inPlace(e.clampMax, max);
    throw new ValueError("clamp_: needs a lower or an upper bound");
  }
  lerp_(end: Tensor, weight: Operand): this {
    return this.inPlace(e.lerp, end, weight);
  }
  addcmul_(a: Tensor, b: Tensor, o: { value?: number } = {}): this {
    return this.inPlace(e.addcmul, a, b, o.value ?? 1);
  }
  addcdiv_(a: Tensor, b: Tensor, o: { value?: number } = {}): this {
    return this.inPlace(e.addcdiv, a, b, o.value ?? 1);
  }
  fill_(value: number | Tensor): this {
    if (value instanceof Tensor) return this.copy_(value);
    this.checkWritable("fill");
    if (isGradEnabled() && this.requiresGrad) {
      this.checkInPlace("fill");
      return this.rebase("fill", (self) => this.replaced(self, ix.scalarLike(value, self)));
    }
    v.fill(this, value);
    this.buffer.version += 1;
    return this;
  }
  zero_(): this {
    return this.fill_(0);
  }
  copy_(source: Tensor): this {
    b.expand(source.detach(), this.shape); // the shapes are checked before anything changes
    return this.assign(source, "copy");
  }
  uniform_(from = 0, to = 1, o: { generator?: rnd.Generator } = {}): this {
    return this.refilled("uniform", (t) => rnd.fillUniform(t, from, to, o.generator));
  }
  normal_(mean = 0, std = 1, o: { generator?: rnd.Generator } = {}): this {
    return this.refilled("normal", (t) => rnd.fillNormal(t, mean, std, o.generator));
  }
  bernoulli_(p = 0.5, o: { generator?: rnd.Generator } = {}): this {
    return this.copy_(
      rnd
        .rand(this.shape, { device: this.device, ...o })
        .lt(p)
        .to(this.dtype),
    );
  }

  /** `value` in place of all of `self`, whose gradient is therefore zero. */
  private replaced(self: Tensor, value: Tensor): Tensor {
    const everywhere = full(this.shape, true, { dtype: "bool", device: this.device });
    return e.whereSelect.call(value, self, everywhere);
  }
  /** Random numbers in place of what was there, whose gradient is therefore zero. */
  private refilled(name: string, fill: (t: Tensor) => void): this {
    this.checkWritable(name);
    if (isGradEnabled() && this.requiresGrad) {
      this.checkInPlace(name);
      return this.rebase(name, (self) => {
        const drawn = v.clone(self.detach());
        fill(drawn);
        return this.replaced(self, drawn);
      });
    }
    fill(this);
    this.buffer.version += 1;
    return this;
  }
  private inPlace(op: Elementwise, ...others: Operand[]): this {
    op.inPlace(this, ...others);
    return this;
  }
  private assign(source: Tensor, name: string): this {
    this.checkWritable(name);
    if (isGradEnabled() && (this.requiresGrad || source.requiresGrad) && isFloating(this.dtype)) {
      this.checkInPlace(name);
      return this.rebase(name, (self) => this.replaced(self, v.cast(source, this.dtype)));
    }
    v.copyInto(this, source);
    this.buffer.version += 1;
    return this;
  }
}

setConstruct(
  (buffer, device, dtype, shape, strides, offset, contiguous) =>
    new Tensor(buffer, device, dtype, shape, strides, offset, contiguous),
);
ix.setListToTensor((list, like) =>
  typeof list[0] === "boolean"
    ? fromData(list as boolean[], { dtype: "bool", device: like.device })
    : fromData(list as number[], { dtype: "int32", device: like.device }),
);

/** 1 where column − row satisfies the condition, 0 elsewhere. */
function triangle(x: Tensor, condition: (difference: Tensor) => Tensor): Tensor {
  if (x.ndim < 2) throw new ShapeError(`tril, triu: ${show(x.shape)} has fewer than 2 dimensions`);
  const rows = x.shape[x.ndim - 2] as number;
  const columns = x.shape[x.ndim - 1] as number;
  const line = (n: number): Tensor =>
    fromTypedArray(
      Int32Array.from({ length: n }, (_, i) => i),
      [n],
      { device: x.device },
    );
  return v.cast(condition(line(columns).unsqueeze(0).sub(line(rows).unsqueeze(1))), x.dtype);
}

export const isTensor = (x: unknown): x is Tensor => x instanceof Tensor;
