/** ONNX's layers by the functions of `nn.functional`. Source: https://onnx.ai/onnx/operators/ */
import { FormatError } from "../../errors.js";
import * as F from "../../nn/functional.js";
import { cat, full, type Tensor } from "../../tensor/index.js";
import type { Given, Run } from "./module.js";

const fail = (what: string): never => {
  throw new FormatError(what);
};

const one = <T>(list: readonly T[], dims: number, what: string): T[] =>
  list.length === dims ? [...list] : fail(`${what} has ${list.length} sizes for ${dims} dimensions`);

/** What shapes made of numbers may take: a lying file must not ask for more than memory. */
const maxElements = 2 ** 28;
export function checkSize(shape: readonly number[]): readonly number[] {
  if (shape.some((n) => !Number.isSafeInteger(n) || n < 0) || shape.reduce((a, b) => a * b, 1) > maxElements) {
    fail(`a result of shape (${shape.join(", ")}), which is not possible here`);
  }
  return shape;
}

/** Zeros before and behind each dimension. */
function padsOf(
  given: Given,
  kernel: readonly number[],
  input: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
) {
  const dims = kernel.length;
  const mode = given.text("auto_pad", "NOTSET");
  if (mode === "VALID") return { before: kernel.map(() => 0), behind: kernel.map(() => 0) };
  if (mode === "NOTSET") {
    const pads = given.numbers("pads") ?? new Array<number>(2 * dims).fill(0);
    one(pads, 2 * dims, "pads");
    if (pads.some((pad) => !(pad >= 0))) fail("pads are negative");
    return { before: pads.slice(0, dims), behind: pads.slice(dims) };
  }
  const total = kernel.map((k, i) => {
    const n = input[i] as number;
    const step = stride[i] as number;
    return Math.max(0, (Math.ceil(n / step) - 1) * step + (k - 1) * (dilation[i] as number) + 1 - n);
  });
  const small = total.map((t) => t >> 1);
  const large = total.map((t) => t - (t >> 1));
  if (mode === "SAME_UPPER") return { before: small, behind: large };
  return mode === "SAME_LOWER" ? { before: large, behind: small } : fail(`auto_pad is ${mode}`);
}

/** Checks that the last dimensions can grow by so much. */
function roomFor(x: Tensor, before: readonly number[], behind: readonly number[]): void {
  const lead = x.ndim - before.length;
  checkSize(x.shape.map((n, d) => (d < lead ? n : n + (before[d - lead] as number) + (behind[d - lead] as number))));
}

/** The input with `value` around its last dimensions. */
export function surround(x: Tensor, before: readonly number[], behind: readonly number[], value: number): Tensor {
  const lead = x.ndim - before.length;
  roomFor(x, before, behind);
  return before.reduce((inside, start, i) => {
    const side = (size: number): Tensor =>
      full(
        inside.shape.map((n, d) => (d === lead + i ? size : n)),
        value,
        { dtype: x.dtype, device: x.device },
      );
    const parts = [side(start), inside, side(behind[i] as number)].filter((part) => part.shape[lead + i] !== 0);
    return parts.length === 1 ? inside : cat(parts, lead + i);
  }, x);
}

const settings = (given: Given, kernel: readonly number[]) => {
  const each = (name: string): number[] => one(given.numbers(name) ?? kernel.map(() => 1), kernel.length, name);
  return { stride: each("strides"), dilation: each("dilations") };
};

const convolutions = [F.conv1d, F.conv2d, F.conv3d];
const conv: Run = (given) => {
  const [x, weight] = [given.input(0), given.input(1)];
  const kernel = weight.shape.slice(2);
  const { stride, dilation } = settings(given, kernel);
  const { before, behind } = padsOf(given, kernel, x.shape.slice(2), stride, dilation);
  const even = before.every((n, i) => n === behind[i]);
  roomFor(x, before, behind);
  const run = convolutions[kernel.length - 1] ?? fail(`${kernel.length} dimensions; 1 to 3 are here`);
  return run(even ? x : surround(x, before, behind, 0), weight, given.inputs[2] ?? null, {
    stride,
    dilation,
    padding: even ? before : 0,
    groups: given.number("group", 1),
  });
};

const transposedConvolutions = [F.convTranspose1d, F.convTranspose2d, F.convTranspose3d];
const convTranspose: Run = (given) => {
  const [x, weight] = [given.input(0), given.input(1)];
  const kernel = weight.shape.slice(2);
  const { stride, dilation } = settings(given, kernel);
  if (given.numbers("output_shape") !== undefined) fail("output_shape is not read; give pads and output_padding");
  if (!["NOTSET", "VALID"].includes(given.text("auto_pad", "NOTSET"))) fail("auto_pad is not read; give pads");
  const { before, behind } = padsOf(given, kernel, x.shape.slice(2), stride, dilation);
  if (!before.every((n, i) => n === behind[i])) fail("pads that differ before and behind are not here");
  const reach = kernel.map((k, i) => (x.shape[i + 2] ?? 0) * (stride[i] as number) + k * (dilation[i] as number));
  checkSize([x.shape[0] ?? 1, weight.shape[1] ?? 1, ...reach]);
  const run = transposedConvolutions[kernel.length - 1] ?? fail(`${kernel.length} dimensions; 1 to 3 are here`);
  return run(x, weight, given.inputs[2] ?? null, {
    stride,
    dilation,
    padding: before,
    outputPadding: one(given.numbers("output_padding") ?? kernel.map(() => 0), kernel.length, "output_padding"),
    groups: given.number("group", 1),
  });
};

function pooling(given: Given, fill: number) {
  const x = given.input(0);
  const kernel = given.numbers("kernel_shape") ?? fail("no kernel_shape");
  one(kernel, x.ndim - 2, "kernel_shape");
  const { stride, dilation } = settings(given, kernel);
  const { before, behind } = padsOf(given, kernel, x.shape.slice(2), stride, dilation);
  const even = before.every((n, i) => n === behind[i] && 2 * n <= (kernel[i] as number));
  const ceilMode = given.number("ceil_mode", 0) !== 0;
  return {
    x: even ? x : surround(x, before, behind, fill),
    even,
    kernel,
    stride,
    dilation,
    padding: even ? before : 0,
    ceilMode,
  };
}

const maxPools = [F.maxPool1d, F.maxPool2d, F.maxPool3d] as const;
const maxPool: Run = (given) => {
  if (given.outputs > 1) fail("its second output, the positions, is not here");
  const { x, kernel, stride, dilation, padding, ceilMode } = pooling(given, Number.NEGATIVE_INFINITY);
  const run = maxPools[kernel.length - 1] ?? fail(`${kernel.length} dimensions; 1 to 3 are here`);
  return run(x, kernel, { stride, dilation, padding, ceilMode });
};

const avgPools = [F.avgPool1d, F.avgPool2d, F.avgPool3d];
const avgPool: Run = (given) => {
  const { x, even, kernel, stride, dilation, padding, ceilMode } = pooling(given, 0);
  const countIncludePad = given.number("count_include_pad", 0) !== 0;
  if (!even && !countIncludePad) fail("pads that differ before and behind are not here");
  if (dilation.some((n) => n !== 1)) fail("dilations are not here");
  const run = avgPools[kernel.length - 1] ?? fail(`${kernel.length} dimensions; 1 to 3 are here`);
  return run(x, kernel, { stride, padding, ceilMode, countIncludePad });
};

const spatial = (x: Tensor): number[] => x.shape.map((_, d) => d).slice(2);

const batchNorm: Run = (given) => {
  if (given.number("training_mode", 0) !== 0) fail("training_mode is not here");
  const [x, weight, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => given.input(i)) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  return F.batchNorm(x, mean, variance, { weight, bias, eps: given.number("epsilon", 1e-5) });
};

const layerNorm: Run = (given) => {
  if (given.outputs > 1) fail("its further outputs are not here");
  const x = given.input(0);
  const axis = given.number("axis", -1);
  const shape = x.shape.slice(axis < 0 ? axis + x.ndim : axis);
  const broad = (t: Tensor | null | undefined): Tensor | null => (t ? t.expand(shape).contiguous() : null);
  return F.layerNorm(x, shape, broad(given.input(1)), broad(given.inputs[2]), given.number("epsilon", 1e-5));
};

/** Each channel of each image by its own mean and variance. */
const instanceNorm: Run = (given) => {
  const [x, scale, bias] = [given.input(0), given.input(1), given.input(2)];
  return F.groupNorm(x, x.shape[1] as number, scale, bias, given.number("epsilon", 1e-5));
};

/** Before opset 21 scale and bias belonged to groups, since then to channels. */
const groupNorm: Run = (given) => {
  const [x, scale, bias] = [given.input(0), given.input(1), given.input(2)];
  const groups = given.number("num_groups", 0);
  const size = (x.shape[1] as number) / groups;
  const wide = (t: Tensor): Tensor => (given.opset >= 21 ? t : t.reshape(-1, 1).expand(groups, size).reshape(-1));
  return F.groupNorm(x, groups, wide(scale), wide(bias), given.number("epsilon", 1e-5));
};

const gemm: Run = (given) => {
  const [a, b] = [given.input(0), given.input(1)];
  const x = given.number("transA", 0) ? a.t() : a;
  const c = given.inputs[2] ?? null;
  const [alpha, beta] = [given.number("alpha", 1), given.number("beta", 1)];
  if (alpha === 1 && beta === 1 && given.number("transB", 0) && (c === null || c.ndim === 1)) return F.linear(x, b, c);
  const product = x.matmul(given.number("transB", 0) ? b.t() : b);
  const scaled = alpha === 1 ? product : product.mul(alpha);
  return c === null ? scaled : scaled.add(beta === 1 ? c : c.mul(beta));
};

const prelu: Run = (given) => {
  const [x, slope] = [given.input(0), given.input(1)];
  return x.where(x.ge(0), x.mul(slope));
};

export const layers: Readonly<Record<string, Run>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: maxPool,
  AveragePool: avgPool,
  GlobalAveragePool: (given) => given.input(0).mean(spatial(given.input(0)), { keepdim: true }),
  GlobalMaxPool: (given) => given.input(0).amax(spatial(given.input(0)), { keepdim: true }),
  BatchNormalization: batchNorm,
  LayerNormalization: layerNorm,
  InstanceNormalization: instanceNorm,
  GroupNormalization: groupNorm,
  Gemm: gemm,
  Relu: (given) => F.relu(given.input(0)),
  LeakyRelu: (given) => F.leakyRelu(given.input(0), given.number("alpha", 0.01)),
  PRelu: prelu,
  Elu: (given) => F.elu(given.input(0), given.number("alpha", 1)),
  Sigmoid: (given) => F.sigmoid(given.input(0)),
  Tanh: (given) => F.tanh(given.input(0)),
  Softplus: (given) => F.softplus(given.input(0)),
  Gelu: (given) =>
    F.gelu(given.input(0), { approximate: given.text("approximate", "none") === "tanh" ? "tanh" : "none" }),
  Softmax: (given) => softmaxOf(given, F.softmax),
  LogSoftmax: (given) => softmaxOf(given, F.logSoftmax),
  Dropout: (given) => given.input(0),
};

/** Before opset 13 everything from the axis on was one row. */
function softmaxOf(given: Given, softmax: (x: Tensor, dim: number) => Tensor): Tensor {
  const x = given.input(0);
  if (given.opset >= 13) return softmax(x, given.number("axis", -1));
  const axis = given.number("axis", 1);
  return softmax(x.flatten(axis < 0 ? axis + x.ndim : axis), -1).reshape(x.shape);
}
