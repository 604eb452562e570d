/**
 * The outer product of two vectors, as the gradient of a matrix that met one row: m·n numbers that m + n numbers tell.
 * A large one is left uncomputed until somebody reads it.
 */
import type { Deferred, Gradient } from "../autograd/tape.js";
import type { Buffer } from "../device/engine.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import { capturing } from "./capture.js";
import { emptyTensor, freshBuffer, LoopFamily, wrap } from "./core.js";
import { itemBytes } from "./dtype.js";
import { numelOf, type Shape } from "./shape.js";
import { clone } from "./view.js";

const family = new LoopFamily(
  { name: "outer", build: (load) => [{ value: k.mul(load(0), load(1)), per: "element" }] },
  [],
);

/** From here on the copies of both vectors cost less than writing the product and reading it back. */
const worthDeferring = 1 << 14;

export class OuterProduct implements Deferred {
  readonly deferred = true;
  private kept = false;
  /** Contiguous vectors of any shape, of as many numbers as `shape` has rows and columns. */
  constructor(
    public column: Tensor,
    public row: Tensor,
    readonly shape: Shape,
  ) {}

  compute(): Tensor {
    const [m, n] = this.shape as [number, number];
    const out = emptyTensor(this.shape, this.column.dtype, this.column.device);
    family.runPlane("map", [this.column, this.row, out], 2, m, n, [1, 0, n], [0, 1, 1], []);
    return out;
  }

  keep(): readonly Buffer[] {
    const { column, row } = this;
    const { device, dtype } = column;
    const { engine } = device;
    this.kept = true;
    if (engine.copy === undefined || capturing() !== null) {
      this.column = clone(column);
      this.row = clone(row);
      return [this.column.buffer, this.row.buffer];
    }
    const bytes = itemBytes[dtype];
    const start = alignment * Math.ceil((column.numel() * bytes) / alignment);
    const buffer = freshBuffer(start + row.numel() * bytes, device);
    engine.copy(column.buffer, column.offset * bytes, buffer, 0, column.numel() * bytes);
    engine.copy(row.buffer, row.offset * bytes, buffer, start, row.numel() * bytes);
    this.column = wrap(buffer, device, dtype, column.shape, column.strides, 0, true);
    this.row = wrap(buffer, device, dtype, row.shape, row.strides, start / bytes, true);
    return [buffer];
  }

  release(): void {
    if (!this.kept) return;
    this.column.buffer.release();
    this.row.buffer.release();
  }
}

/** Of what engines allocate, and so of the second vector too. */
const alignment = 64;

/** column ⊗ row, at once where it is small. */
export function outerGradient(column: Tensor, row: Tensor, shape: Shape): Gradient {
  const product = new OuterProduct(column, row, shape);
  return numelOf(shape) < worthDeferring ? product.compute() : product;
}
