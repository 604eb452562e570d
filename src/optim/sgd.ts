/** Stochastic gradient descent. One launch updates one parameter. */
import type { Gradient } from "../autograd/tape.js";
import { ValueError } from "../errors.js";
import { sgdStep } from "../ops/index.js";
import { type Tensor, zerosLike } from "../tensor/index.js";
import { notNegative, Optimizer, type Params, withDefaults } from "./optimizer.js";
import type { ParamState } from "./state-dict.js";

export interface SGDOptions {
  /** The learning rate: 0.001 unless given. */
  lr: number;
  /** How much of the last step goes on: 0 … 1. */
  momentum: number;
  /** How much of the gradient momentum leaves out. */
  dampening: number;
  /** The L2 penalty's factor. */
  weightDecay: number;
  /** Nesterov's momentum: looks ahead by one step. */
  nesterov: boolean;
  /** Climbs instead of descending. */
  maximize: boolean;
}

const defaults: SGDOptions = {
  lr: 1e-3,
  momentum: 0,
  dampening: 0,
  weightDecay: 0,
  nesterov: false,
  maximize: false,
};

/**
 * Stochastic gradient descent, with momentum if asked:
 *
 *     g ← ∇ + weightDecay · θ          (−∇ if maximize)
 *     b ← g in the first step, then momentum · b + (1 − dampening) · g
 *     θ ← θ − lr · b                   (g without momentum; g + momentum · b with nesterov)
 *
 * Errors: ValueError for a negative option, or for nesterov without momentum or with dampening.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const w = torch.tensor([1, 2], { requiresGrad: true });
 * const optimiser = new optim.SGD([w], { lr: 0.1, momentum: 0.9 });
 * w.square().sum().backward();
 * optimiser.step();
 * console.log(w.tolist()); // about [ 0.8, 1.6 ]
 * ```
 *
 * Source: Sutskever et al. 2013, {@link https://proceedings.mlr.press/v28/sutskever13.html};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html}
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: Partial<SGDOptions> = {}) {
    super(params, withDefaults(defaults, options));
  }

  protected override check(options: Readonly<SGDOptions>): void {
    for (const name of ["lr", "momentum", "weightDecay"] as const) notNegative("SGD", name, options[name]);
    if (options.nesterov && (options.momentum <= 0 || options.dampening !== 0)) {
      throw new ValueError("SGD: nesterov needs momentum above 0 and no dampening");
    }
  }

  protected override readonly recordable = true;

  protected override kind(o: Readonly<SGDOptions>): string {
    return `${o.momentum !== 0},${o.nesterov},${o.weightDecay !== 0},${o.maximize}`;
  }

  protected override update(param: Tensor, grad: Gradient, options: Readonly<SGDOptions>, state: ParamState): void {
    let buffer: Tensor | null = null;
    const first = state.momentumBuffer === undefined;
    if (options.momentum !== 0) {
      if (first) state.momentumBuffer = zerosLike(param);
      buffer = state.momentumBuffer as Tensor;
    }
    sgdStep(param, grad, buffer, options, first);
  }
}
