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
import { ValueError } from "../errors.js";
import * as ops from "../ops/index.js";
import { type Generator, type Tensor, where } from "../tensor/index.js";

/** How a loss joins its elements: their mean, their sum, or not at all. */
export type Reduction = "mean" | "sum" | "none";

/** `x Wᵀ + b`; x (…, in), weight (out, in), bias (out). */
export function linear(input: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  return ops.linear(input, weight, bias);
}

/** `1 / (1 + e⁻ˣ)`. */
export function sigmoid(input: Tensor): Tensor {
  return ops.sigmoid(input);
}

/** `log σ(x) = −softplus(−x)`. */
export function logSigmoid(input: Tensor): Tensor {
  return softplus(input.neg()).neg();
}

/** The hyperbolic tangent. */
export function tanh(input: Tensor): Tensor {
  return ops.tanh(input);
}

/** `max(0, x)`. */
export function relu(input: Tensor): Tensor {
  return ops.relu(input);
}

/** `x` where x > 0, else `negativeSlope · x`. */
export function leakyRelu(input: Tensor, negativeSlope = 0.01): Tensor {
  return ops.leakyRelu(input, negativeSlope);
}

/** `x` where x > 0, else `alpha · (eˣ − 1)`. */
export function elu(input: Tensor, alpha = 1): Tensor {
  // The branch not taken must stay finite, or its gradient would be 0 · ∞.
  return where(input.gt(0), input, input.clamp({ max: 0 }).expm1().mul(alpha));
}

/** `x · σ(x)`. */
export function silu(input: Tensor): Tensor {
  return input.mul(ops.sigmoid(input));
}

/** `x · Φ(x)`, or its approximation by tanh. */
export function gelu(input: Tensor, { approximate = "none" }: { approximate?: "none" | "tanh" } = {}): Tensor {
  return ops.gelu(input, { approximate });
}

/** `ln(1 + e^(beta · x)) / beta`, and x itself where `beta · x > threshold`. */
export function softplus(
  input: Tensor,
  { beta = 1, threshold = 20 }: { beta?: number; threshold?: number } = {},
): Tensor {
  const scaled = input.mul(beta);
  // Held at the threshold so that the branch not taken stays finite.
  const soft = scaled.clamp({ max: threshold }).exp().log1p().div(beta);
  return where(scaled.gt(threshold), input, soft);
}

/** `exp(xᵢ) / Σⱼ exp(xⱼ)` along `dim`. */
export function softmax(input: Tensor, dim: number): Tensor {
  return ops.softmax(input, dim);
}

/** `xᵢ − ln Σⱼ exp(xⱼ)` along `dim`. */
export function logSoftmax(input: Tensor, dim: number): Tensor {
  return ops.logSoftmax(input, dim);
}

/** `(x − E[x]) / √(Var[x] + eps) · weight + bias` over the last dimensions, which are `normalizedShape`. */
export function layerNorm(
  input: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  return ops.layerNorm(input, normalizedShape, weight, bias, eps);
}

/** While `training`, zeroes elements with probability `p` and scales the others by 1 / (1 − p). */
export function dropout(
  input: Tensor,
  p = 0.5,
  { training = true, generator }: { training?: boolean; generator?: Generator } = {},
): Tensor {
  return ops.dropout(input, p, training, generator);
}

/** `(x − y)²`. */
export function mseLoss(
  input: Tensor,
  target: Tensor,
  { reduction = "mean" }: { reduction?: Reduction } = {},
): Tensor {
  return ops.mseLoss(input, target, checked("mseLoss", reduction));
}

/** `|x − y|`. */
export function l1Loss(
  input: Tensor,
  target: Tensor,
  { reduction = "mean" }: { reduction?: Reduction } = {},
): Tensor {
  return ops.l1Loss(input, target, checked("l1Loss", reduction));
}

/** With d = |x − y|: `d² / (2 beta)` where d < beta, else `d − beta / 2`. */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  { reduction = "mean", beta = 1 }: { reduction?: Reduction; beta?: number } = {},
): Tensor {
  if (!(beta >= 0)) throw new ValueError(`smoothL1Loss: beta is not negative, but ${beta} was given`);
  checked("smoothL1Loss", reduction);
  if (beta === 0) return l1Loss(input, target, { reduction });
  const distance = input.sub(target).abs();
  const loss = where(distance.lt(beta), distance.square().mul(0.5 / beta), distance.sub(0.5 * beta));
  return reduction === "none" ? loss : reduction === "sum" ? loss.sum() : loss.mean();
}

/** `−w (y ln x + (1 − y) ln(1 − x))`, x and y in 0 … 1, the logarithms held at −100 at least. */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  { weight = null, reduction = "mean" }: { weight?: Tensor | null; reduction?: Reduction } = {},
): Tensor {
  return ops.bceLoss(input, target, weight, checked("binaryCrossEntropy", reduction));
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
  const name = "binaryCrossEntropyWithLogits";
  return ops.bceWithLogitsLoss(input, target, { weight, posWeight }, checked(name, reduction));
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
  return ops.nllLoss(input, target, weight, ignoreIndex, checked("nllLoss", reduction));
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
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ValueError(`crossEntropy: labelSmoothing is in 0 … 1, but ${labelSmoothing} was given`);
  }
  return ops.crossEntropy(input, target, { weight, ignoreIndex, labelSmoothing }, checked("crossEntropy", reduction));
}

/**
 * Class indices (…) to (…, numClasses): 1 at the class, 0 elsewhere. Without `numClasses`, one more than the largest
 * index.
 */
export function oneHot(labels: Tensor, numClasses = -1): Tensor {
  if (numClasses === -1) {
    if (labels.numel() === 0) throw new ValueError("oneHot: numClasses must be given for no labels");
    return ops.oneHot(labels, labels.max().item() + 1);
  }
  return ops.oneHot(labels, numClasses);
}

function checked(name: string, reduction: Reduction): Reduction {
  if (reduction !== "mean" && reduction !== "sum" && reduction !== "none") {
    throw new ValueError(`${name}: reduction is "mean", "sum" or "none", not ${JSON.stringify(reduction)}`);
  }
  return reduction;
}
