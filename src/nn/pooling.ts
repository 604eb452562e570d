/** Pooling layers: one number a window. The arithmetic is ops/pooling.ts's. */
import type { Tensor } from "../tensor/index.js";
import * as F from "./functional.js";
import { Module } from "./module.js";
import { bool, tuple } from "./repr.js";

type Sizes = F.Sizes;

/** Sizes as PyTorch prints them: a number stays a number. */
const printed = (sizes: Sizes | readonly (number | null)[]): string =>
  typeof sizes === "number"
    ? String(sizes)
    : sizes.includes(null as never)
      ? `(${sizes.map((n) => n ?? "None").join(", ")})`
      : tuple(sizes as readonly number[]);

abstract class MaxPoolNd extends Module {
  constructor(
    readonly kernelSize: Sizes,
    protected readonly options: F.MaxPoolOptions = {},
  ) {
    super();
  }

  override extraRepr(): string {
    const { stride = this.kernelSize, padding = 0, dilation = 1, ceilMode = false } = this.options;
    return (
      `kernel_size=${printed(this.kernelSize)}, stride=${printed(stride)}, padding=${printed(padding)}, ` +
      `dilation=${printed(dilation)}, ceil_mode=${bool(ceilMode)}`
    );
  }
}

abstract class AvgPoolNd extends Module {
  constructor(
    readonly kernelSize: Sizes,
    protected readonly options: F.AvgPoolOptions = {},
  ) {
    super();
  }

  override extraRepr(): string {
    const { stride = this.kernelSize, padding = 0 } = this.options;
    return `kernel_size=${printed(this.kernelSize)}, stride=${printed(stride)}, padding=${printed(padding)}`;
  }
}

abstract class AdaptivePoolNd extends Module {
  constructor(readonly outputSize: number | readonly (number | null)[]) {
    super();
  }

  override extraRepr(): string {
    return `output_size=${printed(this.outputSize)}`;
  }
}

/**
 * The largest element of each window; the stride is the window's size unless given, and `ceilMode` rounds sizes up.
 * `dilation` spreads a window's elements; `nn.functional` also gives the indices. Zeros of the padding never win.
 *
 * Shapes: input (N, C, L), or without N; each size n becomes `⌊(n + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1`.
 * Errors: ValueError for padding of more than half a window; ShapeError if the window is larger than the input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.MaxPool1d(2).forward(torch.rand([2, 3, 8])).shape); // [2, 3, 4]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html}
 */
export class MaxPool1d extends MaxPoolNd {
  forward(input: Tensor): Tensor {
    return F.maxPool1d(input, this.kernelSize, this.options);
  }
}

/**
 * The largest element of each window; the stride is the window's size unless given, and `ceilMode` rounds sizes up.
 * `dilation` spreads a window's elements; `nn.functional` also gives the indices. Zeros of the padding never win.
 *
 * Shapes: input (N, C, H, W), or without N; each size n becomes `⌊(n + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1`.
 * Errors: ValueError for padding of more than half a window; ShapeError if the window is larger than the input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.MaxPool2d(2).forward(torch.rand([2, 3, 8, 6])).shape); // [2, 3, 4, 3]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html}
 */
export class MaxPool2d extends MaxPoolNd {
  forward(input: Tensor): Tensor {
    return F.maxPool2d(input, this.kernelSize, this.options);
  }
}

/**
 * The largest element of each window; the stride is the window's size unless given, and `ceilMode` rounds sizes up.
 * `dilation` spreads a window's elements; `nn.functional` also gives the indices. Zeros of the padding never win.
 *
 * Shapes: input (N, C, D, H, W), or without N; each size n becomes `⌊(n + 2·padding − dilation·(kernelSize − 1) − 1) / stride⌋ + 1`.
 * Errors: ValueError for padding of more than half a window; ShapeError if the window is larger than the input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.MaxPool3d(2).forward(torch.rand([2, 3, 4, 8, 6])).shape); // [2, 3, 2, 4, 3]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool3d.html}
 */
export class MaxPool3d extends MaxPoolNd {
  forward(input: Tensor): Tensor {
    return F.maxPool3d(input, this.kernelSize, this.options);
  }
}

/**
 * The mean of each window; the stride is the window's size unless given, and `ceilMode` rounds sizes up.
 * Zeros of the padding count unless `countIncludePad` is false; `divisorOverride` replaces the number of elements.
 *
 * Shapes: input (N, C, L), or without N; each size n becomes `⌊(n + 2·padding − kernelSize) / stride⌋ + 1`.
 * Errors: ValueError for padding of more than half a window; ShapeError if the window is larger than the input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AvgPool1d(2).forward(torch.rand([2, 3, 8])).shape); // [2, 3, 4]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html}
 */
export class AvgPool1d extends AvgPoolNd {
  /** PyTorch prints this layer's sizes as tuples. */
  override extraRepr(): string {
    const { stride = this.kernelSize, padding = 0 } = this.options;
    const [k, s, p] = [this.kernelSize, stride, padding].map((n) => tuple([n].flat()));
    return `kernel_size=${k}, stride=${s}, padding=${p}`;
  }

  forward(input: Tensor): Tensor {
    return F.avgPool1d(input, this.kernelSize, this.options);
  }
}

/**
 * The mean of each window; the stride is the window's size unless given, and `ceilMode` rounds sizes up.
 * Zeros of the padding count unless `countIncludePad` is false; `divisorOverride` replaces the number of elements.
 *
 * Shapes: input (N, C, H, W), or without N; each size n becomes `⌊(n + 2·padding − kernelSize) / stride⌋ + 1`.
 * Errors: ValueError for padding of more than half a window; ShapeError if the window is larger than the input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AvgPool2d(2).forward(torch.rand([2, 3, 8, 6])).shape); // [2, 3, 4, 3]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html}
 */
export class AvgPool2d extends AvgPoolNd {
  forward(input: Tensor): Tensor {
    return F.avgPool2d(input, this.kernelSize, this.options);
  }
}

/**
 * The mean of each window; the stride is the window's size unless given, and `ceilMode` rounds sizes up.
 * Zeros of the padding count unless `countIncludePad` is false; `divisorOverride` replaces the number of elements.
 *
 * Shapes: input (N, C, D, H, W), or without N; each size n becomes `⌊(n + 2·padding − kernelSize) / stride⌋ + 1`.
 * Errors: ValueError for padding of more than half a window; ShapeError if the window is larger than the input.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AvgPool3d(2).forward(torch.rand([2, 3, 4, 8, 6])).shape); // [2, 3, 2, 4, 3]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool3d.html}
 */
export class AvgPool3d extends AvgPoolNd {
  forward(input: Tensor): Tensor {
    return F.avgPool3d(input, this.kernelSize, this.options);
  }
}

/**
 * The mean of as many windows as the output has elements: window i of an input of n covers ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉.
 *
 * Shapes: input (N, C, L), or without N; the last size becomes `outputSize`.
 * Errors: ShapeError for other inputs.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AdaptiveAvgPool1d(5).forward(torch.rand([2, 3, 12])).shape); // [2, 3, 5]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool1d.html}
 */
export class AdaptiveAvgPool1d extends AdaptivePoolNd {
  constructor(outputSize: number) {
    super(outputSize);
  }

  forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool1d(input, this.outputSize as number);
  }
}

/**
 * The mean of as many windows as the output has elements: window i of an input of n covers ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉.
 *
 * Shapes: input (N, C, H, W), or without N; the last sizes become `outputSize` (null keeps one).
 * Errors: ShapeError for other inputs.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AdaptiveAvgPool2d([5, null]).forward(torch.rand([2, 3, 12, 7])).shape); // [2, 3, 5, 7]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html}
 */
export class AdaptiveAvgPool2d extends AdaptivePoolNd {
  forward(input: Tensor): Tensor {
    return F.adaptiveAvgPool2d(input, this.outputSize);
  }
}

/**
 * The largest element of as many windows as the output has elements: window i of an input of n covers ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉.
 *
 * Shapes: input (N, C, L), or without N; the last size becomes `outputSize`.
 * Errors: ShapeError for other inputs.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AdaptiveMaxPool1d(5).forward(torch.rand([2, 3, 12])).shape); // [2, 3, 5]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool1d.html}
 */
export class AdaptiveMaxPool1d extends AdaptivePoolNd {
  constructor(outputSize: number) {
    super(outputSize);
  }

  forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool1d(input, this.outputSize as number);
  }
}

/**
 * The largest element of as many windows as the output has elements: window i of an input of n covers ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉.
 *
 * Shapes: input (N, C, H, W), or without N; the last sizes become `outputSize` (null keeps one).
 * Errors: ShapeError for other inputs.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.AdaptiveMaxPool2d([5, null]).forward(torch.rand([2, 3, 12, 7])).shape); // [2, 3, 5, 7]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html}
 */
export class AdaptiveMaxPool2d extends AdaptivePoolNd {
  forward(input: Tensor): Tensor {
    return F.adaptiveMaxPool2d(input, this.outputSize);
  }
}
