/**
 * What all indexing by tensors comes down to: two kernels over memory offsets, `take` (out = x[a + b]) and `put` (x[a + b] = v, or
 * += v), where a and b are broadcast int32 offset tensors that ordinary operations compute. Which offsets an operation means is
 * for `gather.ts` and `indexing.ts` to say.
 */
import { record, records } from "../autograd/tape.js";
import { DTypeError, IndexError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { expand } from "./broadcast.js";
import { capturing } from "./capture.js";
import { emptyTensor, LoopFamily, viewAt } from "./core.js";
import { positionsLike } from "./creation.js";
import { isFloating, isInteger } from "./dtype.js";
import { Rows } from "./rows.js";
import { broadcast, contiguousStrides, numelOf, type Shape } from "./shape.js";
import { cast, clone, contiguous, copyInto, fill, reshape } from "./view.js";

const at = (load: (i: number) => k.Expr, i: number): k.Expr => k.cast(load(i), "i32");

const takeFamily = new LoopFamily(
  {
    name: "take",
    build: (load) => {
      const x = load(0);
      return [{ value: k.gather(0, x.type, k.add(at(load, 1), at(load, 2))), per: "element" }];
    },
  },
  [],
);
const putFamily = (accumulate: boolean): LoopFamily =>
  new LoopFamily(
    {
      name: accumulate ? "putAdd" : "put",
      build: (load) => [{ value: load(0), per: "element", at: k.add(at(load, 1), at(load, 2)), accumulate }],
    },
    [],
  );
const putSet = putFamily(false);
const putAdd = putFamily(true);

/** x (contiguous, seen flat) at offsets p + q. */
export function take(x: Tensor, p: Tensor, q: Tensor): Tensor {
  const shape = broadcast("index", p.shape, q.shape);
  const flat = contiguous(x.detach());
  const out = emptyTensor(shape, x.dtype, x.device);
  if (out.numel() > 0) {
    takeFamily.run(
      [flat, p, q, out],
      3,
      shape,
      [],
      [shape.map(() => 0), viewAt(p, shape), viewAt(q, shape), out.strides],
      [],
    );
  }
  if (records([x]) && isFloating(x.dtype)) {
    const whole = x.shape;
    record("index", [x], [out], [], ([g]) => [putNew(g as Tensor, whole, p, q)]);
  }
  return out;
}

/** Zeros of `shape` with g added at offsets p + q. */
function putNew(g: Tensor, shape: Shape, p: Tensor, q: Tensor): Tensor {
  const out = emptyTensor(shape, g.dtype, g.device);
  fill(out, 0);
  put(out, g, p, q, true);
  if (records([g])) record("indexPut", [g], [out], [], ([gg]) => [take(gg as Tensor, p, q)]);
  return out;
}

/** Writes into contiguous `x`, unrecorded. 16-bit floats cannot accumulate bit by bit, so they go through float32. */
export function put(x: Tensor, v: Tensor, p: Tensor, q: Tensor, accumulate: boolean): void {
  const shape = broadcast("index", p.shape, q.shape);
  if (numelOf(shape) === 0) return;
  if (accumulate && (x.dtype === "float16" || x.dtype === "bfloat16")) {
    const wide = cast(x.detach(), "float32");
    put(wide, cast(v.detach(), "float32"), p, q, true);
    copyInto(x, wide);
    return;
  }
  const value = cast(expand(v.detach(), shape), x.dtype);
  const zero = shape.map(() => 0);
  (accumulate ? putAdd : putSet).run(
    [value, p, q, x],
    3,
    shape,
    [],
    [value.strides, viewAt(p, shape), viewAt(q, shape), zero],
    [],
  );
}

/** A copy of g with zeros at the offsets. */
export function zeroAt(g: Tensor, p: Tensor, q: Tensor): Tensor {
  const out = clone(g.detach());
  put(out, reshape(cast(positionsLike(1, g), g.dtype), []), p, q, false);
  if (records([g])) record("zeroAt", [g], [out], [], ([gg]) => [zeroAt(gg as Tensor, p, q)]);
  return out;
}

const extremeRows = new Rows("aminmax", 1, ([x]) => [
  { per: "row", value: k.reduce("min", x as k.Expr) },
  { per: "row", value: k.reduce("max", x as k.Expr) },
]);
/** The least and the greatest of integers, in one pass. */
export const extremes = (x: Tensor): readonly Tensor[] =>
  extremeRows.foldAll([x.detach()], x.shape, x.dtype, [x.dtype, x.dtype]);

/** Indices checked to lie in least … n−1, and made 0 … n−1. */
export function checkedIndices(op: string, index: Tensor, n: number, least = -n): Tensor {
  if (!isInteger(index.dtype)) throw new DTypeError(`${op}: indices must be integers, not ${index.dtype}`);
  const i = cast(index.detach(), "int32");
  if (i.numel() === 0) return i;
  const check = ([low, high]: readonly number[]): void => {
    if ((low as number) >= least && (high as number) < n) return;
    const wrong = (low as number) < least ? low : high;
    throw new IndexError(`${op}: index ${wrong} is out of range for a dimension of size ${n}`);
  };
  const capture = capturing();
  const found = extremes(i);
  let negative = least < 0;
  if (capture !== null) capture.inspect(found, check);
  else {
    const numbers = found.map((t) => t.item());
    check(numbers);
    negative = (numbers[0] as number) < 0;
  }
  return negative ? a.whereSelect.call(a.add.call(i, n), i, a.lt.call(i, 0)) : i;
}

/** Offsets of positions that lie so far apart. */
export const scaled = (positions: Tensor, stride: number): Tensor =>
  stride === 1 ? positions : a.mul.call(positions, stride);

/** Offsets of positions 0 … n−1 of each of the dimensions, summed and broadcast to their sizes. */
export function offsetsOf(shape: Shape, strides: Shape, like: Tensor, only: (d: number) => boolean): Tensor {
  let total: Tensor | null = null;
  for (let d = 0; d < shape.length; d++) {
    const n = shape[d] as number;
    if (!only(d) || n === 1) continue;
    const along = reshape(
      scaled(positionsLike(n, like), strides[d] as number),
      shape.map((_, i) => (i === d ? n : 1)),
    );
    total = total === null ? along : a.add.call(total, along);
  }
  return (
    total ??
    reshape(
      positionsLike(1, like),
      shape.map(() => 1),
    )
  );
}

/** Zeros of `shape` with g, which has the shape of `indices`, added along one dimension where the indices say. */
export function putAlong(g: Tensor, indices: Tensor, shape: Shape, dim: number): Tensor {
  const strides = contiguousStrides(shape);
  const rest = offsetsOf(indices.shape, strides, g, (d) => d !== dim);
  return putNew(g, shape, scaled(indices, strides[dim] as number), rest);
}
