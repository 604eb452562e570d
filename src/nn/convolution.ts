/** Convolutions and their transposes. The arithmetic is ops/convolution.ts's. */
import { ShapeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { empty } from "../tensor/index.js";
import * as F from "./functional.js";
import * as init from "./init.js";
import type { FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";
import { tuple } from "./repr.js";

type Sizes = F.Sizes;

/** Settings of a convolution; each size is one number, or one for each dimension. */
export interface ConvModuleOptions extends F.ConvOptions, FactoryOptions {
  /** Whether a bias is added; it is unless this is false. */
  bias?: boolean;
}

/** Settings of a transposed convolution. */
export interface ConvTransposeModuleOptions extends F.ConvTransposeOptions, FactoryOptions {
  /** Whether a bias is added; it is unless this is false. */
  bias?: boolean;
}

/** What convolutions and their transposes share: sizes, parameters and how they are drawn and printed. */
abstract class ConvNd extends Module {
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[] | "same" | "valid";
  readonly dilation: readonly number[];
  readonly groups: number;
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  constructor(
    dims: number,
    transposed: boolean,
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Sizes,
    o: ConvModuleOptions,
  ) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, ...options } = o;
    this.kernelSize = this.sizes("kernelSize", kernelSize, dims, 1);
    this.stride = this.sizes("stride", stride, dims, 1);
    this.padding = typeof padding === "string" ? padding : this.sizes("padding", padding, dims, 0);
    this.dilation = this.sizes("dilation", dilation, dims, 1);
    this.groups = groups;
    for (const [name, channels] of Object.entries({ inChannels, outChannels })) {
      if (!Number.isInteger(channels) || channels < 1) {
        throw new ValueError(`${this.name()}: ${name} is a whole number from 1 on, not ${channels}`);
      }
      if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
        throw new ValueError(`${this.name()}: ${groups} groups do not divide ${name} = ${channels}`);
      }
    }
    if (padding === "same" && this.stride.some((s) => s !== 1)) {
      throw new ValueError(`${this.name()}: padding "same" needs stride 1, not ${tuple(this.stride)}`);
    }
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    const { dtype, device } = options;
    const place = { ...(dtype === undefined ? {} : { dtype }), ...(device === undefined ? {} : { device }) };
    this.weight = new Parameter(empty([...channels, ...this.kernelSize], place));
    this.bias = bias ? new Parameter(empty([outChannels], place)) : null;
    this.resetParameters();
  }

  private sizes(name: string, value: Sizes, dims: number, least: number): readonly number[] {
    const list = typeof value === "number" ? new Array<number>(dims).fill(value) : [...value];
    if (list.length !== dims || list.some((n) => !Number.isInteger(n) || n < least)) {
      throw new ValueError(
        `${this.name()}: ${name} is a whole number from ${least} on, or ${dims} of them, not ${JSON.stringify(value)}`,
      );
    }
    return list;
  }

  /** Draws weight and bias anew, uniform in ±1/√(what one output sees). */
  resetParameters(): void {
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    const seen = this.weight.shape.slice(1).reduce((product, n) => product * n, 1);
    if (this.bias) init.uniform_(this.bias, -1 / Math.sqrt(seen), 1 / Math.sqrt(seen));
  }

  protected settings(): F.ConvOptions {
    const { stride, padding, dilation, groups } = this;
    return { stride, padding, dilation, groups };
  }

  /** The output's padding of a transposed convolution, as printed. */
  protected printedOutputPadding(): string {
    return "";
  }

  override extraRepr(): string {
    const not = (list: readonly number[], value: number): boolean => list.some((n) => n !== value);
    const { padding } = this;
    const padded =
      typeof padding === "string" ? `, padding=${padding}` : not(padding, 0) ? `, padding=${tuple(padding)}` : "";
    return (
      `${this.inChannels}, ${this.outChannels}, kernel_size=${tuple(this.kernelSize)}, stride=${tuple(this.stride)}` +
      padded +
      (not(this.dilation, 1) ? `, dilation=${tuple(this.dilation)}` : "") +
      this.printedOutputPadding() +
      (this.groups === 1 ? "" : `, groups=${this.groups}`) +
      (this.bias === null ? ", bias=False" : "")
    );
  }
}

abstract class ConvTransposeNd extends ConvNd {
  readonly outputPadding: readonly number[];

  constructor(
    private readonly dims: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes,
    { outputPadding = 0, ...o }: ConvTransposeModuleOptions,
  ) {
    super(dims, true, inChannels, outChannels, kernelSize, o);
    this.outputPadding = typeof outputPadding === "number" ? this.stride.map(() => outputPadding) : [...outputPadding];
  }

  /** The settings, with the output padding that gives `outputSize` where one is asked for. */
  protected settingsFor(input: Tensor, outputSize: readonly number[] | undefined): F.ConvTransposeOptions {
    const { stride, dilation, groups } = this;
    const padding = this.padding as readonly number[];
    let { outputPadding } = this;
    if (outputSize !== undefined) {
      const sizes = outputSize.slice(-this.dims);
      outputPadding = sizes.map((size, i) => {
        const n = input.shape[input.shape.length - this.dims + i] as number;
        const reach = (dilation[i] as number) * ((this.kernelSize[i] as number) - 1);
        const least = (n - 1) * (stride[i] as number) - 2 * (padding[i] as number) + reach + 1;
        if (size < least || size >= least + Math.max(stride[i] as number, dilation[i] as number)) {
          throw new ShapeError(
            `${this.name()}: input (${input.shape.join(", ")}) cannot give size ${size} in dimension ${i}; at least ${least}`,
          );
        }
        return size - least;
      });
    }
    return { stride, padding, dilation, groups, outputPadding };
  }

  protected override printedOutputPadding(): string {
    return this.outputPadding.some((n) => n !== 0) ? `, output_padding=${tuple(this.outputPadding)}` : "";
  }
}

/**
 * Convolution over a signal of several channels: `y[n, m] = bias[m] + Σ_c weight[m, c] ⋆ x[n, c]`, where ⋆ slides the filter over the
 * input without turning it round.
 *
 * Shapes: input (N, C, L) with C = inChannels, or without N; output the same with outChannels, each size n becoming
 * `⌊(n + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1`; `weight` (outChannels, inChannels / groups, *kernelSize),
 * `bias` (outChannels). Both start uniform in ±1/√(inChannels / groups · ∏kernelSize), as PyTorch's do.
 * Errors: ValueError for sizes that are not whole numbers or groups that do not divide the channels; ShapeError if an input
 * has other channels or is smaller than the filter.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.Conv1d(16, 33, 3, { stride: 2 });
 * console.log(layer.forward(torch.rand([20, 16, 50])).shape); // [20, 33, 24]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html}
 */
export class Conv1d extends ConvNd {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes, options: ConvModuleOptions = {}) {
    super(1, false, inChannels, outChannels, kernelSize, options);
  }

  forward(input: Tensor): Tensor {
    return F.conv1d(input, this.weight, this.bias, this.settings());
  }
}

/**
 * Convolution over images of several channels: `y[n, m] = bias[m] + Σ_c weight[m, c] ⋆ x[n, c]`, where ⋆ slides the filter over the
 * input without turning it round.
 *
 * Shapes: input (N, C, H, W) with C = inChannels, or without N; output the same with outChannels, each size n becoming
 * `⌊(n + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1`; `weight` (outChannels, inChannels / groups, *kernelSize),
 * `bias` (outChannels). Both start uniform in ±1/√(inChannels / groups · ∏kernelSize), as PyTorch's do.
 * Errors: ValueError for sizes that are not whole numbers or groups that do not divide the channels; ShapeError if an input
 * has other channels or is smaller than the filter.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.Conv2d(1, 32, 3, { padding: 1 });
 * console.log(layer.forward(torch.rand([64, 1, 28, 28])).shape); // [64, 32, 28, 28]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html}
 */
export class Conv2d extends ConvNd {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes, options: ConvModuleOptions = {}) {
    super(2, false, inChannels, outChannels, kernelSize, options);
  }

  forward(input: Tensor): Tensor {
    return F.conv2d(input, this.weight, this.bias, this.settings());
  }
}

/**
 * Convolution over volumes of several channels: `y[n, m] = bias[m] + Σ_c weight[m, c] ⋆ x[n, c]`, where ⋆ slides the filter over the
 * input without turning it round.
 *
 * Shapes: input (N, C, D, H, W) with C = inChannels, or without N; output the same with outChannels, each size n becoming
 * `⌊(n + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1`; `weight` (outChannels, inChannels / groups, *kernelSize),
 * `bias` (outChannels). Both start uniform in ±1/√(inChannels / groups · ∏kernelSize), as PyTorch's do.
 * Errors: ValueError for sizes that are not whole numbers or groups that do not divide the channels; ShapeError if an input
 * has other channels or is smaller than the filter.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.Conv3d(2, 4, [3, 5, 2]);
 * console.log(layer.forward(torch.rand([2, 2, 10, 12, 14])).shape); // [2, 4, 8, 8, 13]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv3d.html}
 */
export class Conv3d extends ConvNd {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes, options: ConvModuleOptions = {}) {
    super(3, false, inChannels, outChannels, kernelSize, options);
  }

  forward(input: Tensor): Tensor {
    return F.conv3d(input, this.weight, this.bias, this.settings());
  }
}

/**
 * The transpose of {@link Conv1d} as a linear map, with which sizes grow: what a convolution of the same settings gives
 * back to its input in the gradient.
 *
 * Shapes: input (N, C, L) with C = inChannels, or without N; output the same with outChannels, each size n becoming
 * `(n − 1)·stride − 2·padding + dilation·(kernelSize − 1) + outputPadding + 1`; `weight`
 * (inChannels, outChannels / groups, *kernelSize), `bias` (outChannels).
 * Errors: those of Conv1d; ShapeError for an `outputSize` that the input cannot give.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.ConvTranspose1d(16, 8, 4, { stride: 2, padding: 1 });
 * console.log(layer.forward(torch.rand([2, 16, 25])).shape); // [2, 8, 50]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html}
 */
export class ConvTranspose1d extends ConvTransposeNd {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes, options: ConvTransposeModuleOptions = {}) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  forward(input: Tensor, outputSize?: readonly number[]): Tensor {
    return F.convTranspose1d(input, this.weight, this.bias, this.settingsFor(input, outputSize));
  }
}

/**
 * The transpose of {@link Conv2d} as a linear map, with which sizes grow: what a convolution of the same settings gives
 * back to its input in the gradient.
 *
 * Shapes: input (N, C, H, W) with C = inChannels, or without N; output the same with outChannels, each size n becoming
 * `(n − 1)·stride − 2·padding + dilation·(kernelSize − 1) + outputPadding + 1`; `weight`
 * (inChannels, outChannels / groups, *kernelSize), `bias` (outChannels).
 * Errors: those of Conv2d; ShapeError for an `outputSize` that the input cannot give.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.ConvTranspose2d(16, 8, 4, { stride: 2, padding: 1 });
 * console.log(layer.forward(torch.rand([2, 16, 7, 7])).shape); // [2, 8, 14, 14]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html}
 */
export class ConvTranspose2d extends ConvTransposeNd {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes, options: ConvTransposeModuleOptions = {}) {
    super(2, inChannels, outChannels, kernelSize, options);
  }

  forward(input: Tensor, outputSize?: readonly number[]): Tensor {
    return F.convTranspose2d(input, this.weight, this.bias, this.settingsFor(input, outputSize));
  }
}

/**
 * The transpose of {@link Conv3d} as a linear map, with which sizes grow: what a convolution of the same settings gives
 * back to its input in the gradient.
 *
 * Shapes: input (N, C, D, H, W) with C = inChannels, or without N; output the same with outChannels, each size n becoming
 * `(n − 1)·stride − 2·padding + dilation·(kernelSize − 1) + outputPadding + 1`; `weight`
 * (inChannels, outChannels / groups, *kernelSize), `bias` (outChannels).
 * Errors: those of Conv3d; ShapeError for an `outputSize` that the input cannot give.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.ConvTranspose3d(4, 2, 2, { stride: 2 });
 * console.log(layer.forward(torch.rand([1, 4, 3, 4, 5])).shape); // [1, 2, 6, 8, 10]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html}
 */
export class ConvTranspose3d extends ConvTransposeNd {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes, options: ConvTransposeModuleOptions = {}) {
    super(3, inChannels, outChannels, kernelSize, options);
  }

  forward(input: Tensor, outputSize?: readonly number[]): Tensor {
    return F.convTranspose3d(input, this.weight, this.bias, this.settingsFor(input, outputSize));
  }
}
