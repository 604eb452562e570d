/**
 * What every tensor is before any operation: a typed, strided view of device memory, its place on the tape, and how it is read.
 * The operations are methods of math.ts and tensor.ts.
 */
import { type BackwardArguments, backward } from "../autograd/backward.js";
import { type Deferred, edgeOf, type Gradient, type Node, record } from "../autograd/tape.js";
import type { Device } from "../device/device.js";
import type { Buffer } from "../device/engine.js";
import { AutogradError, CressetError, DTypeError, ShapeError, ValueError } from "../errors.js";
import { capturing, structureChanged } from "../ops/capture.js";
import { wrap } from "../ops/core.js";
import { full, type NestedArray, type TypedArray } from "../ops/creation.js";
import { type DType, isFloating, itemBytes } from "../ops/dtype.js";
import { refuseInPlaceLeaf } from "../ops/elementwise.js";
import { numelOf, type Shape, sameShape, show, wrapDim } from "../ops/shape.js";
import * as v from "../ops/view.js";
import { formatTensor } from "./format.js";
import { readElements, readScalar } from "./read.js";
import type { Tensor } from "./tensor.js";

export type GradHook = (grad: Tensor) => Tensor | null | undefined | void;

/** Every tensor is a Tensor: the classes below it are only where its methods are written. */
const self = (t: TensorBase): Tensor => t as Tensor;

export abstract class TensorBase {
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
  /** @internal */ accumulator: Node | null = null;
  private wantsGrad = false;
  private gradient: Tensor | null = null;
  private uncomputed: Deferred | null = null;
  private gradSeen = false;
  private retains = false;
  /** The tensor whose memory this is a view of, and its history's length when the view was taken. */
  private base: TensorBase | null = null;
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
    return this.wantsGrad || this.gradFn !== null;
  }
  set requiresGrad(value: boolean) {
    if (this.gradFn !== null) {
      if (!value) throw new AutogradError("requiresGrad: only leaves can be switched off; use detach()");
      return;
    }
    if (value && !isFloating(this.dtype)) {
      throw new DTypeError(`requiresGrad: only floating tensors have gradients, not ${this.dtype}`);
    }
    if (value !== this.wantsGrad) structureChanged(this.buffer);
    this.wantsGrad = value;
  }
  requiresGrad_(value = true): this {
    this.requiresGrad = value;
    return this;
  }
  /** dL/d(this), collected by `backward` in leaves that require it. */
  get grad(): Tensor | null {
    this.gradSeen = true;
    return this.gradUnseen;
  }
  set grad(value: Tensor | null) {
    capturing()?.gradientChanges(self(this), false);
    if (value !== null && !sameShape(value.shape, this.shape)) {
      throw new ShapeError(`grad: a gradient of shape ${show(value.shape)} for a tensor of shape ${show(this.shape)}`);
    }
    this.dropGrad();
    this.gradient = value;
    this.gradSeen = true;
  }
  /** The gradient, without noting that somebody has seen it. @internal */
  get gradUnseen(): Tensor | null {
    capturing()?.gradientChanges(self(this), false);
    if (this.uncomputed !== null) {
      this.gradient = this.uncomputed.compute();
      this.gradient.buffer.claimed = true;
      this.uncomputed.release();
      this.uncomputed = null;
    }
    return this.gradient;
  }
  /** The gradient as it is, perhaps not yet computed. @internal */
  get gradOrDeferred(): Gradient | null {
    return this.uncomputed ?? this.gradient;
  }
  /** Keeps a gradient to be computed when it is read; there must be none yet. @internal */
  setDeferred(value: Deferred): void {
    capturing()?.gradientChanges(self(this), false);
    this.uncomputed = value;
    this.gradSeen = false;
  }
  /** @internal */
  setGrad(value: Tensor, exposed: boolean): void {
    capturing()?.gradientChanges(self(this), false);
    this.gradSeen = (this.gradient !== null && this.gradSeen) || exposed;
    this.gradient = value;
  }
  /** Forgets the gradient; its memory is reused at once if nobody has looked at it. @internal */
  dropGrad(): void {
    capturing()?.gradientChanges(self(this), true);
    const g = this.gradient;
    if (g !== null && !this.gradSeen) g.buffer.release();
    this.uncomputed?.release();
    this.uncomputed = null;
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
    const { node, index } = edgeOf(self(this)) as { node: Node; index: number };
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
    backward([self(this)], [gradient ?? null], options);
  }
  /** The same memory, outside the graph. */
  detach(): Tensor {
    return wrap(this.buffer, this.device, this.dtype, this.shape, this.strides, this.offset, this.contiguous_);
  }
  detach_(): this {
    this.node = null;
    this.base = null;
    return this;
  }

  /** Takes over another tensor's memory, shape, dtype and device: what Module.to does to parameters. @internal */
  setData(other: Tensor): void {
    const { buffer, device, dtype, shape, strides, offset, contiguous_ } = other;
    structureChanged(this.buffer);
    Object.assign(this, { buffer, device, dtype, shape, strides, offset, contiguous_ });
    this.history += 1;
  }
  /** @internal */
  get isView(): boolean {
    return this.base !== null;
  }
  /** @internal */
  setBase(source: Tensor): void {
    const base: TensorBase = source.base ?? source;
    this.base = base;
    this.baseHistory = base.history;
  }
  /** The base was changed in place after this view was taken: the view's history is the base's now. */
  private followBase(base: TensorBase): void {
    this.baseHistory = base.history;
    this.node = null;
    if (!base.requiresGrad) return;
    const out = this.detach();
    record("view", [self(base)], [out], [], ([g]) => [v.throughMemory(g as Tensor, this, base)]);
    this.node = out.node;
    this.outputIndex = 0;
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
  /** Gives `t`, which holds this tensor's values, its place on the tape. */
  private historyOn(t: Tensor): Tensor {
    t.gradFn = this.gradFn;
    t.outputIndex = this.outputIndex;
    return t;
  }
  /** Records an in-place change: `fn` makes the new value from the old, which is then copied in. @internal */
  rebase(name: string, fn: (self: Tensor) => Tensor): this {
    const old = this.historyOn(v.clone(this.detach()));
    const next = fn(old);
    v.copyInto(this.detach(), next.detach());
    this.buffer.version += 1;
    const base = this.base;
    if (base === null) {
      this.node = next.gradFn;
      this.outputIndex = next.outputIndex;
      this.history += 1;
      return this;
    }
    const before = base.historyOn(base.detach());
    const after = base.detach();
    const everywhere = full(this.shape, true, { dtype: "bool", device: this.device });
    const covered = v.throughMemory(everywhere, this, base);
    record(`${name}_`, [before, next], [after], [], ([g]) => [
      (g as Tensor).maskedFill(covered, 0),
      v.throughMemory(g as Tensor, base, this),
    ]);
    base.node = after.node;
    base.outputIndex = 0;
    base.history += 1;
    return this;
  }

  // ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** The single element as a number. */
  item(): number {
    if (this.numel() !== 1)
      throw new ShapeError(`item: a tensor of shape ${show(this.shape)} has ${this.numel()} elements, not one`);
    return readScalar(self(this));
  }
  /** Nested arrays of numbers (booleans for bool); a number for a tensor without dimensions. */
  tolist(): NestedArray {
    const flat = readElements(self(this));
    const bool = this.dtype === "bool";
    const row = (from: number, to: number): (number | boolean)[] => {
      const out: (number | boolean)[] = [];
      for (let i = from; i < to; i++) out.push(bool ? flat[i] !== 0 : Number(flat[i]));
      return out;
    };
    const build = (d: number, at: number, span: number): NestedArray => {
      if (d === this.ndim - 1) return row(at, at + span);
      const n = this.shape[d] as number;
      const step = n === 0 ? 0 : span / n;
      return Array.from({ length: n }, (_, i) => build(d + 1, at + i * step, step));
    };
    return this.ndim === 0 ? (row(0, 1)[0] as number | boolean) : build(0, 0, flat.length);
  }
  /** A copy of the elements in row-major order, as the typed array of the dtype (float32 values for 16-bit floats). */
  toTypedArray(): TypedArray {
    return readElements(self(this));
  }
  toString(): string {
    return formatTensor(self(this));
  }
  /** @internal */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return formatTensor(self(this));
  }
  /** What notebooks show. @internal */
  [Symbol.for("Jupyter.display")](): Record<string, string> {
    return { "text/plain": formatTensor(self(this)) };
  }
  get [Symbol.toStringTag](): string {
    return "Tensor";
  }
  /** Comparing or adding tensors with JavaScript's operators would compare or add references. */
  [Symbol.toPrimitive](hint: string): string | number {
    if (hint === "string") return formatTensor(self(this));
    if (this.numel() === 1) return this.item();
    throw new CressetError("a tensor has no primitive value; use .add, .mul, .eq … instead of operators");
  }
  *[Symbol.iterator](): IterableIterator<Tensor> {
    if (this.ndim === 0) throw new ShapeError("iteration over a tensor without dimensions");
    for (let i = 0; i < (this.shape[0] as number); i++) yield self(this).select(0, i);
  }
  /** Returns the memory at once; the tensor must not be used again. Never required. */
  dispose(): void {
    this.buffer.release();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
