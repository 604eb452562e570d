/**
 * One entry an operation: how the fixtures' name and arguments are said in cresset. Operands of the fixtures come as
 * tensors, or as plain numbers where the operation takes them.
 */
import * as torch from "../../src/index.js";
import { nn, type Tensor } from "../../src/index.js";
import type { Args } from "./cases.js";

type Entry = (args: Args, x: Tensor, ...more: Tensor[]) => Tensor | readonly Tensor[];

const F = nn.functional;

/** Methods that take no argument. */
const unary = Object.fromEntries(
  (
    [
      "neg",
      "abs",
      "sign",
      "sqrt",
      "rsqrt",
      "square",
      "reciprocal",
      "exp",
      "exp2",
      "expm1",
      "log",
      "log1p",
      "log2",
      "log10",
      "sin",
      "cos",
      "tan",
      "asin",
      "acos",
      "atan",
      "sinh",
      "cosh",
      "tanh",
      "asinh",
      "acosh",
      "atanh",
      "erf",
      "sigmoid",
      "relu",
      "floor",
      "ceil",
      "round",
      "trunc",
      "frac",
      "isnan",
      "isinf",
      "isfinite",
      "logicalNot",
      "bitwiseNot",
      "contiguous",
      "t",
    ] as const
  ).map((name): [string, Entry] => [name, (_, x) => x[name]()]),
);

/** Methods that take one operand. */
const binary = Object.fromEntries(
  (
    [
      "atan2",
      "maximum",
      "minimum",
      "fmod",
      "remainder",
      "floorDivide",
      "eq",
      "ne",
      "lt",
      "le",
      "gt",
      "ge",
      "mul",
      "logicalAnd",
      "logicalOr",
      "logicalXor",
      "bitwiseAnd",
      "bitwiseOr",
      "bitwiseXor",
      "matmul",
      "mm",
      "bmm",
      "mv",
      "dot",
      "outer",
      "take",
      "maskedSelect",
    ] as const
  ).map((name): [string, Entry] => [name, (_, x, y) => x[name](y as Tensor)]),
);

const pair = (r: { values: Tensor; indices: Tensor }): Tensor[] => [r.values, r.indices];
const one = (a: Args): number => a.dim as number;
const keep = (a: Args): { keepdim: boolean } => ({ keepdim: a.keepdim ?? false });
const number = (v: number | string | undefined): number => Number(v);

/** `lossName(x, y, weights…)` with the weights as options. */
const weighted = (a: Args, weight: Tensor | undefined) => ({
  reduction: a.reduction ?? "mean",
  weight: weight ?? null,
  ...(a.ignoreIndex === undefined ? {} : { ignoreIndex: a.ignoreIndex }),
  ...(a.labelSmoothing === undefined ? {} : { labelSmoothing: a.labelSmoothing }),
});

const maxPool = (r: { values: Tensor; indices: Tensor }): Tensor[] => [r.values, r.indices];
/** Options of convolutions and pooling, which have the fixtures' names. */
const sized = (a: Args) => a as nn.functional.ConvOptions & nn.functional.PoolOptions;
const transposed = (a: Args) => a as nn.functional.ConvTransposeOptions;
const window = (a: Args): number | number[] => a.kernel as number | number[];

export const table: Record<string, Entry> = {
  ...unary,
  ...binary,
  add: (a, x, y) => (a.alpha === undefined ? x.add(y as Tensor) : x.add(y as Tensor, { alpha: a.alpha })),
  sub: (a, x, y) => (a.alpha === undefined ? x.sub(y as Tensor) : x.sub(y as Tensor, { alpha: a.alpha })),
  div: (a, x, y) => (a.rounding === undefined ? x.div(y as Tensor) : x.div(y as Tensor, { roundingMode: a.rounding })),
  pow: (_, x, y) => (typeof x === "number" ? torch.tensor(x).pow(y as Tensor) : x.pow(y as Tensor)),
  clamp: (a, x) => x.clamp({ min: a.min, max: a.max }),
  lerp: (_, x, y, w) => x.lerp(y as Tensor, w as Tensor),
  where: (_, c, x, y) => torch.where(c, x as Tensor, y as Tensor),
  addcmul: (a, x, y, z) => x.addcmul(y as Tensor, z as Tensor, { value: number(a.value) }),
  addcdiv: (a, x, y, z) => x.addcdiv(y as Tensor, z as Tensor, { value: number(a.value) }),

  sum: (a, x) => x.sum(a.dim, { ...keep(a), ...(a.dtype ? { dtype: a.dtype } : {}) }),
  mean: (a, x) => x.mean(a.dim, keep(a)),
  prod: (a, x) => x.prod(a.dim as number | undefined, keep(a)),
  var: (a, x) => x.var(a.dim, { ...keep(a), correction: a.correction ?? 1 }),
  std: (a, x) => x.std(a.dim, { ...keep(a), correction: a.correction ?? 1 }),
  amax: (a, x) => x.amax(a.dim, keep(a)),
  amin: (a, x) => x.amin(a.dim, keep(a)),
  max: (_, x) => x.max(),
  min: (_, x) => x.min(),
  maxDim: (a, x) => pair(x.max(one(a), keep(a))),
  minDim: (a, x) => pair(x.min(one(a), keep(a))),
  argmax: (a, x) => x.argmax(a.dim as number | undefined, keep(a)),
  argmin: (a, x) => x.argmin(a.dim as number | undefined, keep(a)),
  any: (a, x) => x.any(a.dim, keep(a)),
  all: (a, x) => x.all(a.dim, keep(a)),
  norm: (a, x) => x.norm(a.p === undefined ? 2 : number(a.p), a.dim, keep(a)),
  logsumexp: (a, x) => x.logsumexp(a.dim ?? 0, keep(a)),
  cumsum: (a, x) => x.cumsum(one(a)),
  cumprod: (a, x) => x.cumprod(one(a)),
  sort: (a, x) => pair(x.sort(one(a), { descending: a.descending ?? false })),
  argsort: (a, x) => x.argsort(one(a), { descending: a.descending ?? false }),
  median: (a, x) => (a.dim === undefined ? x.median() : pair(x.median(one(a)))),
  topk: (a, x) => pair(x.topk(a.k as number, one(a), { largest: a.largest ?? true })),

  addmm: (a, x, y, z) => x.addmm(y as Tensor, z as Tensor, { beta: a.beta ?? 1, alpha: a.alpha ?? 1 }),
  linear: (_, x, w, b) => F.linear(x, w as Tensor, b ?? null),

  reshape: (a, x) => x.reshape(a.shape as number[]),
  flatten: (a, x) => x.flatten(a.start, a.end),
  unflatten: (a, x) => x.unflatten(one(a), a.sizes as number[]),
  transpose: (a, x) => x.transpose(a.a as number, a.b as number),
  permute: (a, x) => x.permute(a.dims as number[]),
  squeeze: (a, x) => (a.dim === undefined ? x.squeeze() : x.squeeze(one(a))),
  unsqueeze: (a, x) => x.unsqueeze(one(a)),
  expand: (a, x) => x.expand(a.shape as number[]),
  narrow: (a, x) => x.narrow(one(a), a.start as number, a.length as number),
  select: (a, x) => x.select(one(a), a.index as number),
  slice: (a, x) => x.slice(one(a), a.start, a.end, a.step),
  flip: (a, x) => x.flip(a.dims as number[]),
  split: (a, x) => x.split(a.size as number, one(a)),
  chunk: (a, x) => x.chunk(a.chunks as number, one(a)),
  unbind: (a, x) => x.unbind(one(a)),
  repeat: (a, x) => x.repeat(a.times as number[]),
  diagonal: (a, x) => x.diagonal(a.offset),
  tril: (a, x) => x.tril(a.diagonal),
  triu: (a, x) => x.triu(a.diagonal),
  cat: (a, ...xs) => torch.cat(xs, one(a)),
  stack: (a, ...xs) => torch.stack(xs, one(a)),
  indexSelect: (a, x, i) => x.indexSelect(one(a), i as Tensor),
  gather: (a, x, i) => x.gather(one(a), i as Tensor),
  scatter: (a, x, i, v) => x.scatter(one(a), i as Tensor, v as Tensor),
  scatterAdd: (a, x, i, v) => x.scatterAdd(one(a), i as Tensor, v as Tensor),
  maskedFill: (a, x, m) => x.maskedFill(m as Tensor, number(a.value)),
  nonzero: (_, x) => x.nonzero(),
  index: (a, x, ...more) =>
    x.index(
      ...(a.items ?? []).map((item) => {
        if (typeof item !== "string") return item;
        return item.startsWith("$") ? (more[Number(item.slice(1)) - 1] as Tensor) : (item as ":" | "...");
      }),
    ),

  leakyRelu: (a, x) => F.leakyRelu(x, a.slope),
  elu: (a, x) => F.elu(x, a.alpha),
  silu: (_, x) => F.silu(x),
  gelu: (_, x) => F.gelu(x),
  geluTanh: (_, x) => F.gelu(x, { approximate: "tanh" }),
  softplus: (a, x) => F.softplus(x, { beta: a.beta, threshold: a.threshold }),
  logSigmoid: (_, x) => F.logSigmoid(x),
  softmax: (a, x) => F.softmax(x, one(a)),
  logSoftmax: (a, x) => F.logSoftmax(x, one(a)),
  layerNorm: (a, x, w, b) => F.layerNorm(x, a.shape as number[], w, b, a.eps),
  conv1d: (a, x, w, b) => F.conv1d(x, w as Tensor, b ?? null, sized(a)),
  conv2d: (a, x, w, b) => F.conv2d(x, w as Tensor, b ?? null, sized(a)),
  conv3d: (a, x, w, b) => F.conv3d(x, w as Tensor, b ?? null, sized(a)),
  convTranspose1d: (a, x, w, b) => F.convTranspose1d(x, w as Tensor, b ?? null, transposed(a)),
  convTranspose2d: (a, x, w, b) => F.convTranspose2d(x, w as Tensor, b ?? null, transposed(a)),
  convTranspose3d: (a, x, w, b) => F.convTranspose3d(x, w as Tensor, b ?? null, transposed(a)),
  maxPool1d: (a, x) => maxPool(F.maxPool1d(x, window(a), { ...(a as object), returnIndices: true })),
  maxPool2d: (a, x) => maxPool(F.maxPool2d(x, window(a), { ...(a as object), returnIndices: true })),
  maxPool3d: (a, x) => maxPool(F.maxPool3d(x, window(a), { ...(a as object), returnIndices: true })),
  avgPool1d: (a, x) => F.avgPool1d(x, window(a), a as object),
  avgPool2d: (a, x) => F.avgPool2d(x, window(a), a as object),
  avgPool3d: (a, x) => F.avgPool3d(x, window(a), a as object),
  adaptiveAvgPool1d: (a, x) => F.adaptiveAvgPool1d(x, window(a) as number),
  adaptiveAvgPool2d: (a, x) => F.adaptiveAvgPool2d(x, window(a)),
  adaptiveMaxPool1d: (a, x) => F.adaptiveMaxPool1d(x, window(a) as number),
  adaptiveMaxPool2d: (a, x) => F.adaptiveMaxPool2d(x, window(a)),
  batchNorm: (a, x, weight, bias) => {
    const channels = x.shape[1] as number;
    const mean = torch.linspace(-1, 1, channels, { dtype: x.dtype });
    const variance = torch.linspace(0.5, 2, channels, { dtype: x.dtype });
    const options = { training: a.training ?? false, momentum: a.momentum ?? 0.1, eps: a.eps ?? 1e-5 };
    return [F.batchNorm(x, mean, variance, { weight: weight ?? null, bias: bias ?? null, ...options }), mean, variance];
  },
  groupNorm: (a, x, w, b) => F.groupNorm(x, a.groups as number, w, b, a.eps),
  oneHot: (a, x) => F.oneHot(x, a.classes),
  mseLoss: (a, x, y) => F.mseLoss(x, y as Tensor, { reduction: a.reduction }),
  l1Loss: (a, x, y) => F.l1Loss(x, y as Tensor, { reduction: a.reduction }),
  smoothL1Loss: (a, x, y) => F.smoothL1Loss(x, y as Tensor, { reduction: a.reduction, beta: a.beta }),
  bceLoss: (a, x, y, w) => F.binaryCrossEntropy(x, y as Tensor, weighted(a, w)),
  bceWithLogitsLoss: (a, x, y, w, p) =>
    F.binaryCrossEntropyWithLogits(x, y as Tensor, { ...weighted(a, w), posWeight: p ?? null }),
  nllLoss: (a, x, y, w) => F.nllLoss(x, y as Tensor, weighted(a, w)),
  crossEntropy: (a, x, y, w) => F.crossEntropy(x, y as Tensor, weighted(a, w)),
};
