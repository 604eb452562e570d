/**
 * Parameter: the mark that makes a tensor part of a module's learnable state. It adds nothing to a tensor but its name;
 * finding parameters is the work of module.ts.
 */
import { Tensor } from "../tensor/index.js";

/**
 * A leaf tensor that a {@link Module} finds in its fields and an optimiser updates. It shares the memory of `data`
 * and forgets its history; it requires a gradient unless told otherwise.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * class Scale extends nn.Module {
 *   factor = new nn.Parameter(torch.ones([3]));
 *   forward(input: torch.Tensor): torch.Tensor {
 *     return input.mul(this.factor);
 *   }
 * }
 * console.log(new Scale().parameters().length); // 1
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html}
 */
export class Parameter extends Tensor {
  constructor(data: Tensor, requiresGrad = true) {
    super(data.buffer, data.device, data.dtype, data.shape, data.strides, data.offset, data.contiguous_);
    this.requiresGrad = requiresGrad;
    // A parameter lives as long as its module, also when it is made inside `torch.tidy`.
    this.buffer.claimed = true;
  }
}
