/**
 * Expansion and summation. Each is the other's gradient, so they stand together, and what broadcasts rests on them: `sumTo` is
 * handed to the element-wise operations, below.
 */
import { ShapeError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import { isFloating } from "./dtype.js";
import { setSumTo } from "./elementwise.js";
import { arg, type Dims, fold, keeps, kept, type ReduceOptions, row, space, withGradient } from "./fold.js";
import { Rows } from "./rows.js";
import { expandView, type Shape, sameShape, show } from "./shape.js";
import { cast, clone, reshape, view } from "./view.js";

/** Repeats dimensions of size 1 without copying; −1 keeps a size. */
export function expand(x: Tensor, to: Shape): Tensor {
  if (sameShape(x.shape, to)) return x;
  const { shape, strides } = expandView(x.shape, x.strides, to);
  const from = x.shape;
  return view("expand", x, shape, strides, x.offset, (g) => sumTo(g, from));
}

/** The tensor repeated along each dimension, copied. */
export function repeat(x: Tensor, times: readonly number[]): Tensor {
  if (times.length < x.shape.length)
    throw new ShapeError(`repeat: ${show(times)} has fewer entries than ${show(x.shape)} has dimensions`);
  const lead = times.length - x.shape.length;
  const padded = reshape(x, [...new Array<number>(lead).fill(1), ...x.shape]);
  const split = padded.shape.flatMap((n) => [1, n]);
  const wide = padded.shape.flatMap((n, i) => [times[i] as number, n]);
  return reshape(
    clone(expand(reshape(padded, split), wide)),
    padded.shape.map((n, i) => n * (times[i] as number)),
  );
}

const sumRows = new Rows("sum", 1, (x) => row(k.reduce("sum", arg(x))));

export function sum(x: Tensor, dims?: Dims, o: ReduceOptions = {}): Tensor {
  const keepdim = keeps("sum", o);
  const s = space("sum", x, dims);
  const dtype = o.dtype ?? (isFloating(x.dtype) ? x.dtype : "int64");
  const { shape, dtype: from } = x;
  const out = fold(sumRows, x, s, keepdim, dtype, dtype);
  return withGradient("sum", x, out, [], (g) => cast(expand(kept(g, s), shape), from));
}

/** Folds a broadcast gradient back to `shape`. */
export function sumTo(g: Tensor, shape: Shape): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const lead = g.shape.length - shape.length;
  const dims: number[] = [];
  for (let i = 0; i < g.shape.length; i++) {
    if (i < lead || (shape[i - lead] === 1 && g.shape[i] !== 1)) dims.push(i);
  }
  return reshape(dims.length === 0 ? g : sum(g, dims, { keepdim: true }), shape);
}
setSumTo(sumTo);
