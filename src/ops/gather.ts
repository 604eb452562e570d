/** Elements picked along one dimension by a tensor of numbers, and put back there. */
import { record, records } from "../autograd/tape.js";
import { DTypeError, ShapeError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { expand } from "./broadcast.js";
import { positionsLike, scalarLike } from "./creation.js";
import { isFloating } from "./dtype.js";
import { checkedIndices, offsetsOf, put, scaled, take, zeroAt } from "./offsets.js";
import { contiguousStrides, show, wrapDim } from "./shape.js";
import { clone, reshape, slice } from "./view.js";

/** out[i][j] = x[index[i][j]][j] (for dim 0). https://pytorch.org/docs/stable/generated/torch.gather.html */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const [p, q] = alongDim("gather", x, dim, index);
  return take(x, p, q);
}

function alongDim(op: string, x: Tensor, dim: number, index: Tensor): [Tensor, Tensor] {
  if (x.shape.length === 0) return [checkedIndices(op, index, 1), reshape(positionsLike(1, x), [])];
  const d = wrapDim(op, dim, x.shape.length);
  if (index.shape.length !== x.shape.length || index.shape.some((n, i) => i !== d && n > (x.shape[i] as number))) {
    throw new ShapeError(`${op}: index ${show(index.shape)} does not fit ${show(x.shape)} outside dimension ${d}`);
  }
  const strides = contiguousStrides(x.shape);
  const i = checkedIndices(op, index, x.shape[d] as number);
  return [scaled(i, strides[d] as number), offsetsOf(index.shape, strides, x, (e) => e !== d)];
}

function scattered(
  op: string,
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor | number,
  accumulate: boolean,
): Tensor {
  const src = typeof source === "number" ? expand(scalarLike(source, x), index.shape) : source;
  if (src.dtype !== x.dtype) throw new DTypeError(`${op}: the source is ${src.dtype} and the target ${x.dtype}`);
  const [p, q] = alongDim(op, x, dim, index);
  const part = src.shape.some((n, i) => n !== index.shape[i])
    ? index.shape.reduce<Tensor>((s, n, i) => slice(s, i, 0, n), src)
    : src;
  const out = clone(x.detach());
  put(out, part, p, q, accumulate);
  if (records([x, part]) && isFloating(x.dtype)) {
    record(op, [x, part], [out], [], ([g]) => {
      const gx = accumulate ? (g as Tensor) : zeroAt(g as Tensor, p, q);
      return [gx, take(g as Tensor, p, q)];
    });
  }
  return out;
}

export const scatter = (x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor =>
  scattered("scatter", x, dim, index, source, false);
export const scatterAdd = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  scattered("scatterAdd", x, dim, index, source, true);

/** Elements of the flattened tensor. */
export function takeFlat(x: Tensor, index: Tensor): Tensor {
  const i = checkedIndices("take", index, x.numel());
  return take(
    x,
    i,
    reshape(
      positionsLike(1, x),
      i.shape.map(() => 1),
    ),
  );
}
