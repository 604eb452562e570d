/** Layers that normalise their input. The arithmetic is one fused operation of ops/. */
import { ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { empty } from "../tensor/index.js";
import * as F from "./functional.js";
import * as init from "./init.js";
import type { FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";
import { bool, float, tuple } from "./repr.js";

/**
 * Layer normalisation over the last dimensions: `y = (x − E[x]) / √(Var[x] + eps) · weight + bias`, with the biased
 * variance.
 *
 * Shapes: input and output (…, *normalizedShape); weight and bias normalizedShape, starting at 1 and 0.
 * Errors: ValueError if normalizedShape is empty; ShapeError if an input does not end in it.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const y = new nn.LayerNorm(4).forward(torch.tensor([[1, 2, 3, 4]]));
 * console.log(y.mean().item().toFixed(3)); // 0.000
 * ```
 *
 * Source: Ba, Kiros and Hinton 2016, {@link https://arxiv.org/abs/1607.06450};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html}
 */
export class LayerNorm extends Module {
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;

  constructor(
    normalizedShape: number | readonly number[],
    {
      eps = 1e-5,
      elementwiseAffine = true,
      bias = true,
      ...options
    }: FactoryOptions & { eps?: number; elementwiseAffine?: boolean; bias?: boolean } = {},
  ) {
    super();
    this.normalizedShape = typeof normalizedShape === "number" ? [normalizedShape] : [...normalizedShape];
    if (this.normalizedShape.length === 0) throw new ValueError("LayerNorm: normalizedShape has no dimension");
    this.eps = eps;
    this.weight = elementwiseAffine ? new Parameter(empty(this.normalizedShape, options)) : null;
    this.bias = elementwiseAffine && bias ? new Parameter(empty(this.normalizedShape, options)) : null;
    this.resetParameters();
  }

  /** Sets weight to 1 and bias to 0. */
  resetParameters(): void {
    if (this.weight) init.ones_(this.weight);
    if (this.bias) init.zeros_(this.bias);
  }

  forward(input: Tensor): Tensor {
    return F.layerNorm(input, this.normalizedShape, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    const affine = bool(this.weight !== null);
    return `${tuple(this.normalizedShape)}, eps=${float(this.eps)}, elementwise_affine=${affine}`;
  }
}
