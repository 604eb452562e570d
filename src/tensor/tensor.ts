/**
 * Tensor: the class users meet. Conversions, indexing and in-place changes stand here; `base.ts`, `math.ts` and `views.ts` hold
 * the rest.
 */
import { isGradEnabled } from "../autograd/mode.js";
import { type DeviceLike, device as deviceByName } from "../device/device.js";
import { IndexError, ValueError } from "../errors.js";
import * as e from "../ops/arithmetic.js";
import * as b from "../ops/broadcast.js";
import { setConstruct } from "../ops/core.js";
import { fromTypedArray, full, scalarLike } from "../ops/creation.js";
import { type DType, dtypes, isFloating } from "../ops/dtype.js";
import type { Elementwise, Operand } from "../ops/elementwise.js";
import * as g from "../ops/gather.js";
import * as ix from "../ops/indexing.js";
import * as rnd from "../ops/random.js";
import { show, wrapDim } from "../ops/shape.js";
import * as v from "../ops/view.js";
import { readScalar } from "./read.js";
import { TensorViews } from "./views.js";

export type { GradHook } from "./base.js";
export type { ExtremeResult } from "./math.js";

export interface ToOptions {
  dtype?: DType;
  device?: DeviceLike;
  copy?: boolean;
}

/** A typed, strided view of device memory that may remember how it was made. */
export class Tensor extends TensorViews {
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
    return scalarLike(value, this);
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
    if (!Array.isArray(indices))
      throw new ValueError(`index: the indices are ${String(indices)}; write them as a list, [i, j]`);
    if (indices.length > this.ndim)
      throw new IndexError(`index: ${indices.length} indices for a tensor of shape ${show(this.shape)}`);
    return indices.reduce<Tensor>((t, i) => v.select(t, 0, i), this);
  }
  gather(dim: number, index: Tensor): Tensor {
    return g.gather(this, dim, index);
  }
  scatter(dim: number, index: Tensor, source: Tensor | number): Tensor {
    return g.scatter(this, dim, index, source);
  }
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    return g.scatterAdd(this, dim, index, source);
  }
  indexSelect(dim: number, index: Tensor): Tensor {
    return ix.indexSelect(this, dim, index);
  }
  indexAdd(dim: number, index: Tensor, source: Tensor): Tensor {
    const d = wrapDim("indexAdd", dim, this.ndim);
    const wide = index.reshape(source.shape.map((n, i) => (i === d ? n : 1))).expand(source.shape);
    return g.scatterAdd(this, d, wide, source);
  }
  take(index: Tensor): Tensor {
    return g.takeFlat(this, index);
  }
  maskedSelect(mask: Tensor): Tensor {
    const shape = b.expand(mask, e.eq.call(this.detach(), mask.detach()).shape).shape;
    return ix.indexTensor(b.expand(this, shape), [b.expand(mask, shape)]);
  }
  maskedFill(mask: Tensor, value: number): Tensor {
    return e.whereSelect.call(scalarLike(value, this), this, mask);
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
    const simple = e.simplePower(this, exponent);
    return simple === null ? this.inPlace(e.pow, exponent) : this.inPlace(simple);
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
      return this.rebase("fill", (self) => this.replaced(self, scalarLike(value, self)));
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

export const isTensor = (x: unknown): x is Tensor => x instanceof Tensor;
