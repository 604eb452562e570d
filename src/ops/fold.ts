/** What reductions share: the dimensions that are folded, the call of the kernel, and how a gradient is recorded. */
import { record, records } from "../autograd/tape.js";
import { ValueError } from "../errors.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { type DType, isFloating } from "./dtype.js";
import type { RowOutput, Rows } from "./rows.js";
import { numelOf, type Shape, wrapDims } from "./shape.js";
import { reshape } from "./view.js";

export type Dims = number | readonly number[] | null | undefined;
export interface ReduceOptions {
  keepdim?: boolean;
  dtype?: DType;
}

/** Whether the folded dimensions stay; `sum(1, true)` is PyTorch's way to say it, and not this one's. */
export function keeps(op: string, o: ReduceOptions): boolean {
  if (typeof o !== "object" || o === null)
    throw new ValueError(`${op}: the options are ${String(o)}; write ${op}(…, { keepdim: true })`);
  return o.keepdim ?? false;
}

/** One number a row. */
export const row = (value: Expr): RowOutput[] => [{ per: "row", value }];
export const arg = (args: readonly Expr[], i = 0): Expr => args[i] as Expr;

/** The dimensions that a reduction folds, how many elements that is, and the shape that keeps them as size 1. */
export interface Space {
  readonly dims: number[];
  readonly count: number;
  readonly keptShape: Shape;
}

export function space(op: string, x: Tensor, dims: Dims): Space {
  const list = wrapDims(op, dims, x.shape.length);
  const set = new Set(list);
  return {
    dims: list,
    count: numelOf(list.map((d) => x.shape[d] as number)),
    keptShape: x.shape.map((n, i) => (set.has(i) ? 1 : n)),
  };
}

export function fold(
  rows: Rows,
  x: Tensor,
  s: Space,
  keepdim: boolean,
  compute: DType,
  out: DType,
  scalars: readonly number[] = [],
): Tensor {
  return rows.call({
    inputs: [x],
    shape: x.shape,
    dims: s.dims,
    compute,
    outputs: [out],
    scalars,
    keepdim,
  })[0] as Tensor;
}

/** A gradient with the folded dimensions back as size 1, so that it broadcasts against the input. */
export const kept = (g: Tensor, s: Space): Tensor => reshape(g, s.keptShape);

/** `out`, recorded with a gradient to `x` in terms of `saved`. */
export function withGradient(
  name: string,
  x: Tensor,
  out: Tensor,
  saved: readonly Tensor[],
  gradient: (g: Tensor, saved: readonly Tensor[]) => Tensor,
): Tensor {
  if (isFloating(out.dtype) && records([x])) {
    record(name, [x], [out], saved, ([g], node) => [
      gradient(
        g as Tensor,
        saved.map((_, i) => node.input(i)),
      ),
    ]);
  }
  return out;
}
