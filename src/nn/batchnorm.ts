/** Batch and group normalisation. The arithmetic is ops/batchnorm.ts's. */
import { ShapeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { empty, noGrad, ones, zeros } from "../tensor/index.js";
import * as F from "./functional.js";
import * as init from "./init.js";
import type { FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";
import { bool, float } from "./repr.js";

/** Settings of batch normalisation. */
export interface BatchNormModuleOptions extends FactoryOptions {
  /** Added to the variance; 1e-5 if not given. */
  eps?: number;
  /** The weight of a batch in the running statistics, 0.1 if not given; null weighs all batches alike. */
  momentum?: number | null;
  /** Whether channels are scaled and shifted by parameters; they are unless this is false. */
  affine?: boolean;
  /** Whether the parameters include a shift; they do unless this is false. */
  bias?: boolean;
  /** Whether running statistics are kept for evaluation; they are unless this is false. */
  trackRunningStats?: boolean;
}

abstract class BatchNormNd extends Module {
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;
  /** Running statistics, `running_mean` and `running_var` of the state dict; null without `trackRunningStats`. */
  runningMean: Tensor | null = null;
  runningVar: Tensor | null = null;
  /** Batches seen so far (int32). */
  numBatchesTracked: Tensor | null = null;

  constructor(
    readonly numFeatures: number,
    o: BatchNormModuleOptions = {},
  ) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine = true, bias = true, trackRunningStats = true, ...options } = o;
    if (!Number.isInteger(numFeatures) || numFeatures < 1) {
      throw new ValueError(`${this.name()}: numFeatures is a whole number from 1 on, not ${numFeatures}`);
    }
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.weight = affine ? new Parameter(empty([numFeatures], options)) : null;
    this.bias = affine && bias ? new Parameter(empty([numFeatures], options)) : null;
    if (trackRunningStats) {
      const { device } = options;
      this.registerBuffer("runningMean", zeros([numFeatures], options));
      this.registerBuffer("runningVar", ones([numFeatures], options));
      this.registerBuffer(
        "numBatchesTracked",
        zeros([], { dtype: "int32", ...(device === undefined ? {} : { device }) }),
      );
    }
    this.resetParameters();
  }

  /** Sets weight to 1 and bias to 0, and forgets the running statistics. */
  resetParameters(): void {
    this.resetRunningStats();
    if (this.weight) init.ones_(this.weight);
    if (this.bias) init.zeros_(this.bias);
  }

  /** Mean 0, variance 1, no batch seen. */
  resetRunningStats(): void {
    this.runningMean?.zero_();
    this.runningVar?.fill_(1);
    this.numBatchesTracked?.zero_();
  }

  /** Throws ShapeError for an input of other dimensions. */
  protected abstract check(input: Tensor): void;

  forward(input: Tensor): Tensor {
    this.check(input);
    if (input.shape[1] !== this.numFeatures) {
      throw new ShapeError(
        `${this.name()}: input (${input.shape.join(", ")}) has ${input.shape[1]} channels; expected ${this.numFeatures}`,
      );
    }
    const { weight, bias, eps } = this;
    let momentum = this.momentum ?? 0;
    const batches = this.numBatchesTracked;
    if (this.training && batches !== null) {
      noGrad(() => batches.add_(1));
      if (this.momentum === null) momentum = 1 / batches.item();
    }
    const own = this.training || this.runningMean === null;
    return F.batchNorm(
      input,
      own && !this.training ? null : this.runningMean,
      own && !this.training ? null : this.runningVar,
      { weight, bias, training: own, momentum, eps },
    );
  }

  override extraRepr(): string {
    const momentum = this.momentum === null ? "None" : float(this.momentum);
    return (
      `${this.numFeatures}, eps=${float(this.eps)}, momentum=${momentum}, affine=${bool(this.affine)}, ` +
      `bias=${bool(this.bias !== null)}, track_running_stats=${bool(this.trackRunningStats)}`
    );
  }
}

/** Throws unless `input` has one of the numbers of dimensions. */
function dimensions(name: string, input: Tensor, allowed: readonly number[], form: string): void {
  if (!allowed.includes(input.ndim)) {
    throw new ShapeError(`${name}: input (${input.shape.join(", ")}) has ${input.ndim} dimensions; expected ${form}`);
  }
}

/**
 * Batch normalisation: `y = (x − E[x]) / √(Var[x] + eps) · weight + bias` for each channel. While training, mean and (biased)
 * variance are those of the batch, and the running ones move towards them by `momentum` (the variance unbiased); in
 * evaluation the running ones are used.
 *
 * Shapes: input and output (N, C) or (N, C, L), C = numFeatures; `weight`, `bias`, `runningMean`, `runningVar` (C), starting at 1,
 * 0, 0 and 1. Errors: ShapeError for other inputs, or one value a channel while training.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.BatchNorm1d(8);
 * const y = layer.forward(torch.randn([16, 8]));
 * console.log(Math.abs(y.mean().item()) < 1e-5); // true
 * ```
 *
 * Source: Ioffe and Szegedy 2015, {@link https://arxiv.org/abs/1502.03167};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html}
 */
export class BatchNorm1d extends BatchNormNd {
  protected check(input: Tensor): void {
    dimensions(this.name(), input, [2, 3], "(N, C) or (N, C, L)");
  }
}

/**
 * Batch normalisation: `y = (x − E[x]) / √(Var[x] + eps) · weight + bias` for each channel. While training, mean and (biased)
 * variance are those of the batch, and the running ones move towards them by `momentum` (the variance unbiased); in
 * evaluation the running ones are used.
 *
 * Shapes: input and output (N, C, H, W), C = numFeatures; `weight`, `bias`, `runningMean`, `runningVar` (C), starting at 1,
 * 0, 0 and 1. Errors: ShapeError for other inputs, or one value a channel while training.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.BatchNorm2d(8);
 * const y = layer.forward(torch.randn([16, 8, 5, 5]));
 * console.log(Math.abs(y.mean().item()) < 1e-5); // true
 * ```
 *
 * Source: Ioffe and Szegedy 2015, {@link https://arxiv.org/abs/1502.03167};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html}
 */
export class BatchNorm2d extends BatchNormNd {
  protected check(input: Tensor): void {
    dimensions(this.name(), input, [4], "(N, C, H, W)");
  }
}

/**
 * Batch normalisation: `y = (x − E[x]) / √(Var[x] + eps) · weight + bias` for each channel. While training, mean and (biased)
 * variance are those of the batch, and the running ones move towards them by `momentum` (the variance unbiased); in
 * evaluation the running ones are used.
 *
 * Shapes: input and output (N, C, D, H, W), C = numFeatures; `weight`, `bias`, `runningMean`, `runningVar` (C), starting at 1,
 * 0, 0 and 1. Errors: ShapeError for other inputs, or one value a channel while training.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.BatchNorm3d(8);
 * const y = layer.forward(torch.randn([4, 8, 3, 5, 5]));
 * console.log(Math.abs(y.mean().item()) < 1e-5); // true
 * ```
 *
 * Source: Ioffe and Szegedy 2015, {@link https://arxiv.org/abs/1502.03167};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm3d.html}
 */
export class BatchNorm3d extends BatchNormNd {
  protected check(input: Tensor): void {
    dimensions(this.name(), input, [5], "(N, C, D, H, W)");
  }
}

/**
 * Group normalisation: as batch normalisation, but over each of `numGroups` groups of channels of each image alone, so that it
 * does not depend on the batch.
 *
 * Shapes: input and output (N, C, …), C = numChannels; `weight` and `bias` (C), starting at 1 and 0.
 * Errors: ValueError if the groups do not divide the channels; ShapeError for an input of other channels.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.GroupNorm(2, 6).forward(torch.rand([3, 6, 4, 4])).shape); // [3, 6, 4, 4]
 * ```
 *
 * Source: Wu and He 2018, {@link https://arxiv.org/abs/1803.08494};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html}
 */
export class GroupNorm extends Module {
  readonly eps: number;
  readonly weight: Parameter | null;
  readonly bias: Parameter | null;

  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    {
      eps = 1e-5,
      affine = true,
      bias = true,
      ...options
    }: FactoryOptions & { eps?: number; affine?: boolean; bias?: boolean } = {},
  ) {
    super();
    if (!Number.isInteger(numGroups) || numGroups < 1 || numChannels % numGroups !== 0) {
      throw new ValueError(`GroupNorm: ${numGroups} groups do not divide ${numChannels} channels`);
    }
    this.eps = eps;
    this.weight = affine ? new Parameter(empty([numChannels], options)) : null;
    this.bias = affine && bias ? new Parameter(empty([numChannels], options)) : null;
    this.resetParameters();
  }

  /** Sets weight to 1 and bias to 0. */
  resetParameters(): void {
    if (this.weight) init.ones_(this.weight);
    if (this.bias) init.zeros_(this.bias);
  }

  forward(input: Tensor): Tensor {
    if (input.shape[1] !== this.numChannels) {
      throw new ShapeError(
        `GroupNorm: input (${input.shape.join(", ")}) has ${input.shape[1]} channels; expected ${this.numChannels}`,
      );
    }
    return F.groupNorm(input, this.numGroups, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    const affine = bool(this.weight !== null);
    return `${this.numGroups}, ${this.numChannels}, eps=${float(this.eps)}, affine=${affine}, bias=${bool(this.bias !== null)}`;
  }
}
