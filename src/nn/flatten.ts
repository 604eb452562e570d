/** Layers that only change a shape. */
import type { Tensor } from "../tensor/index.js";
import { Module } from "./module.js";
import { tuple } from "./repr.js";

/**
 * Joins the dimensions from `startDim` to `endDim` into one; by default all but the batch.
 *
 * Shapes: (N, *) to (N, ∏*) with the defaults. Errors: IndexError for a dimension the input lacks.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.Flatten().forward(torch.ones([32, 28, 28])).shape); // [32, 784]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Flatten.html}
 */
export class Flatten extends Module {
  constructor(
    readonly startDim = 1,
    readonly endDim = -1,
  ) {
    super();
  }

  forward(input: Tensor): Tensor {
    return input.flatten(this.startDim, this.endDim);
  }

  override extraRepr(): string {
    return `start_dim=${this.startDim}, end_dim=${this.endDim}`;
  }
}

/**
 * Splits dimension `dim` into `sizes`, of which one may be −1 and is then worked out.
 *
 * Shapes: (…, ∏sizes, …) to (…, *sizes, …). Errors: ShapeError if the sizes do not multiply to the dimension's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.Unflatten(1, [28, 28]).forward(torch.ones([32, 784])).shape); // [32, 28, 28]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Unflatten.html}
 */
export class Unflatten extends Module {
  constructor(
    readonly dim: number,
    readonly sizes: readonly number[],
  ) {
    super();
  }

  forward(input: Tensor): Tensor {
    return input.unflatten(this.dim, this.sizes);
  }

  override extraRepr(): string {
    return `dim=${this.dim}, unflattened_size=${tuple(this.sizes)}`;
  }
}
