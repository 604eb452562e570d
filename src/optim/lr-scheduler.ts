/**
 * Schedules: change the learning rates of an optimiser's groups, once an epoch or once a step. Each works from the rate
 * in force, so that schedules can be chained and rates changed by hand.
 */
import { StateDictError, ValueError } from "../errors.js";
import { capturing } from "../ops/capture.js";

/** What a schedule needs of an optimiser. */
export interface Schedulable {
  readonly paramGroups: { lr: number; initialLr?: number }[];
}

/** What a schedule remembers, by PyTorch's names. */
export interface SchedulerState {
  last_epoch: number;
  base_lrs: number[];
}

/**
 * The base of every schedule: call `step()` after the optimiser's.
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate}
 */
export abstract class LRScheduler {
  /** Steps taken so far. */
  lastEpoch = 0;
  /** The rates at the start, one a group. */
  readonly baseLrs: number[];

  constructor(readonly optimizer: Schedulable) {
    for (const group of optimizer.paramGroups) group.initialLr ??= group.lr;
    this.baseLrs = optimizer.paramGroups.map((group) => group.initialLr as number);
  }

  /** A group's rate at step `lastEpoch`, from its rate at the step before and at the start. */
  protected abstract next(lr: number, baseLr: number, group: number): number;

  /** Sets the rates for the next step or epoch. */
  step(): void {
    capturing()?.refuse(`the step of ${this.constructor.name}`);
    this.lastEpoch += 1;
    this.update();
  }

  protected update(): void {
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      // A group added since the start begins from the rate it came with.
      this.baseLrs[i] ??= group.lr;
      group.lr = this.next(group.lr, this.baseLrs[i], i);
    }
  }

  /** The rates in force, one a group. */
  getLastLr(): number[] {
    return this.optimizer.paramGroups.map((group) => group.lr);
  }

  stateDict(): SchedulerState {
    return { last_epoch: this.lastEpoch, base_lrs: [...this.baseLrs] };
  }

  /** Goes on from a saved state; the rates themselves are in the optimiser's state dict. */
  loadStateDict(state: Readonly<SchedulerState>): void {
    if (state.base_lrs.length !== this.baseLrs.length) {
      throw new StateDictError(
        `${this.constructor.name}: the state has ${state.base_lrs.length} groups, the optimiser ${this.baseLrs.length}`,
      );
    }
    this.lastEpoch = state.last_epoch;
    this.baseLrs.splice(0, this.baseLrs.length, ...state.base_lrs);
  }
}

/**
 * Multiplies the rate by `gamma` every `stepSize` steps.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const optimiser = new optim.SGD([torch.zeros([1], { requiresGrad: true })], { lr: 1 });
 * const schedule = new optim.lrScheduler.StepLR(optimiser, { stepSize: 2, gamma: 0.5 });
 * for (let epoch = 0; epoch < 4; epoch++) schedule.step();
 * console.log(schedule.getLastLr()); // [ 0.25 ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html}
 */
export class StepLR extends LRScheduler {
  readonly stepSize: number;
  readonly gamma: number;

  constructor(optimizer: Schedulable, { stepSize, gamma = 0.1 }: { stepSize: number; gamma?: number }) {
    super(optimizer);
    if (!(Number.isInteger(stepSize) && stepSize > 0)) {
      throw new ValueError(`StepLR: stepSize is a positive whole number, not ${stepSize}`);
    }
    this.stepSize = stepSize;
    this.gamma = gamma;
  }

  protected override next(lr: number): number {
    return this.lastEpoch % this.stepSize === 0 ? lr * this.gamma : lr;
  }
}

/**
 * Multiplies the rate by `gamma` every step.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const optimiser = new optim.SGD([torch.zeros([1], { requiresGrad: true })], { lr: 1 });
 * const schedule = new optim.lrScheduler.ExponentialLR(optimiser, { gamma: 0.5 });
 * for (let epoch = 0; epoch < 3; epoch++) schedule.step();
 * console.log(schedule.getLastLr()); // [ 0.125 ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ExponentialLR.html}
 */
export class ExponentialLR extends LRScheduler {
  readonly gamma: number;

  constructor(optimizer: Schedulable, { gamma }: { gamma: number }) {
    super(optimizer);
    this.gamma = gamma;
  }

  protected override next(lr: number): number {
    return lr * this.gamma;
  }
}

/**
 * Half a cosine from the first rate to `etaMin` in `tMax` steps, and back up again in the next `tMax`:
 * `etaMin + (lr₀ − etaMin) (1 + cos(π t / tMax)) / 2`.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const optimiser = new optim.SGD([torch.zeros([1], { requiresGrad: true })], { lr: 1 });
 * const schedule = new optim.lrScheduler.CosineAnnealingLR(optimiser, { tMax: 10 });
 * for (let epoch = 0; epoch < 5; epoch++) schedule.step();
 * console.log(schedule.getLastLr()[0]!.toFixed(3)); // 0.500
 * ```
 *
 * Source: Loshchilov and Hutter 2016, {@link https://arxiv.org/abs/1608.03983};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html}
 */
export class CosineAnnealingLR extends LRScheduler {
  readonly tMax: number;
  readonly etaMin: number;

  constructor(optimizer: Schedulable, { tMax, etaMin = 0 }: { tMax: number; etaMin?: number }) {
    super(optimizer);
    if (!(tMax > 0)) throw new ValueError(`CosineAnnealingLR: tMax is positive, not ${tMax}`);
    this.tMax = tMax;
    this.etaMin = etaMin;
  }

  protected override next(lr: number, baseLr: number): number {
    const { lastEpoch: t, tMax, etaMin } = this;
    // At a minimum the recursion would divide by zero: take the first step up from it in closed form.
    if ((t - 1 - tMax) % (2 * tMax) === 0) {
      return lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2;
    }
    const ratio = (1 + Math.cos((Math.PI * t) / tMax)) / (1 + Math.cos((Math.PI * (t - 1)) / tMax));
    return ratio * (lr - etaMin) + etaMin;
  }
}

/**
 * The first rate times `lrLambda(step)`; one function for all groups, or one for each. It takes effect at once, with
 * step 0.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { optim } from "cresset";
 *
 * const optimiser = new optim.SGD([torch.zeros([1], { requiresGrad: true })], { lr: 1 });
 * const warmUp = new optim.lrScheduler.LambdaLR(optimiser, { lrLambda: (step) => Math.min(1, (step + 1) / 4) });
 * warmUp.step();
 * console.log(warmUp.getLastLr()); // [ 0.5 ]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LambdaLR.html}
 */
export class LambdaLR extends LRScheduler {
  readonly lrLambdas: ((step: number) => number)[];

  constructor(
    optimizer: Schedulable,
    { lrLambda }: { lrLambda: ((step: number) => number) | ((step: number) => number)[] },
  ) {
    super(optimizer);
    const groups = this.baseLrs.length;
    this.lrLambdas = Array.isArray(lrLambda) ? [...lrLambda] : new Array(groups).fill(lrLambda);
    if (this.lrLambdas.length !== groups) {
      throw new ValueError(`LambdaLR: ${this.lrLambdas.length} functions for ${groups} groups`);
    }
    this.update();
  }

  protected override next(_lr: number, baseLr: number, group: number): number {
    return baseLr * (this.lrLambdas[group]?.(this.lastEpoch) ?? 1);
  }
}
