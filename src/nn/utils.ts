/**
 * Gradient clipping: gradients are scaled or cut in place between `backward` and the optimiser's step, so that one bad
 * batch does not throw the parameters far away. The rules are torch.nn.utils'.
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/nn.html#utilities}
 */
import { ValueError } from "../errors.js";
import { noGrad, stack, Tensor, zeros } from "../tensor/index.js";

export interface ClipGradNormOptions {
  /** The p of the norm: 2 unless given; `Infinity` is the largest absolute value. */
  normType?: number;
  /** Throws ValueError where the norm is NaN or infinite, before anything is changed. */
  errorIfNonfinite?: boolean;
}

/**
 * Scales the gradients of all parameters by one factor, so that their norm, taken as one long vector, is at most `maxNorm`:
 *
 *     g ← g · min(1, maxNorm / (‖(g₁, g₂, …)‖ₚ + 10⁻⁶))
 *
 * Returns the norm before clipping, a tensor without dimensions. Parameters without a gradient are passed over.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const w = torch.tensor([3, 4], { requiresGrad: true });
 * w.square().sum().div(2).backward();
 * console.log(nn.utils.clipGradNorm_(w, 1).item()); // 5
 * console.log(w.grad!.tolist()); // about [ 0.6, 0.8 ]
 * ```
 *
 * Errors: ValueError for a `maxNorm` that is negative or NaN, a `normType` that is not positive, and what `errorIfNonfinite`
 * says.
 *
 * Source: Pascanu et al. 2013, {@link https://arxiv.org/abs/1211.5063};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html}
 */
export function clipGradNorm_(
  parameters: Tensor | Iterable<Tensor>,
  maxNorm: number,
  { normType = 2, errorIfNonfinite = false }: ClipGradNormOptions = {},
): Tensor {
  if (!(maxNorm >= 0)) throw new ValueError(`clipGradNorm_: maxNorm is not negative, but ${maxNorm} was given`);
  if (!(normType > 0)) throw new ValueError(`clipGradNorm_: normType is positive, but ${normType} was given`);
  return noGrad(() => {
    const grads = gradientsOf(parameters);
    if (grads.length === 0) return zeros([]);
    const total = stack(grads.map((g) => g.norm(normType).to((grads[0] as Tensor).dtype))).norm(normType);
    if (errorIfNonfinite && !Number.isFinite(total.item())) {
      throw new ValueError(
        `clipGradNorm_: the norm of the gradients is ${total.item()}, so they cannot be clipped; find the operation with torch.autograd.detectAnomaly`,
      );
    }
    const factor = total.add(1e-6).reciprocal().mul(maxNorm).clamp(undefined, 1);
    for (const g of grads) g.mul_(factor.to(g.dtype));
    return total;
  });
}

/**
 * Cuts every gradient to −clipValue … clipValue, number by number. Parameters without a gradient are passed over.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const w = torch.tensor([3, -0.25], { requiresGrad: true });
 * w.square().sum().backward();
 * nn.utils.clipGradValue_(w, 1);
 * console.log(w.grad!.tolist()); // [ 1, -0.5 ]
 * ```
 *
 * Errors: ValueError for a `clipValue` that is negative or NaN.
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html}
 */
export function clipGradValue_(parameters: Tensor | Iterable<Tensor>, clipValue: number): void {
  if (!(clipValue >= 0)) throw new ValueError(`clipGradValue_: clipValue is not negative, but ${clipValue} was given`);
  noGrad(() => {
    for (const g of gradientsOf(parameters)) g.clamp_(-clipValue, clipValue);
  });
}

/** The gradients that are there, outside their graphs. */
function gradientsOf(parameters: Tensor | Iterable<Tensor>): Tensor[] {
  const list = parameters instanceof Tensor ? [parameters] : [...parameters];
  return list.flatMap(({ grad }) => (grad === null ? [] : [grad.detach()]));
}
