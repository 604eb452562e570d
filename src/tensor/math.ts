/** Tensors' arithmetic, comparisons, reductions and products as methods. What each computes is in `ops/`. */
import { ValueError } from "../errors.js";
import * as e from "../ops/arithmetic.js";
import { sum } from "../ops/broadcast.js";
import { isFloating } from "../ops/dtype.js";
import type { Operand } from "../ops/elementwise.js";
import { type Dims, keeps, type ReduceOptions } from "../ops/fold.js";
import * as mm from "../ops/matmul.js";
import * as nm from "../ops/norms.js";
import * as r from "../ops/reduce.js";
import { sameShape } from "../ops/shape.js";
import * as so from "../ops/sort.js";
import { TensorBase } from "./base.js";
import type { Tensor } from "./tensor.js";

/** What `max(dim)`, `sort` and their kin give. */
export interface ExtremeResult {
  readonly values: Tensor;
  readonly indices: Tensor;
}

const self = (t: TensorMath): Tensor => t as Tensor;

export abstract class TensorMath extends TensorBase {
  // ── Arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────────
  /** x + alpha·y */
  add(other: Operand, o?: { alpha?: number }): Tensor {
    return o?.alpha === undefined || o.alpha === 1
      ? e.add.call(self(this), other)
      : e.addScaled.call(self(this), other, o.alpha);
  }
  sub(other: Operand, o?: { alpha?: number }): Tensor {
    return o?.alpha === undefined || o.alpha === 1
      ? e.sub.call(self(this), other)
      : e.subScaled.call(self(this), other, o.alpha);
  }
  mul(other: Operand): Tensor {
    return e.mul.call(self(this), other);
  }
  div(other: Operand, o?: { roundingMode?: "trunc" | "floor" | null }): Tensor {
    if (o?.roundingMode === "floor") return e.divFloor.call(self(this), other);
    return o?.roundingMode === "trunc" ? e.divTrunc.call(self(this), other) : e.div.call(self(this), other);
  }
  floorDivide(other: Operand): Tensor {
    return e.divFloor.call(self(this), other);
  }
  fmod(other: Operand): Tensor {
    return e.fmod.call(self(this), other);
  }
  remainder(other: Operand): Tensor {
    return e.remainder.call(self(this), other);
  }
  pow(exponent: Operand): Tensor {
    if (typeof exponent === "number" && exponent < 0 && Number.isInteger(exponent) && !isFloating(this.dtype)) {
      throw new ValueError("pow: integers to negative powers are not integers; convert with .float()");
    }
    return e.simplePower(self(this), exponent)?.call(self(this)) ?? e.pow.call(self(this), exponent);
  }
  neg(): Tensor {
    return e.neg.call(self(this));
  }
  abs(): Tensor {
    return e.abs.call(self(this));
  }
  sign(): Tensor {
    return e.sign.call(self(this));
  }
  reciprocal(): Tensor {
    return e.reciprocal.call(self(this));
  }
  square(): Tensor {
    return e.square.call(self(this));
  }
  sqrt(): Tensor {
    return e.sqrt.call(self(this));
  }
  rsqrt(): Tensor {
    return e.rsqrt.call(self(this));
  }
  exp(): Tensor {
    return e.exp.call(self(this));
  }
  exp2(): Tensor {
    return e.exp2.call(self(this));
  }
  expm1(): Tensor {
    return e.expm1.call(self(this));
  }
  log(): Tensor {
    return e.log.call(self(this));
  }
  log1p(): Tensor {
    return e.log1p.call(self(this));
  }
  log2(): Tensor {
    return e.log2.call(self(this));
  }
  log10(): Tensor {
    return e.log10.call(self(this));
  }
  sin(): Tensor {
    return e.sin.call(self(this));
  }
  cos(): Tensor {
    return e.cos.call(self(this));
  }
  tan(): Tensor {
    return e.tan.call(self(this));
  }
  asin(): Tensor {
    return e.asin.call(self(this));
  }
  acos(): Tensor {
    return e.acos.call(self(this));
  }
  atan(): Tensor {
    return e.atan.call(self(this));
  }
  atan2(other: Operand): Tensor {
    return e.atan2.call(self(this), other);
  }
  sinh(): Tensor {
    return e.sinh.call(self(this));
  }
  cosh(): Tensor {
    return e.cosh.call(self(this));
  }
  tanh(): Tensor {
    return e.tanh.call(self(this));
  }
  asinh(): Tensor {
    return e.asinh.call(self(this));
  }
  acosh(): Tensor {
    return e.acosh.call(self(this));
  }
  atanh(): Tensor {
    return e.atanh.call(self(this));
  }
  erf(): Tensor {
    return e.erf.call(self(this));
  }
  sigmoid(): Tensor {
    return e.sigmoid.call(self(this));
  }
  relu(): Tensor {
    return e.relu.call(self(this));
  }
  floor(): Tensor {
    return e.floor.call(self(this));
  }
  ceil(): Tensor {
    return e.ceil.call(self(this));
  }
  round(): Tensor {
    return e.round.call(self(this));
  }
  trunc(): Tensor {
    return e.trunc.call(self(this));
  }
  frac(): Tensor {
    return e.frac.call(self(this));
  }
  clamp(min?: Operand | null | { min?: Operand; max?: Operand }, max?: Operand | null): Tensor {
    let lo = min as Operand | null | undefined;
    let hi = max;
    if (typeof min === "object" && min !== null && !(min instanceof TensorBase)) {
      lo = min.min;
      hi = min.max;
    }
    if (lo !== undefined && lo !== null && hi !== undefined && hi !== null) return e.clamp.call(self(this), lo, hi);
    if (lo !== undefined && lo !== null) return e.clampMin.call(self(this), lo);
    if (hi !== undefined && hi !== null) return e.clampMax.call(self(this), hi);
    throw new ValueError("clamp: needs a lower or an upper bound");
  }
  clip(min?: Operand | null, max?: Operand | null): Tensor {
    return this.clamp(min, max);
  }
  maximum(other: Operand): Tensor {
    return e.maximum.call(self(this), other);
  }
  minimum(other: Operand): Tensor {
    return e.minimum.call(self(this), other);
  }
  lerp(end: Tensor, weight: Operand): Tensor {
    return e.lerp.call(self(this), end, weight);
  }
  addcmul(a: Tensor, b: Tensor, o: { value?: number } = {}): Tensor {
    return e.addcmul.call(self(this), a, b, o.value ?? 1);
  }
  addcdiv(a: Tensor, b: Tensor, o: { value?: number } = {}): Tensor {
    return e.addcdiv.call(self(this), a, b, o.value ?? 1);
  }

  // ── Comparison and logic ──────────────────────────────────────────────────────────────────────────────────────────
  eq(other: Operand): Tensor {
    return e.eq.call(self(this), other);
  }
  ne(other: Operand): Tensor {
    return e.ne.call(self(this), other);
  }
  lt(other: Operand): Tensor {
    return e.lt.call(self(this), other);
  }
  le(other: Operand): Tensor {
    return e.le.call(self(this), other);
  }
  gt(other: Operand): Tensor {
    return e.gt.call(self(this), other);
  }
  ge(other: Operand): Tensor {
    return e.ge.call(self(this), other);
  }
  isnan(): Tensor {
    return e.isnan.call(self(this));
  }
  isinf(): Tensor {
    return e.isinf.call(self(this));
  }
  isfinite(): Tensor {
    return e.isfinite.call(self(this));
  }
  logicalAnd(other: Operand): Tensor {
    return e.logicalAnd.call(self(this), other);
  }
  logicalOr(other: Operand): Tensor {
    return e.logicalOr.call(self(this), other);
  }
  logicalXor(other: Operand): Tensor {
    return e.logicalXor.call(self(this), other);
  }
  logicalNot(): Tensor {
    return e.logicalNot.call(self(this));
  }
  bitwiseAnd(other: Operand): Tensor {
    return e.bitwiseAnd.call(self(this), other);
  }
  bitwiseOr(other: Operand): Tensor {
    return e.bitwiseOr.call(self(this), other);
  }
  bitwiseXor(other: Operand): Tensor {
    return e.bitwiseXor.call(self(this), other);
  }
  bitwiseNot(): Tensor {
    return e.bitwiseNot.call(self(this));
  }
  isclose(other: Tensor, o: { rtol?: number; atol?: number; equalNan?: boolean } = {}): Tensor {
    const difference = this.sub(other).abs();
    const near = difference
      .le(
        other
          .abs()
          .mul(o.rtol ?? 1e-5)
          .add(o.atol ?? 1e-8),
      )
      .logicalAnd(difference.isfinite());
    const same = near.logicalOr(this.eq(other));
    return o.equalNan === true ? same.logicalOr(this.isnan().logicalAnd(other.isnan())) : same;
  }
  allclose(other: Tensor, o: { rtol?: number; atol?: number; equalNan?: boolean } = {}): boolean {
    return this.detach().isclose(other.detach(), o).all().item() === 1;
  }
  /** Same shape and equal elements. */
  equal(other: Tensor): boolean {
    return sameShape(this.shape, other.shape) && this.detach().eq(other.detach()).all().item() === 1;
  }

  // ── Reductions ────────────────────────────────────────────────────────────────────────────────────────────────────
  sum(dim?: Dims, o?: ReduceOptions): Tensor {
    return sum(self(this), dim, o);
  }
  mean(dim?: Dims, o?: ReduceOptions): Tensor {
    return r.mean(self(this), dim, o);
  }
  prod(dim?: number | null, o?: ReduceOptions): Tensor {
    return r.prod(self(this), dim, o);
  }
  var(dim?: Dims, o?: r.VarianceOptions): Tensor {
    return r.variance(self(this), dim, o);
  }
  std(dim?: Dims, o?: r.VarianceOptions): Tensor {
    return r.std(self(this), dim, o);
  }
  amax(dim?: Dims, o?: ReduceOptions): Tensor {
    return r.amax(self(this), dim, o);
  }
  amin(dim?: Dims, o?: ReduceOptions): Tensor {
    return r.amin(self(this), dim, o);
  }
  /** The largest element; with a dimension, the largest along it and where they are. */
  max(): Tensor;
  max(dim: number, o?: ReduceOptions): ExtremeResult;
  max(dim?: number, o: ReduceOptions = {}): Tensor | ExtremeResult {
    return dim === undefined ? r.amax(self(this)) : r.extremeWithIndex("max", self(this), dim, keeps("max", o));
  }
  min(): Tensor;
  min(dim: number, o?: ReduceOptions): ExtremeResult;
  min(dim?: number, o: ReduceOptions = {}): Tensor | ExtremeResult {
    return dim === undefined ? r.amin(self(this)) : r.extremeWithIndex("min", self(this), dim, keeps("min", o));
  }
  argmax(dim?: number | null, o: ReduceOptions = {}): Tensor {
    return r.argExtreme("max", self(this), dim, keeps("argmax", o));
  }
  argmin(dim?: number | null, o: ReduceOptions = {}): Tensor {
    return r.argExtreme("min", self(this), dim, keeps("argmin", o));
  }
  any(dim?: Dims, o?: ReduceOptions): Tensor {
    return r.any(self(this), dim, o);
  }
  all(dim?: Dims, o?: ReduceOptions): Tensor {
    return r.all(self(this), dim, o);
  }
  norm(p = 2, dim?: Dims, o?: ReduceOptions): Tensor {
    return r.norm(self(this), p, dim, o);
  }
  logsumexp(dim: Dims, o?: ReduceOptions): Tensor {
    return r.logsumexp(self(this), dim, o);
  }
  countNonzero(dim?: Dims): Tensor {
    return this.detach().ne(0).sum(dim);
  }
  median(): Tensor;
  median(dim: number, o?: ReduceOptions): ExtremeResult;
  median(dim?: number, o: ReduceOptions = {}): Tensor | ExtremeResult {
    const result = so.median(self(this), dim, keeps("median", o));
    return dim === undefined ? result.values : result;
  }
  cumsum(dim: number): Tensor {
    return r.cumulative("sum", self(this), dim);
  }
  cumprod(dim: number): Tensor {
    return r.cumulative("prod", self(this), dim);
  }
  softmax(dim: number): Tensor {
    return nm.softmax(self(this), dim);
  }
  logSoftmax(dim: number): Tensor {
    return nm.logSoftmax(self(this), dim);
  }
  sort(dim = -1, o?: so.SortOptions): ExtremeResult {
    return so.sort(self(this), dim, o);
  }
  argsort(dim = -1, o?: so.SortOptions): Tensor {
    return so.argsort(self(this), dim, o);
  }
  topk(k: number, dim = -1, o?: so.TopkOptions): ExtremeResult {
    return so.topk(self(this), k, dim, o);
  }

  // ── Products ──────────────────────────────────────────────────────────────────────────────────────────────────────
  matmul(other: Tensor): Tensor {
    return mm.matmul(self(this), other);
  }
  mm(other: Tensor): Tensor {
    return mm.mm(self(this), other);
  }
  bmm(other: Tensor): Tensor {
    return mm.bmm(self(this), other);
  }
  mv(other: Tensor): Tensor {
    return mm.mv(self(this), other);
  }
  dot(other: Tensor): Tensor {
    return mm.dotProduct(self(this), other);
  }
  outer(other: Tensor): Tensor {
    return mm.outer(self(this), other);
  }
  addmm(x: Tensor, y: Tensor, o?: { beta?: number; alpha?: number }): Tensor {
    return mm.addmm(self(this), x, y, o);
  }
}
