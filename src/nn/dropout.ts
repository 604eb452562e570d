/** Layers that act only while training. */
import { ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import * as F from "./functional.js";
import { Module } from "./module.js";
import { float } from "./repr.js";

/**
 * While training, sets each element to zero with probability `p`, independently, and scales the others by 1 / (1 − p),
 * so that the expectation stays; in evaluation, gives back its input.
 *
 * Shapes: any; the output's is the input's. Errors: ValueError if p is not in 0 … 1.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.Dropout(0.2);
 * console.log(layer.forward(torch.ones([5]))); // zeros and 1.25s
 * console.log(layer.eval().forward(torch.ones([5]))); // ones
 * ```
 *
 * Source: Hinton et al. 2012, {@link https://arxiv.org/abs/1207.0580};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout.html}
 */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super();
    if (!(p >= 0 && p <= 1)) throw new ValueError(`Dropout: p is a probability, in 0 … 1, not ${p}`);
  }

  forward(input: Tensor): Tensor {
    return F.dropout(input, this.p, { training: this.training });
  }

  override extraRepr(): string {
    return `p=${float(this.p)}`;
  }
}
