/** Linear, and Identity, the linear map that does nothing. The product itself is one fused operation of ops/. */
import { ValueError } from "../errors.js";
import type { DType, Tensor } from "../tensor/index.js";
import { empty } from "../tensor/index.js";
import * as F from "./functional.js";
import * as init from "./init.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";
import { bool } from "./repr.js";

/** Where and in what dtype a module makes its parameters: float32 on the default device unless given. */
export interface FactoryOptions {
  dtype?: DType;
  device?: NonNullable<Parameters<typeof empty>[1]>["device"];
}

/**
 * An affine map: `y = x Wᵀ + b`.
 *
 * Shapes: input (…, inFeatures), output (…, outFeatures); `weight` (outFeatures, inFeatures), `bias` (outFeatures).
 * Both start uniform in ±1/√inFeatures, as PyTorch's do.
 * Errors: ValueError if a size is not a positive integer (0 is allowed); ShapeError if the last size of an input is not
 * inFeatures.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.Linear(784, 200);
 * console.log(layer.forward(torch.rand([64, 784])).shape); // [64, 200]
 * console.log(String(layer)); // Linear(in_features=784, out_features=200, bias=True)
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html}
 */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    { bias = true, ...options }: FactoryOptions & { bias?: boolean } = {},
  ) {
    super();
    for (const size of [inFeatures, outFeatures]) {
      if (!Number.isInteger(size) || size < 0) {
        throw new ValueError(`Linear: sizes are whole numbers, not (${inFeatures}, ${outFeatures})`);
      }
    }
    this.weight = new Parameter(empty([outFeatures, inFeatures], options));
    this.bias = bias ? new Parameter(empty([outFeatures], options)) : null;
    this.resetParameters();
  }

  /** Draws weight and bias anew. */
  resetParameters(): void {
    // kaimingUniform_ with a = √5 is a bound of gain · √(3 / fanIn) = √(2/6) · √(3 / fanIn) = 1/√fanIn.
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    const bound = this.inFeatures > 0 ? 1 / Math.sqrt(this.inFeatures) : 0;
    if (this.bias) init.uniform_(this.bias, -bound, bound);
  }

  forward(input: Tensor): Tensor {
    return F.linear(input, this.weight, this.bias);
  }

  override extraRepr(): string {
    return `in_features=${this.inFeatures}, out_features=${this.outFeatures}, bias=${bool(this.bias !== null)}`;
  }
}

/**
 * Gives back its input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const x = torch.ones([3]);
 * console.log(new nn.Identity().forward(x) === x); // true
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Identity.html}
 */
export class Identity extends Module {
  forward(input: Tensor): Tensor {
    return input;
  }
}
