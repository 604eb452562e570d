/** Softmax and layer normalisation: one pass over each row, forward and backward. */
import { isGradEnabled } from "../autograd/mode.js";
import { record, records } from "../autograd/tape.js";
import { ShapeError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { sum } from "./broadcast.js";
import { emptyTensor } from "./core.js";
import { scalarLike } from "./creation.js";
import { toFloating } from "./dtype.js";
import { Rows } from "./rows.js";
import { numelOf, type Shape, sameShape, show, wrapDim } from "./shape.js";
import { cast, reshape } from "./view.js";

const arg = (args: readonly Expr[], i: number): Expr => args[i] as Expr;
const element = (value: Expr) => [{ per: "element" as const, value }];

const softmaxRows = new Rows("softmax", 1, (x) => {
  const e = k.exp(k.sub(arg(x, 0), k.reduce("max", arg(x, 0))));
  return element(k.div(e, k.reduce("sum", e)));
});
const softmaxBack = new Rows("softmaxBackward", 2, (x) => {
  const [g, y] = [arg(x, 0), arg(x, 1)];
  return element(k.mul(y, k.sub(g, k.reduce("sum", k.mul(g, y)))));
});
const logSoftmaxRows = new Rows("logSoftmax", 1, (x) => {
  const shifted = k.sub(arg(x, 0), k.reduce("max", arg(x, 0)));
  return element(k.sub(shifted, k.log(k.reduce("sum", k.exp(shifted)))));
});
const logSoftmaxBack = new Rows("logSoftmaxBackward", 2, (x) => {
  const [g, y] = [arg(x, 0), arg(x, 1)];
  return element(k.sub(g, k.mul(k.exp(y), k.reduce("sum", g))));
});

/** Softmax and its gradient have at most three operands. */
const allFull = ["full", "full", "full"] as const;

function along(rows: Rows, inputs: readonly Tensor[], d: number): Tensor {
  const x = inputs[0] as Tensor;
  const length = x.shape[d] as number;
  if (d === x.shape.length - 1 && x.numel() > 0 && inputs.every((t) => t.contiguous_ && t.dtype === x.dtype)) {
    const out = emptyTensor(x.shape, x.dtype, x.device);
    rows.callFlat([...inputs, out], inputs.length, allFull, x.numel() / length, length, x.dtype);
    return out;
  }
  const dims = x.shape.length === 0 ? [] : [d];
  return rows.call({ inputs, shape: x.shape, dims, compute: x.dtype, outputs: [x.dtype] })[0] as Tensor;
}

/** e^(x_i − max)/Σ e^(x_j − max) along `dim`. */
export function softmax(input: Tensor, dim: number): Tensor {
  const d = wrapDim("softmax", dim, input.shape.length);
  const x = cast(input, toFloating(input.dtype));
  const out = along(softmaxRows, [x], d);
  if (records([x])) {
    record("softmax", [x], [out], [out], ([grad], node) => {
      const g = grad as Tensor;
      const y = node.input(0);
      if (!isGradEnabled()) return [along(softmaxBack, [g, y], d)];
      return [a.mul.call(y, a.sub.call(g, sum(a.mul.call(g, y), d, { keepdim: true })))];
    });
  }
  return out;
}

/** x_i − log Σ e^(x_j) along `dim`. */
export function logSoftmax(input: Tensor, dim: number): Tensor {
  const d = wrapDim("logSoftmax", dim, input.shape.length);
  const x = cast(input, toFloating(input.dtype));
  const out = along(logSoftmaxRows, [x], d);
  if (records([x])) {
    record("logSoftmax", [x], [out], [out], ([grad], node) => {
      const g = grad as Tensor;
      const y = node.input(0);
      if (!isGradEnabled()) return [along(logSoftmaxBack, [g, y], d)];
      return [a.sub.call(g, a.mul.call(a.exp.call(y), sum(g, d, { keepdim: true })))];
    });
  }
  return out;
}

/** Mean and 1/√(variance + ε) of a row, as expressions. */
function moments(x: Expr, inverse: Expr, eps: Expr): { centred: Expr; rstd: Expr; mean: Expr } {
  const mean = k.mul(k.reduce("sum", x), inverse);
  const centred = k.sub(x, mean);
  const variance = k.mul(k.reduce("sum", k.square(centred)), inverse);
  return { mean, centred, rstd: k.div(1, k.sqrt(k.add(variance, eps))) };
}
/** `withMoments`: with each row's mean and 1/σ, which gradients read. */
const layerNormRows = (affine: boolean, withMoments: boolean): Rows =>
  new Rows(
    "layerNorm",
    affine ? 3 : 1,
    (x, [inverse, eps]) => {
      const { mean, centred, rstd } = moments(arg(x, 0), inverse as Expr, eps as Expr);
      const xhat = k.mul(centred, rstd);
      const out = element(affine ? k.add(k.mul(xhat, arg(x, 1)), arg(x, 2)) : xhat);
      return withMoments ? [...out, { per: "row", value: mean }, { per: "row", value: rstd }] : out;
    },
    ["f32", "f32"],
  );
const layerNorms = {
  plain: { alone: layerNormRows(false, false), recorded: layerNormRows(false, true) },
  affine: { alone: layerNormRows(true, false), recorded: layerNormRows(true, true) },
};
/** (g·w − mean(g·w) − x̂·mean(g·w·x̂))·rstd; with `single`, whose row is the only one, the weight's gradient as well: g·x̂. */
const layerNormBackBody =
  (single: boolean) =>
  (x: readonly Expr[], [inverse]: readonly Expr[]) => {
    const [g, v, mean, rstd, w] = [0, 1, 2, 3, 4].map((i) => arg(x, i)) as [Expr, Expr, Expr, Expr, Expr];
    const xhat = k.mul(k.sub(v, mean), rstd);
    const gw = k.mul(g, w);
    const m1 = k.mul(k.reduce("sum", gw), inverse as Expr);
    const m2 = k.mul(k.reduce("sum", k.mul(gw, xhat)), inverse as Expr);
    const gx = k.mul(k.sub(k.sub(gw, m1), k.mul(xhat, m2)), rstd);
    return single ? [...element(gx), ...element(k.mul(g, xhat))] : element(gx);
  };
const layerNormBack = new Rows("layerNormBackward", 5, layerNormBackBody(false), ["f32"]);
const layerNormBackSingle = new Rows("layerNormBackward", 5, layerNormBackBody(true), ["f32"]);
/** Σ g·x̂ and Σ g over the rows. */
const layerNormParams = new Rows("layerNormParameters", 4, (x) => {
  const [g, v, mean, rstd] = [0, 1, 2, 3].map((i) => arg(x, i)) as [Expr, Expr, Expr, Expr];
  return [
    { per: "row", value: k.reduce("sum", k.mul(g, k.mul(k.sub(v, mean), rstd))) },
    { per: "row", value: k.reduce("sum", g) },
  ];
});

/** (x − mean)/√(var + ε)·weight + bias over the last dimensions. */
export function layerNorm(
  x: Tensor,
  normalizedShape: Shape,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  const n = normalizedShape.length;
  const lead = x.shape.length - n;
  if (n === 0 || lead < 0 || !sameShape(x.shape.slice(lead), normalizedShape)) {
    throw new ShapeError(`layerNorm: input ${show(x.shape)} does not end in ${show(normalizedShape)}`);
  }
  checkParameter("weight", weight, normalizedShape);
  checkParameter("bias", bias, normalizedShape);
  const dims = Array.from({ length: n }, (_, i) => lead + i);
  const leadDims = Array.from({ length: lead }, (_, i) => i);
  const inverse = 1 / numelOf(normalizedShape);
  const affine = weight !== null || bias !== null;
  const w = weight ?? (affine ? scalarLike(1, x) : null);
  const b = bias ?? (affine ? scalarLike(0, x) : null);
  const inputs = affine ? [x, w as Tensor, b as Tensor] : [x];
  const recorded = records([x, weight, bias]);
  const kernel = layerNorms[affine ? "affine" : "plain"][recorded ? "recorded" : "alone"];
  // The usual layout needs no search.
  const length = numelOf(normalizedShape);
  const count = x.numel() / length;
  const flat =
    x.numel() > 0 && inputs.every((t, i) => t.contiguous_ && t.dtype === x.dtype && (i === 0 || t.numel() === length));
  const results = flat
    ? flatNorm(kernel, inputs, recorded, dims.length, count, length, [inverse, eps])
    : kernel.call({
        inputs,
        shape: x.shape,
        dims,
        compute: x.dtype,
        outputs: recorded ? [x.dtype, x.dtype, x.dtype] : [x.dtype],
        scalars: [inverse, eps],
        keepdim: true,
      });
  const out = results[0] as Tensor;
  if (!recorded) return out;
  const [, mean, rstd] = results as [Tensor, Tensor, Tensor];
  const needs = [x.requiresGrad, weight?.requiresGrad ?? false, bias?.requiresGrad ?? false] as const;
  const { shape, dtype } = x;
  record("layerNorm", [x, weight, bias], [out], [x, mean, rstd, w], ([grad], node) => {
    const g = grad as Tensor;
    const v = node.input(0);
    if (isGradEnabled()) return composed(g, v, weight === null ? null : node.input(3), needs, dims, leadDims, eps);
    const m = node.input(1);
    const r = node.input(2);
    const one = w === null ? scalarLike(1, v) : node.input(3);
    if (flat && w !== null && g.contiguous_ && g.dtype === dtype) {
      return flatGradients([g, v, m, r], node.input(3), needs, normalizedShape, count, length);
    }
    const gx = needs[0]
      ? (layerNormBack.call({
          inputs: [g, v, m, r, one],
          shape,
          dims,
          compute: dtype,
          outputs: [dtype],
          scalars: [inverse],
        })[0] as Tensor)
      : null;
    let gw: Tensor | null = null;
    let gb: Tensor | null = null;
    if (needs[1] || needs[2]) {
      [gw, gb] = layerNormParams.call({
        inputs: [g, v, m, r],
        shape,
        dims: leadDims,
        compute: dtype,
        outputs: [dtype, dtype],
      }) as [Tensor, Tensor];
    }
    return [gx, needs[1] ? gw : null, needs[2] ? gb : null];
  });
  return out;
}

function checkParameter(name: string, t: Tensor | null, shape: Shape): void {
  if (t !== null && !sameShape(t.shape, shape)) {
    throw new ShapeError(`layerNorm: the ${name} has shape ${show(t.shape)}; expected ${show(shape)}`);
  }
}

const plainLayout = ["full", "full", "row", "row"] as const;
const affineLayout = ["full", "column", "column", "full", "row", "row"] as const;

/** Rows side by side: `count` of `length`; the result, `withMoments` with two numbers for each. */
function flatNorm(
  kernel: Rows,
  inputs: readonly Tensor[],
  withMoments: boolean,
  dims: number,
  count: number,
  length: number,
  scalars: readonly number[],
): Tensor[] {
  const { shape, dtype, device } = inputs[0] as Tensor;
  const outputs = [emptyTensor(shape, dtype, device)];
  if (withMoments) {
    const lead = shape.map((n, d) => (d < shape.length - dims ? n : 1));
    outputs.push(emptyTensor(lead, dtype, device), emptyTensor(lead, dtype, device));
  }
  const layout = inputs.length === 1 ? plainLayout : affineLayout;
  kernel.callFlat([...inputs, ...outputs], inputs.length, layout, count, length, dtype, scalars);
  return outputs;
}

const inputLayout = ["full", "full", "row", "row", "column", "full", "full"] as const;
const parameterLayout = ["full", "full", "row", "row"] as const;

/** `inputs`: gradient, input, mean and 1/σ. */
function flatGradients(
  inputs: readonly Tensor[],
  weight: Tensor,
  needs: readonly [boolean, boolean, boolean],
  normalizedShape: Shape,
  count: number,
  length: number,
): (Tensor | null)[] {
  const { shape, dtype, device } = inputs[1] as Tensor;
  let gx: Tensor | null = null;
  if (needs[0]) {
    gx = emptyTensor(shape, dtype, device);
    if (count === 1 && needs[1]) {
      const gw = emptyTensor(normalizedShape, dtype, device);
      layerNormBackSingle.callFlat([...inputs, weight, gx, gw], 5, inputLayout, 1, length, dtype, [1 / length]);
      return [gx, gw, needs[2] ? reshape(inputs[0] as Tensor, normalizedShape) : null];
    }
    layerNormBack.callFlat([...inputs, weight, gx], 5, inputLayout, count, length, dtype, [1 / length]);
  }
  if (!needs[1] && !needs[2]) return [gx, null, null];
  const gw = emptyTensor(normalizedShape, dtype, device);
  const gb = emptyTensor(normalizedShape, dtype, device);
  layerNormParams.callColumns([...inputs, gw, gb], 4, parameterLayout, length, count, dtype);
  return [gx, needs[1] ? gw : null, needs[2] ? gb : null];
}

/** The same gradients of differentiable operations, for gradients of gradients. */
function composed(
  g: Tensor,
  x: Tensor,
  w: Tensor | null,
  needs: readonly [boolean, boolean, boolean],
  dims: readonly number[],
  lead: readonly number[],
  eps: number,
): (Tensor | null)[] {
  const mean = x.mean(dims, { keepdim: true });
  const centred = a.sub.call(x, mean);
  const rstd = a.rsqrt.call(a.add.call(a.square.call(centred).mean(dims, { keepdim: true }), eps));
  const xhat = a.mul.call(centred, rstd);
  const gw = w === null ? g : a.mul.call(g, w);
  const inner = a.sub.call(
    a.sub.call(gw, gw.mean(dims, { keepdim: true })),
    a.mul.call(xhat, a.mul.call(gw, xhat).mean(dims, { keepdim: true })),
  );
  const down = (t: Tensor): Tensor => (lead.length === 0 ? t : sum(t, lead));
  return [
    needs[0] ? a.mul.call(inner, rstd) : null,
    needs[1] ? down(a.mul.call(g, xhat)) : null,
    needs[2] ? down(g) : null,
  ];
}
