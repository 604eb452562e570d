/**
 * Tensor: a typed, strided view of device memory that may remember how it was made. The class holds the data, the tape's
 * hooks and PyTorch's methods; what each operation does is in `ops/`.
 */

import { type BackwardArguments, backward } from "../autograd/backward.js";
import { isGradEnabled } from "../autograd/mode.js";
import { edgeOf, type Node, record } from "../autograd/tape.js";
import { type Device, type DeviceLike, device as deviceByName } from "../device/device.js";
import type { Buffer } from "../device/engine.js";
import { AutogradError, CressetError, DTypeError, IndexError, ShapeError, ValueError } from "../errors.js";
import * as e from "../ops/arithmetic.js";
import { setConstruct } from "../ops/core.js";
import { tensor as fromData, fromTypedArray, full, type NestedArray, type TypedArray } from "../ops/creation.js";
import { type DType, dtypes, isFloating, itemBytes } from "../ops/dtype.js";
import { type Elementwise, type Operand, refuseInPlaceLeaf } from "../ops/elementwise.js";
import * as ix from "../ops/indexing.js";
import * as mm from "../ops/matmul.js";
import * as nm from "../ops/norms.js";
import * as rnd from "../ops/random.js";
import * as r from "../ops/reduce.js";
import { numelOf, type Shape, sameShape, show, wrapDim } from "../ops/shape.js";
import * as so from "../ops/sort.js";
import * as v from "../ops/view.js";
import { formatTensor } from "./format.js";
import { readElements, readScalar } from "./read.js";

export interface ToOptions {
  dtype?: DType;
  device?: DeviceLike;
  copy?: boolean;
}
export interface ExtremeResult {
  readonly values: Tensor;
  readonly indices: Tensor;
}
export type GradHook = (grad: Tensor) => Tensor | null | undefined | void;
type Many<T> = [readonly T[]] | T[];
const many = <T>(args: Many<T>): readonly T[] => (Array.isArray(args[0]) ? (args[0] as readonly T[]) : (args as T[]));

export class Tensor {
  /** @internal */ readonly buffer: Buffer;
  /** @internal */ readonly offset: number;
  /** @internal */ readonly strides: Shape;
  /** @internal */ readonly contiguous_: boolean;
  /** Sizes, outermost first. */
  readonly shape: Shape;
  readonly dtype: DType;
  readonly device: Device;

  private node: Node | null = null;
  /** @internal */ outputIndex = 0;
  /** @internal */ tracked = false;
  /** @internal */ accumulator: Node | null = null;
  private wantsGrad = false;
  private gradient: Tensor | null = null;
  private gradSeen = false;
  private retains = false;
  /** The tensor whose memory this is a view of, and its history's length when the view was taken. */
  private base: Tensor | null = null;
  private baseHistory = 0;
  private history = 0;

  /** Tensors are made by `torch.tensor`, `torch.zeros` and their kin. @internal */
  constructor(
    buffer: Buffer,
    device: Device,
    dtype: DType,
    shape: Shape,
    strides: Shape,
    offset: number,
    contiguous: boolean,
  ) {
    this.buffer = buffer;
    this.device = device;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    this.contiguous_ = contiguous;
  }

  // ── What it is ────────────────────────────────────────────────────────────────────────────────────────────────────
  get ndim(): number {
    return this.shape.length;
  }
  dim(): number {
    return this.shape.length;
  }
  /** The number of elements. */
  numel(): number {
    return numelOf(this.shape);
  }
  size(): Shape;
  size(dim: number): number;
  size(dim?: number): Shape | number {
    return dim === undefined ? this.shape : (this.shape[wrapDim("size", dim, this.ndim)] as number);
  }
  /** Steps between neighbours along each dimension, in elements. */
  stride(): Shape;
  stride(dim: number): number;
  stride(dim?: number): Shape | number {
    return dim === undefined ? this.strides : (this.strides[wrapDim("stride", dim, this.ndim)] as number);
  }
  storageOffset(): number {
    return this.offset;
  }
  isContiguous(): boolean {
    return this.contiguous_;
  }
  isFloatingPoint(): boolean {
    return isFloating(this.dtype);
  }
  elementSize(): number {
    return itemBytes[this.dtype];
  }
  /** How often the memory was changed in place. */
  get version(): number {
    return this.buffer.version;
  }

  // ── Autograd ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** The operation that made this tensor; null for leaves. */
  get gradFn(): Node | null {
    const base = this.base;
    if (base !== null && base.history !== this.baseHistory) this.followBase(base);
    return this.node;
  }
  /** @internal */
  set gradFn(node: Node | null) {
    this.node = node;
  }
  get isLeaf(): boolean {
    return this.gradFn === null;
  }
  get requiresGrad(): boolean {
    return this.wantsGrad || this.tracked || (this.base !== null && this.gradFn !== null);
  }
  set requiresGrad(value: boolean) {
    if (this.gradFn !== null) {
      if (!value) throw new AutogradError("requiresGrad: only leaves can be switched off; use detach()");
      return;
    }
    if (value && !isFloating(this.dtype)) {
      throw new DTypeError(`requiresGrad: only floating tensors have gradients, not ${this.dtype}`);
    }
    this.wantsGrad = value;
  }
  requiresGrad_(value = true): this {
    this.requiresGrad = value;
    return this;
  }
  /** dL/d(this), collected by `backward` in leaves that require it. */
  get grad(): Tensor | null {
    this.gradSeen = true;
    return this.gradient;
  }
  set grad(value: Tensor | null) {
    if (value !== null && !sameShape(value.shape, this.shape)) {
      throw new ShapeError(`grad: a gradient of shape ${show(value.shape)} for a tensor of shape ${show(this.shape)}`);
    }
    this.gradient = value;
    this.gradSeen = true;
  }
  /** The gradient, without noting that somebody has seen it. @internal */
  get gradUnseen(): Tensor | null {
    return this.gradient;
  }
  /** @internal */
  setGrad(value: Tensor, exposed: boolean): void {
    this.gradSeen = (this.gradient !== null && this.gradSeen) || exposed;
    this.gradient = value;
  }
  /** Forgets the gradient; its memory is reused at once if nobody has looked at it. @internal */
  dropGrad(): void {
    const g = this.gradient;
    if (g !== null && !this.gradSeen) g.buffer.release();
    this.gradient = null;
    this.gradSeen = false;
  }
  /** Makes a non-leaf keep its `.grad`. */
  retainGrad(): this {
    if (this.isLeaf || this.retains) return this;
    this.retains = true;
    this.registerHook((g) => {
      this.grad = this.gradient === null ? g : this.gradient.add(g);
    });
    return this;
  }
  /** Calls `hook` with the gradient when it arrives; what it returns replaces it. Returns the removal. */
  registerHook(hook: GradHook): () => void {
    if (!this.requiresGrad) throw new AutogradError("registerHook: the tensor does not require a gradient");
    const { node, index } = edgeOf(this) as { node: Node; index: number };
    node.hooks ??= Array.from({ length: node.outputs }, () => []);
    const list = node.hooks[index] as GradHook[];
    list.push(hook);
    return () => {
      const i = list.indexOf(hook);
      if (i >= 0) list.splice(i, 1);
    };
  }
  /**
   * Computes d(this)/d(leaf) for every leaf below and adds it to their `.grad`.
   * https://pytorch.org/docs/stable/generated/torch.Tensor.backward.html
   */
  backward(gradient?: Tensor | null, options: BackwardArguments = {}): void {
    backward([this], [gradient ?? null], options);
  }
  /** The same memory, outside the graph. */
  detach(): Tensor {
    const t = new Tensor(this.buffer, this.device, this.dtype, this.shape, this.strides, this.offset, this.contiguous_);
    return t;
  }
  detach_(): this {
    this.node = null;
    this.tracked = false;
    this.base = null;
    return this;
  }

  /** Takes over another tensor's memory, shape, dtype and device: what Module.to does to parameters. @internal */
  setData(other: Tensor): void {
    const { buffer, device, dtype, shape, strides, offset, contiguous_ } = other;
    Object.assign(this, { buffer, device, dtype, shape, strides, offset, contiguous_ });
    this.history += 1;
  }
  /** @internal */
  get isView(): boolean {
    return this.base !== null;
  }
  /** @internal */
  setBase(source: Tensor): void {
    const base = source.base ?? source;
    this.base = base;
    this.baseHistory = base.history;
  }
  /** The base was changed in place after this view was taken: the view's history is the base's now. */
  private followBase(base: Tensor): void {
    this.baseHistory = base.history;
    this.node = null;
    this.tracked = false;
    if (!base.requiresGrad) return;
    const out = this.detach();
    record("view", [base], [out], [], ([g]) => [v.throughMemory(g as Tensor, this, base)]);
    this.node = out.node;
    this.outputIndex = 0;
    this.tracked = true;
  }
  /** An expanded tensor has fewer elements than its shape says: writing would write some of them twice. @internal */
  checkWritable(name: string): void {
    if (!this.contiguous_ && this.strides.some((s, i) => s === 0 && (this.shape[i] as number) > 1)) {
      throw new ValueError(`${name}_: an expanded tensor shares its elements; clone it before changing it in place`);
    }
  }
  /** A change that will be recorded. @internal */
  checkInPlace(name: string): void {
    const leaf = this.base ?? this;
    if (leaf.gradFn === null && leaf.wantsGrad) refuseInPlaceLeaf(name);
  }
  /** Records an in-place change: `fn` makes the new value from the old, which is then copied in. @internal */
  rebase(name: string, fn: (self: Tensor) => Tensor): this {
    const old = v.clone(this.detach());
    if (this.requiresGrad) {
      old.gradFn = this.gradFn;
      old.outputIndex = this.outputIndex;
      old.tracked = true;
    }
    const next = fn(old);
    v.copyInto(this.detach(), next.detach());
    this.buffer.version += 1;
    const base = this.base;
    if (base === null) {
      this.node = next.gradFn;
      this.outputIndex = next.outputIndex;
      this.tracked = next.requiresGrad;
      this.history += 1;
      return this;
    }
    const before = base.detach();
    if (base.requiresGrad) {
      before.gradFn = base.gradFn;
      before.outputIndex = base.outputIndex;
      before.tracked = true;
    }
    const after = base.detach();
    const everywhere = full(this.shape, true, { dtype: "bool", device: this.device });
    const covered = v.throughMemory(everywhere, this, base);
    record(`${name}_`, [before, next], [after], [], ([g]) => [
      (g as Tensor).maskedFill(covered, 0),
      v.throughMemory(g as Tensor, base, this),
    ]);
    base.node = after.node;
    base.outputIndex = 0;
    base.tracked = true;
    base.history += 1;
    return this;
  }

  // ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** The single element as a number. */
  item(): number {
    if (this.numel() !== 1)
      throw new ShapeError(`item: a tensor of shape ${show(this.shape)} has ${this.numel()} elements, not one`);
    return readScalar(this);
  }
  /** Nested arrays of numbers (booleans for bool); a number for a tensor without dimensions. */
  tolist(): NestedArray {
    const flat = readElements(this);
    const build = (d: number, at: number, span: number): NestedArray => {
      if (d === this.ndim) {
        const x = flat[at] as number | bigint;
        return this.dtype === "bool" ? Number(x) !== 0 : Number(x);
      }
      const n = this.shape[d] as number;
      const step = n === 0 ? 0 : span / n;
      return Array.from({ length: n }, (_, i) => build(d + 1, at + i * step, step));
    };
    return build(0, 0, flat.length);
  }
  /** A copy of the elements in row-major order, as the typed array of the dtype (float32 values for 16-bit floats). */
  toTypedArray(): TypedArray {
    return readElements(this);
  }
  toString(): string {
    return formatTensor(this);
  }
  /** @internal */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return formatTensor(this);
  }
  get [Symbol.toStringTag](): string {
    return "Tensor";
  }
  /** Comparing or adding tensors with JavaScript's operators would compare or add references. */
  [Symbol.toPrimitive](hint: string): string | number {
    if (hint === "string") return formatTensor(this);
    if (this.numel() === 1) return this.item();
    throw new CressetError("a tensor has no primitive value; use .add, .mul, .eq … instead of operators");
  }
  *[Symbol.iterator](): IterableIterator<Tensor> {
    if (this.ndim === 0) throw new ShapeError("iteration over a tensor without dimensions");
    for (let i = 0; i < (this.shape[0] as number); i++) yield this.select(0, i);
  }
  /** Returns the memory at once; the tensor must not be used again. Never required. */
  dispose(): void {
    this.buffer.release();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

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
    return v.expand(this, many(shape));
  }
  expandAs(other: Tensor): Tensor {
    return v.expand(this, other.shape);
  }
  broadcastTo(shape: Shape): Tensor {
    return v.expand(this, shape);
  }
  repeat(...times: Many<number>): Tensor {
    return v.repeat(this, many(times));
  }
  tile(...times: Many<number>): Tensor {
    const t = many(times);
    return v.repeat(this, [...new Array<number>(Math.max(0, this.ndim - t.length)).fill(1), ...t]);
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
    const shape = v.expand(mask, e.eq.call(this.detach(), mask.detach()).shape).shape;
    return ix.indexTensor(v.expand(this, shape), [v.expand(mask, shape)]);
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

  // ── Arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────────
  /** x + alpha·y */
  add(other: Operand, o?: { alpha?: number }): Tensor {
    return o?.alpha === undefined || o.alpha === 1 ? e.add.call(this, other) : e.addScaled.call(this, other, o.alpha);
  }
  sub(other: Operand, o?: { alpha?: number }): Tensor {
    return o?.alpha === undefined || o.alpha === 1 ? e.sub.call(this, other) : e.subScaled.call(this, other, o.alpha);
  }
  mul(other: Operand): Tensor {
    return e.mul.call(this, other);
  }
  div(other: Operand, o?: { roundingMode?: "trunc" | "floor" | null }): Tensor {
    if (o?.roundingMode === "floor") return e.divFloor.call(this, other);
    return o?.roundingMode === "trunc" ? e.divTrunc.call(this, other) : e.div.call(this, other);
  }
  floorDivide(other: Operand): Tensor {
    return e.divFloor.call(this, other);
  }
  fmod(other: Operand): Tensor {
    return e.fmod.call(this, other);
  }
  remainder(other: Operand): Tensor {
    return e.remainder.call(this, other);
  }
  pow(exponent: Operand): Tensor {
    if (exponent === 2 && this.dtype !== "bool") return e.square.call(this);
    if (typeof exponent === "number" && exponent < 0 && Number.isInteger(exponent) && !isFloating(this.dtype)) {
      throw new ValueError("pow: integers to negative powers are not integers; convert with .float()");
    }
    return e.pow.call(this, exponent);
  }
  neg(): Tensor {
    return e.neg.call(this);
  }
  abs(): Tensor {
    return e.abs.call(this);
  }
  sign(): Tensor {
    return e.sign.call(this);
  }
  reciprocal(): Tensor {
    return e.reciprocal.call(this);
  }
  square(): Tensor {
    return e.square.call(this);
  }
  sqrt(): Tensor {
    return e.sqrt.call(this);
  }
  rsqrt(): Tensor {
    return e.rsqrt.call(this);
  }
  exp(): Tensor {
    return e.exp.call(this);
  }
  exp2(): Tensor {
    return e.exp2.call(this);
  }
  expm1(): Tensor {
    return e.expm1.call(this);
  }
  log(): Tensor {
    return e.log.call(this);
  }
  log1p(): Tensor {
    return e.log1p.call(this);
  }
  log2(): Tensor {
    return e.log2.call(this);
  }
  log10(): Tensor {
    return e.log10.call(this);
  }
  sin(): Tensor {
    return e.sin.call(this);
  }
  cos(): Tensor {
    return e.cos.call(this);
  }
  tan(): Tensor {
    return e.tan.call(this);
  }
  asin(): Tensor {
    return e.asin.call(this);
  }
  acos(): Tensor {
    return e.acos.call(this);
  }
  atan(): Tensor {
    return e.atan.call(this);
  }
  atan2(other: Operand): Tensor {
    return e.atan2.call(this, other);
  }
  sinh(): Tensor {
    return e.sinh.call(this);
  }
  cosh(): Tensor {
    return e.cosh.call(this);
  }
  tanh(): Tensor {
    return e.tanh.call(this);
  }
  asinh(): Tensor {
    return e.asinh.call(this);
  }
  acosh(): Tensor {
    return e.acosh.call(this);
  }
  atanh(): Tensor {
    return e.atanh.call(this);
  }
  erf(): Tensor {
    return e.erf.call(this);
  }
  sigmoid(): Tensor {
    return e.sigmoid.call(this);
  }
  relu(): Tensor {
    return e.relu.call(this);
  }
  floor(): Tensor {
    return e.floor.call(this);
  }
  ceil(): Tensor {
    return e.ceil.call(this);
  }
  round(): Tensor {
    return e.round.call(this);
  }
  trunc(): Tensor {
    return e.trunc.call(this);
  }
  frac(): Tensor {
    return e.frac.call(this);
  }
  clamp(min?: Operand | null | { min?: Operand; max?: Operand }, max?: Operand | null): Tensor {
    let lo = min as Operand | null | undefined;
    let hi = max;
    if (typeof min === "object" && min !== null && !(min instanceof Tensor)) {
      lo = min.min;
      hi = min.max;
    }
    if (lo !== undefined && lo !== null && hi !== undefined && hi !== null) return e.clamp.call(this, lo, hi);
    if (lo !== undefined && lo !== null) return e.clampMin.call(this, lo);
    if (hi !== undefined && hi !== null) return e.clampMax.call(this, hi);
    throw new ValueError("clamp: needs a lower or an upper bound");
  }
  clip(min?: Operand | null, max?: Operand | null): Tensor {
    return this.clamp(min, max);
  }
  maximum(other: Operand): Tensor {
    return e.maximum.call(this, other);
  }
  minimum(other: Operand): Tensor {
    return e.minimum.call(this, other);
  }
  lerp(end: Tensor, weight: Operand): Tensor {
    return e.lerp.call(this, end, weight);
  }
  addcmul(a: Tensor, b: Tensor, o: { value?: number } = {}): Tensor {
    return e.addcmul.call(this, a, b, o.value ?? 1);
  }
  addcdiv(a: Tensor, b: Tensor, o: { value?: number } = {}): Tensor {
    return e.addcdiv.call(this, a, b, o.value ?? 1);
  }

  // ── Comparison and logic ──────────────────────────────────────────────────────────────────────────────────────────
  eq(other: Operand): Tensor {
    return e.eq.call(this, other);
  }
  ne(other: Operand): Tensor {
    return e.ne.call(this, other);
  }
  lt(other: Operand): Tensor {
    return e.lt.call(this, other);
  }
  le(other: Operand): Tensor {
    return e.le.call(this, other);
  }
  gt(other: Operand): Tensor {
    return e.gt.call(this, other);
  }
  ge(other: Operand): Tensor {
    return e.ge.call(this, other);
  }
  isnan(): Tensor {
    return e.isnan.call(this);
  }
  isinf(): Tensor {
    return e.isinf.call(this);
  }
  isfinite(): Tensor {
    return e.isfinite.call(this);
  }
  logicalAnd(other: Operand): Tensor {
    return e.logicalAnd.call(this, other);
  }
  logicalOr(other: Operand): Tensor {
    return e.logicalOr.call(this, other);
  }
  logicalXor(other: Operand): Tensor {
    return e.logicalXor.call(this, other);
  }
  logicalNot(): Tensor {
    return e.logicalNot.call(this);
  }
  bitwiseAnd(other: Operand): Tensor {
    return e.bitwiseAnd.call(this, other);
  }
  bitwiseOr(other: Operand): Tensor {
    return e.bitwiseOr.call(this, other);
  }
  bitwiseXor(other: Operand): Tensor {
    return e.bitwiseXor.call(this, other);
  }
  bitwiseNot(): Tensor {
    return e.bitwiseNot.call(this);
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
  sum(dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.sum(this, dim, o);
  }
  mean(dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.mean(this, dim, o);
  }
  prod(dim?: number | null, o?: r.ReduceOptions): Tensor {
    return r.prod(this, dim, o);
  }
  var(dim?: r.Dims, o?: r.VarianceOptions): Tensor {
    return r.variance(this, dim, o);
  }
  std(dim?: r.Dims, o?: r.VarianceOptions): Tensor {
    return r.std(this, dim, o);
  }
  amax(dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.amax(this, dim, o);
  }
  amin(dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.amin(this, dim, o);
  }
  /** The largest element; with a dimension, the largest along it and where they are. */
  max(): Tensor;
  max(dim: number, o?: r.ReduceOptions): ExtremeResult;
  max(dim?: number, o: r.ReduceOptions = {}): Tensor | ExtremeResult {
    return dim === undefined ? r.amax(this) : r.extremeWithIndex("max", this, dim, o.keepdim ?? false);
  }
  min(): Tensor;
  min(dim: number, o?: r.ReduceOptions): ExtremeResult;
  min(dim?: number, o: r.ReduceOptions = {}): Tensor | ExtremeResult {
    return dim === undefined ? r.amin(this) : r.extremeWithIndex("min", this, dim, o.keepdim ?? false);
  }
  argmax(dim?: number | null, o: r.ReduceOptions = {}): Tensor {
    return r.argExtreme("max", this, dim, o.keepdim ?? false);
  }
  argmin(dim?: number | null, o: r.ReduceOptions = {}): Tensor {
    return r.argExtreme("min", this, dim, o.keepdim ?? false);
  }
  any(dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.any(this, dim, o);
  }
  all(dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.all(this, dim, o);
  }
  norm(p = 2, dim?: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.norm(this, p, dim, o);
  }
  logsumexp(dim: r.Dims, o?: r.ReduceOptions): Tensor {
    return r.logsumexp(this, dim, o);
  }
  countNonzero(dim?: r.Dims): Tensor {
    return this.detach().ne(0).sum(dim);
  }
  median(): Tensor;
  median(dim: number, o?: r.ReduceOptions): ExtremeResult;
  median(dim?: number, o: r.ReduceOptions = {}): Tensor | ExtremeResult {
    const result = so.median(this, dim, o.keepdim ?? false);
    return dim === undefined ? result.values : result;
  }
  cumsum(dim: number): Tensor {
    return r.cumulative("sum", this, dim);
  }
  cumprod(dim: number): Tensor {
    return r.cumulative("prod", this, dim);
  }
  softmax(dim: number): Tensor {
    return nm.softmax(this, dim);
  }
  logSoftmax(dim: number): Tensor {
    return nm.logSoftmax(this, dim);
  }
  sort(dim = -1, o?: so.SortOptions): ExtremeResult {
    return so.sort(this, dim, o);
  }
  argsort(dim = -1, o?: so.SortOptions): Tensor {
    return so.argsort(this, dim, o);
  }
  topk(k: number, dim = -1, o?: so.TopkOptions): ExtremeResult {
    return so.topk(this, k, dim, o);
  }

  // ── Products ──────────────────────────────────────────────────────────────────────────────────────────────────────
  matmul(other: Tensor): Tensor {
    return mm.matmul(this, other);
  }
  mm(other: Tensor): Tensor {
    return mm.mm(this, other);
  }
  bmm(other: Tensor): Tensor {
    return mm.bmm(this, other);
  }
  mv(other: Tensor): Tensor {
    return mm.mv(this, other);
  }
  dot(other: Tensor): Tensor {
    return mm.dotProduct(this, other);
  }
  outer(other: Tensor): Tensor {
    return mm.outer(this, other);
  }
  addmm(x: Tensor, y: Tensor, o?: { beta?: number; alpha?: number }): Tensor {
    return mm.addmm(this, x, y, o);
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
    v.expand(source.detach(), this.shape); // the shapes are checked before anything changes
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
