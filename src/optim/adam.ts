/** Adam and AdamW. One launch updates one parameter. */
import type { Gradient } from "../autograd/tape.js";
import { ValueError } from "../errors.js";
import { adamStep } from "../ops/index.js";
import { type Tensor, zerosLike } from "../tensor/index.js";
import { notNegative, Optimizer, type Params, withDefaults } from "./optimizer.js";
import type { ParamState } from "./state-dict.js";

export interface AdamOptions {
  /** The learning rate: 0.001 unless given. */
  lr: number;
  /** How slowly the averages of gradient and squared gradient move: (0.9, 0.999) unless given, each in 0 … 1. */
  betas: readonly [number, number];
  /** Keeps the quotient finite: 1e-8 unless given. */
  eps: number;
  /** Adam: the L2 penalty's factor, 0 unless given. AdamW: the share of a weight that a step of lr 1 takes, 0.01. */
  weightDecay: number;
  /** Divides by the largest average yet, which cannot shrink. */
  amsgrad: boolean;
  /** Climbs instead of descending. */
  maximize: boolean;
  /** Takes weight decay from the weights and not through the gradient, as AdamW does. */
  decoupledWeightDecay: boolean;
}

const defaults: AdamOptions = {
  lr: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  amsgrad: false,
  maximize: false,
  decoupledWeightDecay: false,
};

/**
 * Adam: steps of the size of lr, each weight on its own scale.
 *
 *     g ← ∇ + weightDecay · θ          (−∇ if maximize)
 *     m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
 *     θ ← θ − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps)
 *
 * With amsgrad, the largest v yet takes the place of v in the last line.
 * Errors: ValueError for a negative lr, eps or weightDecay, or betas outside 0 … 1.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const w = torch.tensor([1, 2], { requiresGrad: true });
 * const optimiser = new optim.Adam([w], { lr: 0.1 });
 * w.square().sum().backward();
 * optimiser.step();
 * console.log(w.tolist()); // about [ 0.9, 1.9 ]
 * ```
 *
 * Source: Kingma and Ba 2014, {@link https://arxiv.org/abs/1412.6980}; Reddi, Kale and Kumar 2019 (amsgrad),
 * {@link https://arxiv.org/abs/1904.09237}; {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html}
 */
export class Adam extends Optimizer<AdamOptions> {
  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, withDefaults(defaults, options));
  }

  protected override check({ lr, eps, weightDecay, betas }: Readonly<AdamOptions>): void {
    notNegative(this.name(), "lr", lr);
    notNegative(this.name(), "eps", eps);
    notNegative(this.name(), "weightDecay", weightDecay);
    for (const [i, beta] of betas.entries()) {
      if (!(beta >= 0 && beta < 1))
        throw new ValueError(`${this.name()}: betas[${i}] is in 0 … 1, below 1, not ${beta}`);
    }
  }

  protected override readonly recordable = true;

  protected override kind({ amsgrad }: Readonly<AdamOptions>): string {
    return String(amsgrad);
  }

  protected override update(param: Tensor, grad: Gradient, options: Readonly<AdamOptions>, state: ParamState): void {
    state.step ??= 0;
    state.expAvg ??= zerosLike(param);
    state.expAvgSq ??= zerosLike(param);
    if (options.amsgrad) state.maxExpAvgSq ??= zerosLike(param);
    adamStep(
      param,
      grad,
      state.expAvg as Tensor,
      state.expAvgSq as Tensor,
      options.amsgrad ? (state.maxExpAvgSq as Tensor) : null,
      () => {
        state.step = (state.step as number) + 1;
        return {
          lr: options.lr,
          beta1: options.betas[0],
          beta2: options.betas[1],
          eps: options.eps,
          weightDecay: options.weightDecay,
          step: state.step,
          decoupled: options.decoupledWeightDecay,
          maximize: options.maximize,
        };
      },
    );
  }
}

/**
 * Adam with weight decay on its own: `θ ← θ − lr · weightDecay · θ` before the step, and nothing added to the gradient.
 * The default weightDecay is 0.01; all else is {@link Adam}'s.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const w = torch.tensor([1, 2], { requiresGrad: true });
 * const optimiser = new optim.AdamW([w], { lr: 0.1, weightDecay: 0.5 });
 * w.square().sum().backward();
 * optimiser.step();
 * console.log(w.tolist()); // about [ 0.85, 1.8 ]
 * ```
 *
 * Source: Loshchilov and Hutter 2017, {@link https://arxiv.org/abs/1711.05101};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html}
 */
export class AdamW extends Adam {
  constructor(params: Params<AdamOptions>, options: Partial<Omit<AdamOptions, "decoupledWeightDecay">> = {}) {
    super(params, { ...options, weightDecay: options.weightDecay ?? 0.01, decoupledWeightDecay: true });
  }
}
