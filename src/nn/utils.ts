/**
 * Clipping of gradients between `backward` and the optimiser's step. Everything is composed from tensor operations, so it can
 * be part of a compiled step.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const w = torch.tensor([3, 4], { requiresGrad: true });
 * w.square().sum().backward();
 * console.log(nn.utils.clipGradNorm_([w], 1).item()); // 10
 * console.log(w.grad!.tolist()); // about [ 0.6, 0.8 ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/nn.html#utilities}
 */
import { ValueError } from "../errors.js";
import { inspect } from "../ops/capture.js";
import { isTensor, noGrad, stack, type Tensor, zeros } from "../tensor/index.js";

export interface ClipGradNormOptions {
  /** p of the norm (Σ|g|ᵖ)^(1/p): 2 by default. Infinity takes the largest magnitude. */
  normType?: number;
  /** A norm that is NaN or infinite is an error instead of the gradients' new scale. */
  errorIfNonfinite?: boolean;
}

/**
 * Scales all gradients by one factor, so that together, taken as one vector g, they are no longer than `maxNorm`:
 * g ← g · min(1, maxNorm / (‖g‖ₚ + 10⁻⁶)), in place. Parameters without a gradient are passed over.
 *
 * Gives the norm before clipping, a tensor of shape []; 0 where there is no gradient.
 *
 * Errors: ValueError for a negative or NaN `maxNorm`, a NaN `normType`, and, with `errorIfNonfinite`, a norm that is not finite; the
 * gradients are then as they were.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn, optim } from "cresset";
 *
 * const model = new nn.Linear(2, 1);
 * const optimiser = new optim.SGD(model.parameters(), { lr: 0.1 });
 * model.forward(torch.tensor([100, 100])).square().sum().backward();
 * nn.utils.clipGradNorm_(model.parameters(), 1);
 * optimiser.step();
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html}
 */
export function clipGradNorm_(
  parameters: Iterable<Tensor> | Tensor,
  maxNorm: number,
  { normType = 2, errorIfNonfinite = false }: ClipGradNormOptions = {},
): Tensor {
  // As in PyTorch, Infinity clips nothing and only measures.
  if (!(maxNorm >= 0)) throw new ValueError(`clipGradNorm_: maxNorm is ${maxNorm}; it must be 0 or more`);
  if (Number.isNaN(normType)) throw new ValueError("clipGradNorm_: normType is NaN");
  return noGrad(() => {
    const grads = gradientsOf(parameters);
    if (grads.length === 0) return zeros([]);
    const norms = grads.map((grad) => grad.norm(normType));
    const total = stack(norms).norm(normType);
    if (errorIfNonfinite) refuseNonfinite(total, normType);
    const factor = total.add(1e-6).reciprocal().mul(maxNorm).clamp(null, 1);
    for (const grad of grads) grad.mul_(factor);
    return total;
  });
}

function refuseNonfinite(total: Tensor, normType: number): void {
  const check = ([norm]: readonly number[]): void => {
    if (Number.isFinite(norm)) return;
    throw new ValueError(`clipGradNorm_: the gradients' norm of order ${normType} is ${norm}; it cannot be clipped`);
  };
  inspect([total], check);
}

/**
 * Clamps every entry of every gradient to −clipValue … clipValue, in place. NaN stays NaN. Parameters without a gradient are
 * passed over.
 *
 * Errors: ValueError for a negative or NaN `clipValue`.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const w = torch.tensor([3, -4, 0.1], { requiresGrad: true });
 * w.square().sum().backward();
 * nn.utils.clipGradValue_([w], 1);
 * console.log(w.grad!.tolist()); // [ 1, -1, 0.2 ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html}
 */
export function clipGradValue_(parameters: Iterable<Tensor> | Tensor, clipValue: number): void {
  if (!(clipValue >= 0)) throw new ValueError(`clipGradValue_: clipValue is ${clipValue}; it must be 0 or more`);
  noGrad(() => {
    for (const grad of gradientsOf(parameters)) grad.clamp_(-clipValue, clipValue);
  });
}

const gradientsOf = (parameters: Iterable<Tensor> | Tensor): Tensor[] =>
  (isTensor(parameters) ? [parameters] : [...parameters]).flatMap((parameter) => parameter.gradUnseen ?? []);
