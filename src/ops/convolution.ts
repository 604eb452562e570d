/**
 * Convolutions and their transposes, of one to three dimensions: options, checks and the shapes of results. What they compute is
 * in `correlate.ts`.
 */
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { filterOf } from "./convolution-plan.js";
import { deviceOf } from "./core.js";
import { correlate, spread } from "./correlate.js";
import { isFloating, promoteTypes } from "./dtype.js";
import { numelOf, sameShape, show } from "./shape.js";
import { type Sizes, sizesOf, widen } from "./spatial.js";
import { cast, reshape, squeeze, unsqueeze } from "./view.js";

export interface ConvOptions {
  /** Steps between the positions of the filter; 1 if not given. */
  stride?: Sizes;
  /** Zeros around the input; "valid" is none, "same" so many that the output has the input's size (stride 1). */
  padding?: Sizes | "same" | "valid";
  /** Distance between the filter's elements; 1 if not given. */
  dilation?: Sizes;
  /** Parts into which channels are divided, that do not see each other; 1 if not given. */
  groups?: number;
}

export interface ConvTransposeOptions {
  stride?: Sizes;
  padding?: Sizes;
  /** Elements added at the end of each dimension of the output, of the stride many sizes that give the same input size. */
  outputPadding?: Sizes;
  dilation?: Sizes;
  groups?: number;
}

/** (b, c, …) with up to three spatial dimensions, as five dimensions. */
const five = (t: Tensor): Tensor =>
  reshape(t, [...t.shape.slice(0, 2), ...new Array<number>(5 - t.shape.length).fill(1), ...t.shape.slice(2)]);

function check(op: string, dims: number, x: Tensor, weight: Tensor, bias: Tensor | null, channels: number): void {
  deviceOf(op, bias === null ? [x, weight] : [x, weight, bias]);
  for (const t of bias === null ? [weight] : [weight, bias]) {
    if (t.dtype !== x.dtype) {
      throw new DTypeError(
        `${op}: dtypes differ: ${x.dtype} and ${t.dtype}; convert one with .to("${promoteTypes(x.dtype, t.dtype)}")`,
      );
    }
  }
  if (!isFloating(x.dtype)) throw new DTypeError(`${op}: is not defined on ${x.dtype}; convert with .float()`);
  if (weight.shape.length !== dims + 2) {
    throw new ShapeError(`${op}: the weight has shape ${show(weight.shape)}; expected ${dims + 2} dimensions`);
  }
  if (x.shape.length !== dims + 2 && x.shape.length !== dims + 1) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${x.shape.length} dimensions; expected ${dims + 1}, or ${dims + 2} with a batch`,
    );
  }
  if (weight.numel() === 0) throw new ShapeError(`${op}: the weight ${show(weight.shape)} is empty`);
  if (bias !== null && !sameShape(bias.shape, [channels])) {
    throw new ShapeError(`${op}: the bias has shape ${show(bias.shape)}; expected (${channels},)`);
  }
}

function checkGroups(op: string, groups: number, channels: number): void {
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new ValueError(`${op}: ${groups} groups do not divide ${channels} output channels`);
  }
}

/** Runs in float32 what is stored in 16 bits, with a batch of one where there is none. */
function prepared(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  dims: number,
  f: (x: Tensor, w: Tensor, bias: Tensor | null) => Tensor,
): Tensor {
  const narrow = x.dtype === "float16" || x.dtype === "bfloat16";
  const wide = (t: Tensor): Tensor => (narrow ? cast(t, "float32") : t);
  const single = x.shape.length === dims + 1;
  const y = f(five(wide(single ? unsqueeze(x, 0) : x)), five(wide(weight)), bias === null ? null : wide(bias));
  const shaped = reshape(y, [...y.shape.slice(0, 2), ...y.shape.slice(5 - dims)]);
  const out = single ? squeeze(shaped, 0) : shaped;
  return narrow ? cast(out, x.dtype) : out;
}

function conv(op: string, dims: number, x: Tensor, weight: Tensor, bias: Tensor | null, o: ConvOptions): Tensor {
  const groups = o.groups ?? 1;
  check(op, dims, x, weight, bias, weight.shape[0] as number);
  checkGroups(op, groups, weight.shape[0] as number);
  const inputs = x.shape[x.shape.length - dims - 1] as number;
  if (inputs !== groups * (weight.shape[1] as number)) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${inputs} channels; the weight ${show(weight.shape)} with groups ${groups} needs ` +
        `${groups * (weight.shape[1] as number)}`,
    );
  }
  const stride = sizesOf(op, "stride", o.stride ?? 1, dims, 1);
  const dilation = sizesOf(op, "dilation", o.dilation ?? 1, dims, 1);
  const kernel = weight.shape.slice(2);
  const sizes = x.shape.slice(-dims);
  const padding = o.padding ?? 0;
  if (padding === "same" && stride.some((s) => s !== 1)) {
    throw new ValueError(`${op}: padding "same" needs stride 1, not ${JSON.stringify(o.stride)}`);
  }
  if (typeof padding === "string" && padding !== "same" && padding !== "valid") {
    throw new ValueError(`${op}: padding is a number, "same" or "valid", not "${String(padding)}"`);
  }
  const reach = kernel.map((k, i) => (dilation[i] as number) * (k - 1));
  const pad =
    padding === "same"
      ? reach.map((r) => Math.floor(r / 2))
      : sizesOf(op, "padding", padding === "valid" ? 0 : padding, dims, 0);
  const out = sizes.map((n, i) =>
    padding === "same"
      ? n
      : Math.floor((n + 2 * (pad[i] as number) - (reach[i] as number) - 1) / (stride[i] as number)) + 1,
  );
  if (out.some((n) => n < 1) && numelOf(sizes) > 0) {
    throw new ShapeError(
      `${op}: the filter ${show(kernel)} with dilation ${show(dilation)} is larger than the input ${show(x.shape)} with ` +
        `padding ${show(pad)}`,
    );
  }
  if (out.some((n) => n < 1)) throw new ShapeError(`${op}: input ${show(x.shape)} has an empty spatial dimension`);
  const f = filterOf(widen(stride, 1), widen(pad, 0), widen(dilation, 1), groups);
  return prepared(x, weight, bias, dims, (a, w, b) =>
    correlate(a, w, b, f, [a.shape[0] as number, w.shape[0] as number, ...widen(out, 1)]),
  );
}

function convTranspose(
  op: string,
  dims: number,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  o: ConvTransposeOptions,
): Tensor {
  const groups = o.groups ?? 1;
  const outputs = groups * ((weight.shape[1] as number | undefined) ?? 0);
  check(op, dims, x, weight, bias, outputs);
  const inputs = x.shape[x.shape.length - dims - 1] as number;
  if (inputs !== weight.shape[0]) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${inputs} channels; the weight ${show(weight.shape)} needs ${weight.shape[0]}`,
    );
  }
  if (!Number.isInteger(groups) || groups < 1 || inputs % groups !== 0) {
    throw new ValueError(`${op}: ${groups} groups do not divide ${inputs} input channels`);
  }
  const stride = sizesOf(op, "stride", o.stride ?? 1, dims, 1);
  const dilation = sizesOf(op, "dilation", o.dilation ?? 1, dims, 1);
  const pad = sizesOf(op, "padding", o.padding ?? 0, dims, 0);
  const extra = sizesOf(op, "outputPadding", o.outputPadding ?? 0, dims, 0);
  if (extra.some((n, i) => n >= Math.max(stride[i] as number, dilation[i] as number))) {
    throw new ValueError(
      `${op}: outputPadding ${show(extra)} is smaller than the stride ${show(stride)} or the dilation ${show(dilation)}`,
    );
  }
  const kernel = weight.shape.slice(2);
  const out = x.shape
    .slice(-dims)
    .map(
      (n, i) =>
        (n - 1) * (stride[i] as number) -
        2 * (pad[i] as number) +
        (dilation[i] as number) * ((kernel[i] as number) - 1) +
        (extra[i] as number) +
        1,
    );
  if (out.some((n) => n < 1)) {
    throw new ShapeError(`${op}: input ${show(x.shape)} with padding ${show(pad)} leaves an output of ${show(out)}`);
  }
  const f = filterOf(widen(stride, 1), widen(pad, 0), widen(dilation, 1), groups);
  return prepared(x, weight, bias, dims, (a, w, b) =>
    spread(a, w, b, f, [a.shape[0] as number, outputs, ...widen(out, 1)]),
  );
}

type Conv = (x: Tensor, weight: Tensor, bias?: Tensor | null, o?: ConvOptions) => Tensor;
type ConvTranspose = (x: Tensor, weight: Tensor, bias?: Tensor | null, o?: ConvTransposeOptions) => Tensor;
const convOf =
  (dims: number): Conv =>
  (x, weight, bias = null, o = {}) =>
    conv(`conv${dims}d`, dims, x, weight, bias, o);
const convTransposeOf =
  (dims: number): ConvTranspose =>
  (x, weight, bias = null, o = {}) =>
    convTranspose(`convTranspose${dims}d`, dims, x, weight, bias, o);

/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html */
export const conv1d = convOf(1);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html */
export const conv2d = convOf(2);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv3d.html */
export const conv3d = convOf(3);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html */
export const convTranspose1d = convTransposeOf(1);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html */
export const convTranspose2d = convTransposeOf(2);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose3d.html */
export const convTranspose3d = convTransposeOf(3);
