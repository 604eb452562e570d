/** Batch and group normalisation. A channel of the whole batch is a row of one kernel, forward and backward. */
import { isGradEnabled, noGrad } from "../autograd/mode.js";
import { record, records } from "../autograd/tape.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { sum } from "./broadcast.js";
import { scalarLike } from "./creation.js";
import { isFloating } from "./dtype.js";
import { layerNorm } from "./norms.js";
import { Rows } from "./rows.js";
import { numelOf, sameShape, show } from "./shape.js";
import { reshape } from "./view.js";

const arg = (args: readonly Expr[], i: number): Expr => args[i] as Expr;

const forwardRows = new Rows(
  "batchNorm",
  3,
  (x, [inverse, eps]) => {
    const mean = k.mul(k.reduce("sum", arg(x, 0)), inverse as Expr);
    const centred = k.sub(arg(x, 0), mean);
    const variance = k.mul(k.reduce("sum", k.square(centred)), inverse as Expr);
    const rstd = k.div(1, k.sqrt(k.add(variance, eps as Expr)));
    return [
      { per: "element", value: k.add(k.mul(k.mul(centred, rstd), arg(x, 1)), arg(x, 2)) },
      { per: "row", value: mean },
      { per: "row", value: variance },
      { per: "row", value: rstd },
    ];
  },
  ["f32", "f32"],
);

/** (g − mean(g) − x̂·mean(g·x̂))·rstd·w, Σ g·x̂ and Σ g. */
const backwardRows = new Rows(
  "batchNormBackward",
  5,
  (x, [inverse]) => {
    const [g, v, mean, rstd, w] = [0, 1, 2, 3, 4].map((i) => arg(x, i)) as [Expr, Expr, Expr, Expr, Expr];
    const xhat = k.mul(k.sub(v, mean), rstd);
    const [gw, gb] = [k.reduce("sum", k.mul(g, xhat)), k.reduce("sum", g)];
    const inner = k.sub(k.sub(g, k.mul(gb, inverse as Expr)), k.mul(xhat, k.mul(gw, inverse as Expr)));
    return [
      { per: "element", value: k.mul(inner, k.mul(rstd, w)) },
      { per: "row", value: gw },
      { per: "row", value: gb },
    ];
  },
  ["f32"],
);

export interface BatchNormOptions {
  /** Normalises by the batch's own statistics and updates the running ones; else by the running ones. */
  training?: boolean;
  /** The weight of the batch in the running statistics; 0.1 if not given. */
  momentum?: number;
  eps?: number;
}

/**
 * (x − mean) / √(var + eps) · weight + bias for each channel (dimension 1), over all other dimensions.
 * https://pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html
 */
export function batchNorm(
  x: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  o: BatchNormOptions = {},
): Tensor {
  const { training = false, momentum = 0.1, eps = 1e-5 } = o;
  if (x.shape.length < 2) throw new ShapeError(`batchNorm: input ${show(x.shape)} has no channels; expected (N, C, …)`);
  if (!isFloating(x.dtype)) throw new DTypeError(`batchNorm: is not defined on ${x.dtype}; convert with .float()`);
  const channels = x.shape[1] as number;
  for (const [name, t] of Object.entries({ runningMean, runningVar, weight, bias })) {
    if (t !== null && !sameShape(t.shape, [channels])) {
      throw new ShapeError(
        `batchNorm: ${name} has shape ${show(t.shape)}; expected (${channels},) for input ${show(x.shape)}`,
      );
    }
  }
  const wide = x.shape.map((_, i) => (i === 1 ? channels : 1));
  const column = (t: Tensor): Tensor => reshape(t, wide);
  if (!training) {
    if (runningMean === null || runningVar === null) {
      throw new ValueError("batchNorm: evaluation needs runningMean and runningVar");
    }
    const rstd = a.rsqrt.call(a.add.call(runningVar, eps));
    const scale = weight === null ? rstd : a.mul.call(rstd, weight);
    const mean = a.mul.call(runningMean, scale);
    const shift = bias === null ? a.neg.call(mean) : a.sub.call(bias, mean);
    return a.addcmul.call(column(shift), x, column(scale), 1);
  }
  const n = x.numel() / Math.max(1, channels);
  if (n <= 1 && x.numel() > 0) {
    throw new ShapeError(`batchNorm: training needs more than one value a channel; input ${show(x.shape)} has one`);
  }
  const dims = x.shape.map((_, i) => i).filter((i) => i !== 1);
  const w = weight === null ? scalarLike(1, x) : column(weight);
  const b = bias === null ? scalarLike(0, x) : column(bias);
  const { dtype, shape } = x;
  const [out, mean, variance, rstd] = forwardRows.call({
    inputs: [x, w, b],
    shape,
    dims,
    compute: dtype,
    outputs: [dtype, dtype, dtype, dtype],
    scalars: [1 / n, eps],
    keepdim: true,
  }) as [Tensor, Tensor, Tensor, Tensor];
  if (x.numel() > 0) {
    noGrad(() => {
      runningMean?.lerp_(reshape(mean, [channels]).to(runningMean.dtype), momentum);
      runningVar?.lerp_(reshape(variance.mul(n / (n - 1)), [channels]).to(runningVar.dtype), momentum);
    });
  }
  if (records([x, weight, bias])) {
    const needs = [x.requiresGrad, weight?.requiresGrad ?? false, bias?.requiresGrad ?? false] as const;
    record("batchNorm", [x, weight, bias], [out], [x, mean, rstd, weight], ([grad], node) => {
      const g = grad as Tensor;
      const v = node.input(0);
      const scale = weight === null ? scalarLike(1, v) : column(node.input(3));
      let all: [Tensor, Tensor, Tensor];
      if (isGradEnabled()) all = composed(g, v, scale, dims, eps);
      else {
        all = backwardRows.call({
          inputs: [g, v, node.input(1), node.input(2), scale],
          shape,
          dims,
          compute: dtype,
          outputs: [dtype, dtype, dtype],
          scalars: [1 / n],
        }) as [Tensor, Tensor, Tensor];
      }
      return all.map((t, i) => (needs[i] ? t : null));
    });
  }
  return out;
}

/** The same gradients of differentiable operations, for gradients of gradients. */
function composed(g: Tensor, x: Tensor, w: Tensor, dims: readonly number[], eps: number): [Tensor, Tensor, Tensor] {
  const mean = (t: Tensor): Tensor => t.mean(dims, { keepdim: true });
  const centred = a.sub.call(x, mean(x));
  const rstd = a.rsqrt.call(a.add.call(mean(a.square.call(centred)), eps));
  const xhat = a.mul.call(centred, rstd);
  const inner = a.sub.call(a.sub.call(g, mean(g)), a.mul.call(xhat, mean(a.mul.call(g, xhat))));
  return [a.mul.call(inner, a.mul.call(rstd, w)), sum(a.mul.call(g, xhat), dims), sum(g, dims)];
}

/**
 * (x − mean) / √(var + eps) · weight + bias, over each group of channels of each image.
 * https://pytorch.org/docs/stable/generated/torch.nn.functional.group_norm.html
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  if (x.shape.length < 2) throw new ShapeError(`groupNorm: input ${show(x.shape)} has no channels; expected (N, C, …)`);
  const channels = x.shape[1] as number;
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new ValueError(`groupNorm: ${groups} groups do not divide the ${channels} channels of ${show(x.shape)}`);
  }
  for (const [name, t] of Object.entries({ weight, bias })) {
    if (t !== null && !sameShape(t.shape, [channels])) {
      throw new ShapeError(`groupNorm: ${name} has shape ${show(t.shape)}; expected (${channels},)`);
    }
  }
  const size = numelOf(x.shape.slice(1)) / groups;
  const y = reshape(layerNorm(reshape(x, [x.shape[0] as number, groups, size]), [size], null, null, eps), x.shape);
  const wide = x.shape.map((_, i) => (i === 1 ? channels : 1));
  const scaled = weight === null ? y : a.mul.call(y, reshape(weight, wide));
  return bias === null ? scaled : a.add.call(scaled, reshape(bias, wide));
}
