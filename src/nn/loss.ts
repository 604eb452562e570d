/**
 * Losses as modules: each holds its settings and calls the function of the same name in functional.ts. Every one takes
 * `reduction`: "mean" (the default) or "sum" give a scalar, "none" a loss an element.
 */
import type { Tensor } from "../tensor/index.js";
import * as F from "./functional.js";
import { Module } from "./module.js";

/** How a loss joins its elements: their mean, their sum, or not at all. */
export type Reduction = F.Reduction;

/**
 * Mean squared error: `(x − y)²`, averaged.
 *
 * Shapes: input and target the same. Errors: ShapeError if they do not broadcast.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const loss = new nn.MSELoss().forward(torch.tensor([1, 2]), torch.tensor([1, 4]));
 * console.log(loss.item()); // 2
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html}
 */
export class MSELoss extends Module {
  readonly reduction: Reduction;

  constructor({ reduction = "mean" }: { reduction?: Reduction } = {}) {
    super();
    this.reduction = reduction;
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, { reduction: this.reduction });
  }
}

/**
 * Mean absolute error: `|x − y|`, averaged.
 *
 * Shapes: input and target the same. Errors: ShapeError if they do not broadcast.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const loss = new nn.L1Loss().forward(torch.tensor([1, 2]), torch.tensor([1, 4]));
 * console.log(loss.item()); // 1
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html}
 */
export class L1Loss extends Module {
  readonly reduction: Reduction;

  constructor({ reduction = "mean" }: { reduction?: Reduction } = {}) {
    super();
    this.reduction = reduction;
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, { reduction: this.reduction });
  }
}

/**
 * Squared near zero, absolute beyond: with d = |x − y|, `d² / (2 beta)` where d < beta, else `d − beta / 2`, averaged.
 *
 * Shapes: input and target the same. Errors: ValueError if beta is negative.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const loss = new nn.SmoothL1Loss().forward(torch.tensor([1, 2]), torch.tensor([1, 4]));
 * console.log(loss.item()); // 0.75
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html}
 */
export class SmoothL1Loss extends Module {
  readonly reduction: Reduction;
  readonly beta: number;

  constructor({ reduction = "mean", beta = 1 }: { reduction?: Reduction; beta?: number } = {}) {
    super();
    this.reduction = reduction;
    this.beta = beta;
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.smoothL1Loss(input, target, { reduction: this.reduction, beta: this.beta });
  }
}

/**
 * Binary cross-entropy of probabilities: `−w (y ln x + (1 − y) ln(1 − x))`, averaged; the logarithms are held at −100
 * at least, so that the loss is finite.
 *
 * Shapes: input and target the same. Input and target lie in 0 … 1. `weight` broadcasts to them. To train, prefer {@link BCEWithLogitsLoss}.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const loss = new nn.BCELoss().forward(torch.tensor([0.5, 0.5]), torch.tensor([0, 1]));
 * console.log(loss.item().toFixed(4)); // 0.6931
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html}
 */
export class BCELoss extends Module {
  readonly reduction: Reduction;
  readonly weight: Tensor | null;

  constructor({ weight = null, reduction = "mean" }: { weight?: Tensor | null; reduction?: Reduction } = {}) {
    super();
    this.reduction = reduction;
    this.weight = weight && this.registerBuffer("weight", weight);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(input, target, { weight: this.weight, reduction: this.reduction });
  }
}

/**
 * Binary cross-entropy of logits: sigmoid and {@link BCELoss} in one, exact for large logits:
 * `w ((1 − y) x + (1 + (p − 1) y) · ln(1 + e⁻ˣ))`, averaged, where p is `posWeight`, the weight of positive answers.
 *
 * Shapes: input and target the same. `weight` and `posWeight` broadcast to them.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const loss = new nn.BCEWithLogitsLoss().forward(torch.tensor([0, 1000]), torch.tensor([1, 1]));
 * console.log(loss.item().toFixed(4)); // 0.3466
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html}
 */
export class BCEWithLogitsLoss extends Module {
  readonly reduction: Reduction;
  readonly weight: Tensor | null;
  readonly posWeight: Tensor | null;

  constructor({
    weight = null,
    posWeight = null,
    reduction = "mean",
  }: { weight?: Tensor | null; posWeight?: Tensor | null; reduction?: Reduction } = {}) {
    super();
    this.reduction = reduction;
    this.weight = weight && this.registerBuffer("weight", weight);
    this.posWeight = posWeight && this.registerBuffer("posWeight", posWeight);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(input, target, this);
  }
}

/**
 * Negative log-likelihood of classes: `−w[y] x[y]`, x log-probabilities. The mean is over the weights met,
 * `Σ loss / Σ w[y]`; targets equal to `ignoreIndex` count for nothing.
 *
 * Shapes: input (C), (N, C) or (N, C, *), target without the C, integers in 0 … C−1; `weight` (C).
 * Errors: ShapeError if they disagree; DTypeError if the target is not of integers; IndexError if a class is out of range.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const logProbabilities = torch.tensor([[-0.5, -1], [-2, -0.1]]);
 * const loss = new nn.NLLLoss().forward(logProbabilities, torch.tensor([0, 1], { dtype: "int64" }));
 * console.log(loss.item().toFixed(1)); // 0.3
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html}
 */
export class NLLLoss extends Module {
  readonly reduction: Reduction;
  readonly weight: Tensor | null;
  readonly ignoreIndex: number;

  constructor({
    weight = null,
    ignoreIndex = -100,
    reduction = "mean",
  }: { weight?: Tensor | null; ignoreIndex?: number; reduction?: Reduction } = {}) {
    super();
    this.reduction = reduction;
    this.ignoreIndex = ignoreIndex;
    this.weight = weight && this.registerBuffer("weight", weight);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.nllLoss(input, target, this);
  }
}

/**
 * Cross-entropy of logits: {@link LogSoftmax} and {@link NLLLoss} in one: `−w[y] ln(exp(x[y]) / Σ exp(x))`.
 * The target is class indices, or probabilities of the input's shape. `labelSmoothing` ε mixes the target with the
 * uniform distribution: (1 − ε) y + ε / C.
 *
 * Shapes: input (C), (N, C) or (N, C, *); target without the C (indices) or the input's (probabilities); `weight` (C).
 * Errors: ShapeError if they disagree; ValueError if labelSmoothing is not in 0 … 1; IndexError if a class is out of range.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const logits = torch.tensor([[2, 0], [0, 2]]);
 * const loss = new nn.CrossEntropyLoss().forward(logits, torch.tensor([0, 1], { dtype: "int64" }));
 * console.log(loss.item().toFixed(4)); // 0.1269
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html}
 */
export class CrossEntropyLoss extends Module {
  readonly reduction: Reduction;
  readonly weight: Tensor | null;
  readonly ignoreIndex: number;
  readonly labelSmoothing: number;

  constructor({
    weight = null,
    ignoreIndex = -100,
    labelSmoothing = 0,
    reduction = "mean",
  }: { weight?: Tensor | null; ignoreIndex?: number; labelSmoothing?: number; reduction?: Reduction } = {}) {
    super();
    this.reduction = reduction;
    this.ignoreIndex = ignoreIndex;
    this.labelSmoothing = labelSmoothing;
    this.weight = weight && this.registerBuffer("weight", weight);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(input, target, this);
  }
}
