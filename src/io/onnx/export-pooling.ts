/** What pooling becomes in ONNX, and what it shares with convolutions. Source: https://onnx.ai/onnx/operators/ */
import type { AvgPoolOptions, MaxPoolOptions } from "../../nn/functional.js";
import type { Sizes } from "../../ops/index.js";
import { type Exporter, type GraphBuilder, output, type Term } from "./graph.js";
import type { Operation, Value } from "./trace.js";

/** A number for each dimension. */
export const spread = (value: Sizes | undefined, dims: number, otherwise: number): number[] =>
  value === undefined || typeof value === "number" ? new Array<number>(dims).fill(value ?? otherwise) : [...value];

/** Runs `layer` on (N, C, …), as ONNX has it, also where the input came without N. */
export function batched(
  graph: GraphBuilder,
  operation: Operation,
  dims: number,
  layer: (x: Term, like: Pick<Term, "shape" | "dtype">) => Term,
): Term[] {
  const x = graph.term(operation.args[0] as Value);
  const out = output(operation);
  if (x.shape.length === dims + 2) return [layer(x, out)];
  const one = graph.integers([0]);
  const wide = graph.node("Unsqueeze", [x, one], { shape: [1, ...x.shape], dtype: x.dtype });
  const result = layer(wide, { shape: [1, ...out.shape], dtype: out.dtype });
  return [graph.node("Squeeze", [result, one], out)];
}

const windows = (kernelSize: Sizes, options: MaxPoolOptions, dims: number) => {
  const kernel = spread(kernelSize, dims, 1);
  const pads = spread(options.padding, dims, 0);
  return {
    kernel_shape: kernel,
    strides: options.stride === undefined ? kernel : spread(options.stride, dims, 1),
    pads: [...pads, ...pads],
    ceil_mode: options.ceilMode === true ? 1 : 0,
  };
};

const maxPool =
  (dims: number): Exporter =>
  (graph, operation) => {
    const [, kernelSize, options] = operation.args as [Value, Sizes, MaxPoolOptions];
    return batched(graph, operation, dims, (x, like) =>
      graph.node("MaxPool", [x], like, {
        ...windows(kernelSize, options, dims),
        dilations: spread(options.dilation, dims, 1),
      }),
    );
  };

const avgPool =
  (dims: number): Exporter =>
  (graph, operation) => {
    const [, kernelSize, options] = operation.args as [Value, Sizes, AvgPoolOptions];
    const { ceilMode = false, countIncludePad = true, divisorOverride } = options;
    const shape = windows(kernelSize, options, dims);
    return batched(graph, operation, dims, (x, like) =>
      divisorOverride === undefined && !(ceilMode && countIncludePad)
        ? graph.node("AveragePool", [x], like, { ...shape, count_include_pad: countIncludePad ? 1 : 0 })
        : dividedSums(graph, x, like, shape, divisorOverride),
    );
  };

/**
 * Averages that ONNX has no attribute for: windows over an input with zeros around it, so that all lie inside, times
 * their size, by the divisor. In `ceilMode` a last window that reaches beyond the padding counts what lies within it.
 */
function dividedSums(
  graph: GraphBuilder,
  x: Term,
  like: Pick<Term, "shape" | "dtype">,
  { kernel_shape: kernel, strides, pads }: ReturnType<typeof windows>,
  divisor: number | undefined,
): Term {
  const sizes = x.shape.slice(2);
  const out = like.shape.slice(2);
  const at = <T>(list: readonly T[], d: number): T => list[d] as T;
  const behind = sizes.map((size, d) =>
    Math.max(0, (at(out, d) - 1) * at(strides, d) + at(kernel, d) - size - at(pads, d)),
  );
  const wide = {
    shape: [...x.shape.slice(0, 2), ...sizes.map((size, d) => size + at(pads, d) + at(behind, d))],
    dtype: x.dtype,
  };
  const around = graph.integers([0, 0, ...pads.slice(0, sizes.length), 0, 0, ...behind]);
  const inside = graph.node("Pad", [x, around], wide);
  const means = graph.node("AveragePool", [inside], like, { kernel_shape: kernel, strides });
  const size = kernel.reduce((product, k) => product * k, 1);
  if (divisor !== undefined) return graph.node("Mul", [means, graph.constant(size / divisor, x.dtype)], like);
  // How much of a window counts is a product over the dimensions.
  return sizes.reduce((y, n, d) => {
    const [k, step, pad] = [at(kernel, d), at(strides, d), at(pads, d)];
    const shares = Array.from({ length: at(out, d) }, (_, i) => k / Math.min(k, n + 2 * pad - i * step));
    if (shares.every((share) => share === 1)) return y;
    const along = sizes.map((_, i) => (i === d ? shares.length : 1)).slice(d);
    return graph.node("Mul", [y, graph.reshape(graph.constant(shares, x.dtype), along)], like);
  }, means);
}

/** Where window i of `out` over `size` begins and ends: PyTorch's ⌊i·size/out⌋ and ⌈(i+1)·size/out⌉. */
const spans = (size: number, out: number): [start: number, end: number][] =>
  Array.from({ length: out }, (_, i) => [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)]);

/** The mean of each span along a dimension: a product with the matrix of shares. */
function spanMeans(graph: GraphBuilder, x: Term, dim: number, out: number): Term {
  const size = x.shape[dim] as number;
  const last = dim === x.shape.length - 1;
  const shares = new Array<number>(size * out).fill(0);
  for (const [i, [start, end]] of spans(size, out).entries())
    for (let at = start; at < end; at++) shares[last ? at * out + i : i * size + at] = 1 / (end - start);
  const matrix = graph.reshape(graph.constant(shares, x.dtype), last ? [size, out] : [out, size]);
  const like = { shape: x.shape.map((n, d) => (d === dim ? out : n)), dtype: x.dtype };
  return graph.node("MatMul", last ? [x, matrix] : [matrix, x], like);
}

/** The largest of each span along a dimension: slices, side by side again. */
function spanMaxima(graph: GraphBuilder, x: Term, dim: number, out: number): Term {
  const shaped = (size: number) => x.shape.map((n, d) => (d === dim ? size : n));
  const maxima = spans(x.shape[dim] as number, out).map(([start, end]) => {
    const bounds = [start, end, dim].map((n) => graph.integers([n])) as [Term, Term, Term];
    const part = graph.node("Slice", [x, ...bounds], { shape: shaped(end - start), dtype: x.dtype });
    return graph.reduce("ReduceMax", part, [dim], true, shaped(1));
  });
  return graph.node("Concat", maxima, { shape: shaped(out), dtype: x.dtype }, { axis: dim });
}

/** ONNX has windows of one size: those of other sizes are written out, for the input's size alone. */
const adaptive =
  (dims: number, global: string, local: string, spanned: typeof spanMeans): Exporter =>
  (graph, operation) =>
    batched(graph, operation, dims, (x, like) => {
      const sizes = x.shape.slice(2);
      const out = like.shape.slice(2);
      if (out.every((n) => n === 1)) return graph.node(global, [x], like);
      const kernel = sizes.map((n, i) => n / (out[i] as number));
      if (kernel.every(Number.isInteger))
        return graph.node(local, [x], like, { kernel_shape: kernel, strides: kernel });
      return out.reduce((y, n, d) => (n === sizes[d] ? y : spanned(graph, y, d + 2, n)), x);
    });

export const pools: Readonly<Record<string, Exporter>> = {
  maxPool1d: maxPool(1),
  maxPool2d: maxPool(2),
  maxPool3d: maxPool(3),
  avgPool1d: avgPool(1),
  avgPool2d: avgPool(2),
  avgPool3d: avgPool(3),
  adaptiveAvgPool1d: adaptive(1, "GlobalAveragePool", "AveragePool", spanMeans),
  adaptiveAvgPool2d: adaptive(2, "GlobalAveragePool", "AveragePool", spanMeans),
  adaptiveMaxPool1d: adaptive(1, "GlobalMaxPool", "MaxPool", spanMaxima),
  adaptiveMaxPool2d: adaptive(2, "GlobalMaxPool", "MaxPool", spanMaxima),
};
