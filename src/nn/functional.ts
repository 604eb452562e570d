/**
 * The functions behind the modules, for those who keep their own parameters. Names and defaults are those of
 * torch.nn.functional, keyword arguments are options objects.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const { functional: F } = nn;
 * const logits = F.linear(torch.ones([2, 3]), torch.ones([4, 3]));
 * console.log(F.crossEntropy(logits, torch.tensor([0, 3], { dtype: "int64" })).item().toFixed(4)); // 1.3863
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/nn.functional.html}
 */

import type {
  AvgPoolOptions,
  BatchNormOptions,
  ConvOptions,
  ConvTransposeOptions,
  MaxPoolOptions,
  Reduction,
  Sizes,
} from "../ops/index.js";
import * as ops from "../ops/index.js";
import { traced } from "../ops/trace.js";
import type { Generator, Tensor } from "../tensor/index.js";

export type {
  AvgPoolOptions,
  BatchNormOptions,
  ConvOptions,
  ConvTransposeOptions,
  MaxPoolOptions,
  PoolOptions,
  Reduction,
  Sizes,
} from "../ops/index.js";

/** `x Wᵀ + b`; x (…, in), weight (out, in), bias (out). */
export function linear(input: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  return traced("linear", [input, weight, bias], ops.linear(input, weight, bias));
}

/** Convolution of (N, C, L), or of one without N, with a weight (out, C / groups, …): `bias + Σ weight ⋆ input`. */
export function conv1d(input: Tensor, weight: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  return traced("conv1d", [input, weight, bias, options], ops.conv1d(input, weight, bias, options));
}

/** Convolution of (N, C, H, W), or of one without N, with a weight (out, C / groups, …): `bias + Σ weight ⋆ input`. */
export function conv2d(input: Tensor, weight: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  return traced("conv2d", [input, weight, bias, options], ops.conv2d(input, weight, bias, options));
}

/** Convolution of (N, C, D, H, W), or of one without N, with a weight (out, C / groups, …): `bias + Σ weight ⋆ input`. */
export function conv3d(input: Tensor, weight: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
  return traced("conv3d", [input, weight, bias, options], ops.conv3d(input, weight, bias, options));
}

/** The transpose of 1-dimensional convolution: (N, C, L) with a weight (C, out / groups, …). */
export function convTranspose1d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  return traced("convTranspose1d", [input, weight, bias, options], ops.convTranspose1d(input, weight, bias, options));
}

/** The transpose of 2-dimensional convolution: (N, C, H, W) with a weight (C, out / groups, …). */
export function convTranspose2d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  return traced("convTranspose2d", [input, weight, bias, options], ops.convTranspose2d(input, weight, bias, options));
}

/** The transpose of 3-dimensional convolution: (N, C, D, H, W) with a weight (C, out / groups, …). */
export function convTranspose3d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  return traced("convTranspose3d", [input, weight, bias, options], ops.convTranspose3d(input, weight, bias, options));
}

/** What `maxPool…` gives with `returnIndices`: the indices (int32) count the elements of each plane of the input. */
export interface MaxPoolResult {
  values: Tensor;
  indices: Tensor;
}

/** The largest of each window, over the last dimension. */
export function maxPool1d(
  input: Tensor,
  kernelSize: Sizes,
  options?: MaxPoolOptions & { returnIndices?: false },
): Tensor;
export function maxPool1d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { returnIndices: true },
): MaxPoolResult;
export function maxPool1d(
  input: Tensor,
  kernelSize: Sizes,
  { returnIndices = false, ...options }: MaxPoolOptions & { returnIndices?: boolean } = {},
): Tensor | MaxPoolResult {
  const result = ops.maxPool1d(input, kernelSize, options);
  return returnIndices ? result : traced("maxPool1d", [input, kernelSize, options], result.values);
}

/** The largest of each window, over the last 2 dimensions. */
export function maxPool2d(
  input: Tensor,
  kernelSize: Sizes,
  options?: MaxPoolOptions & { returnIndices?: false },
): Tensor;
export function maxPool2d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { returnIndices: true },
): MaxPoolResult;
export function maxPool2d(
  input: Tensor,
  kernelSize: Sizes,
  { returnIndices = false, ...options }: MaxPoolOptions & { returnIndices?: boolean } = {},
): Tensor | MaxPoolResult {
  const result = ops.maxPool2d(input, kernelSize, options);
  return returnIndices ? result : traced("maxPool2d", [input, kernelSize, options], result.values);
}

/** The largest of each window, over the last 3 dimensions. */
export function maxPool3d(
  input: Tensor,
  kernelSize: Sizes,
  options?: MaxPoolOptions & { returnIndices?: false },
): Tensor;
export function maxPool3d(
  input: Tensor,
  kernelSize: Sizes,
  options: MaxPoolOptions & { returnIndices: true },
): MaxPoolResult;
export function maxPool3d(
  input: Tensor,
  kernelSize: Sizes,
  { returnIndices = false, ...options }: MaxPoolOptions & { returnIndices?: boolean } = {},
): Tensor | MaxPoolResult {
  const result = ops.maxPool3d(input, kernelSize, options);
  return returnIndices ? result : traced("maxPool3d", [input, kernelSize, options], result.values);
}

/** The mean of each window, over the last dimension. */
export function avgPool1d(input: Tensor, kernelSize: Sizes, options: AvgPoolOptions = {}): Tensor {
  return traced("avgPool1d", [input, kernelSize, options], ops.avgPool1d(input, kernelSize, options));
}

/** The mean of each window, over the last 2 dimensions. */
export function avgPool2d(input: Tensor, kernelSize: Sizes, options: AvgPoolOptions = {}): Tensor {
  return traced("avgPool2d", [input, kernelSize, options], ops.avgPool2d(input, kernelSize, options));
}

/** The mean of each window, over the last 3 dimensions. */
export function avgPool3d(input: Tensor, kernelSize: Sizes, options: AvgPoolOptions = {}): Tensor {
  return traced("avgPool3d", [input, kernelSize, options], ops.avgPool3d(input, kernelSize, options));
}

/** The mean of as many windows as the output has elements, whatever the input's size. */
export function adaptiveAvgPool1d(input: Tensor, outputSize: number): Tensor {
  return traced("adaptiveAvgPool1d", [input, outputSize], ops.adaptiveAvgPool1d(input, outputSize));
}

/** The largest of as many windows as the output has elements, whatever the input's size. */
export function adaptiveMaxPool1d(input: Tensor, outputSize: number): Tensor {
  return traced("adaptiveMaxPool1d", [input, outputSize], ops.adaptiveMaxPool1d(input, outputSize));
}

/** The mean of as many windows as the output has elements, whatever the input's size; null keeps a size. */
export function adaptiveAvgPool2d(input: Tensor, outputSize: number | readonly (number | null)[]): Tensor {
  return traced("adaptiveAvgPool2d", [input, outputSize], ops.adaptiveAvgPool2d(input, outputSize));
}

/** The largest of as many windows as the output has elements, whatever the input's size; null keeps a size. */
export function adaptiveMaxPool2d(input: Tensor, outputSize: number | readonly (number | null)[]): Tensor {
  return traced("adaptiveMaxPool2d", [input, outputSize], ops.adaptiveMaxPool2d(input, outputSize));
}

/** `1 / (1 + e⁻ˣ)`. */
export function sigmoid(input: Tensor): Tensor {
  return traced("sigmoid", [input], ops.sigmoid(input));
}

/** `ln σ(x)`. */
export function logSigmoid(input: Tensor): Tensor {
  return traced("logSigmoid", [input], ops.logsigmoid(input));
}

/** The hyperbolic tangent. */
export function tanh(input: Tensor): Tensor {
  return traced("tanh", [input], ops.tanh(input));
}

/** `max(0, x)`. */
export function relu(input: Tensor): Tensor {
  return traced("relu", [input], ops.relu(input));
}

/** `x` where x > 0, else `negativeSlope · x`. */
export function leakyRelu(input: Tensor, negativeSlope = 0.01): Tensor {
  return traced("leakyRelu", [input, negativeSlope], ops.leakyRelu(input, negativeSlope));
}

/** `x` where x > 0, else `alpha · (eˣ − 1)`. */
export function elu(input: Tensor, alpha = 1): Tensor {
  return traced("elu", [input, alpha], ops.elu(input, alpha));
}

/** `x · σ(x)`. */
export function silu(input: Tensor): Tensor {
  return traced("silu", [input], ops.silu(input));
}

/** `x · Φ(x)`, or its approximation by tanh. */
export function gelu(input: Tensor, { approximate = "none" }: { approximate?: "none" | "tanh" } = {}): Tensor {
  return traced("gelu", [input, { approximate }], ops.gelu(input, { approximate }));
}

/** `ln(1 + e^(beta · x)) / beta`, and x itself where `beta · x > threshold`. */
export function softplus(
  input: Tensor,
  { beta = 1, threshold = 20 }: { beta?: number; threshold?: number } = {},
): Tensor {
  return traced("softplus", [input, beta, threshold], ops.softplus(input, beta, threshold));
}

/** `exp(xᵢ) / Σⱼ exp(xⱼ)` along `dim`. */
export function softmax(input: Tensor, dim: number): Tensor {
  return traced("softmax", [input, dim], ops.softmax(input, dim));
}

/** `xᵢ − ln Σⱼ exp(xⱼ)` along `dim`. */
export function logSoftmax(input: Tensor, dim: number): Tensor {
  return traced("logSoftmax", [input, dim], ops.logSoftmax(input, dim));
}

/** `(x − E[x]) / √(Var[x] + eps) · weight + bias` over the last dimensions, which are `normalizedShape`. */
export function layerNorm(
  input: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  return traced(
    "layerNorm",
    [input, normalizedShape, weight, bias, eps],
    ops.layerNorm(input, normalizedShape, weight, bias, eps),
  );
}

/**
 * `(x − mean) / √(var + eps) · weight + bias` for each channel of (N, C, …). While `training`, by the batch's statistics, which
 * also move the running ones.
 */
export function batchNorm(
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  { weight = null, bias = null, ...options }: BatchNormOptions & { weight?: Tensor | null; bias?: Tensor | null } = {},
): Tensor {
  return traced(
    "batchNorm",
    [input, runningMean, runningVar, weight, bias, options],
    ops.batchNorm(input, runningMean, runningVar, weight, bias, options),
  );
}

/** `(x − mean) / √(var + eps) · weight + bias` over each of `numGroups` groups of channels of each image of (N, C, …). */
export function groupNorm(
  input: Tensor,
  numGroups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  return traced("groupNorm", [input, numGroups, weight, bias, eps], ops.groupNorm(input, numGroups, weight, bias, eps));
}

/** While `training`, zeroes elements with probability `p` and scales the others by 1 / (1 − p). */
export function dropout(
  input: Tensor,
  p = 0.5,
  { training = true, generator }: { training?: boolean; generator?: Generator } = {},
): Tensor {
  return traced("dropout", [input, p, training, generator], ops.dropout(input, p, training, generator));
}

/** `(x − y)²`. */
export function mseLoss(input: Tensor, target: Tensor, { reduction = "mean" }: { reduction?: Reduction } = {}): Tensor {
  return ops.mseLoss(input, target, reduction);
}

/** `|x − y|`. */
export function l1Loss(input: Tensor, target: Tensor, { reduction = "mean" }: { reduction?: Reduction } = {}): Tensor {
  return ops.l1Loss(input, target, reduction);
}

/** With d = |x − y|: `d² / (2 beta)` where d < beta, else `d − beta / 2`. */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  { reduction = "mean", beta = 1 }: { reduction?: Reduction; beta?: number } = {},
): Tensor {
  return ops.smoothL1Loss(input, target, reduction, beta);
}

/** `−w (y ln x + (1 − y) ln(1 − x))`, x and y in 0 … 1, the logarithms held at −100 at least. */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  { weight = null, reduction = "mean" }: { weight?: Tensor | null; reduction?: Reduction } = {},
): Tensor {
  return ops.bceLoss(input, target, weight, reduction);
}

/** Sigmoid and binary cross-entropy in one, exact for large logits; `posWeight` weighs the positive answers. */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  {
    weight = null,
    posWeight = null,
    reduction = "mean",
  }: { weight?: Tensor | null; posWeight?: Tensor | null; reduction?: Reduction } = {},
): Tensor {
  return ops.bceWithLogitsLoss(input, target, { weight, posWeight }, reduction);
}

/** `−w[y] x[y]` for log-probabilities x (N, C, …) and classes y (N, …). */
export function nllLoss(
  input: Tensor,
  target: Tensor,
  {
    weight = null,
    ignoreIndex = -100,
    reduction = "mean",
  }: { weight?: Tensor | null; ignoreIndex?: number; reduction?: Reduction } = {},
): Tensor {
  return ops.nllLoss(input, target, weight, ignoreIndex, reduction);
}

/** Log-softmax and negative log-likelihood in one; the target is classes or probabilities. */
export function crossEntropy(
  input: Tensor,
  target: Tensor,
  {
    weight = null,
    ignoreIndex = -100,
    labelSmoothing = 0,
    reduction = "mean",
  }: { weight?: Tensor | null; ignoreIndex?: number; labelSmoothing?: number; reduction?: Reduction } = {},
): Tensor {
  return ops.crossEntropy(input, target, { weight, ignoreIndex, labelSmoothing }, reduction);
}

/** The rows of a table (rows, length) with the numbers `input` (…): (…, length). Row `paddingIdx` gets no gradient. */
export function embedding(input: Tensor, weight: Tensor, options: { paddingIdx?: number | null } = {}): Tensor {
  return traced("embedding", [input, weight, options], ops.embedding(input, weight, options));
}

/**
 * Class indices (…) to (…, numClasses): 1 at the class, 0 elsewhere. Without `numClasses`, one more than the largest
 * index.
 */
export function oneHot(labels: Tensor, numClasses = -1): Tensor {
  return ops.oneHot(labels, numClasses);
}
