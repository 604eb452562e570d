/** What the functions of `nn.functional` become in ONNX. Source: https://onnx.ai/onnx/operators/ */
import type { BatchNormOptions, ConvOptions, ConvTransposeOptions } from "../../nn/functional.js";

import { batched, pools, spread } from "./export-pooling.js";
import { counted, type Exporter, type GraphBuilder, output, refuse, type Term } from "./graph.js";
import type { Value } from "./trace.js";

const optional = (graph: GraphBuilder, value: unknown): Term | null => (value ? graph.term(value as Value) : null);

/** A layer with one input, one output and attributes that are numbers. */
const simple =
  (
    type: string,
    attributes: (args: readonly unknown[]) => Readonly<Record<string, number | { float: number }>> = () => ({}),
  ): Exporter =>
  (graph, operation) => {
    const x = graph.term(operation.args[0] as Value);
    return [graph.node(type, [x], x, attributes(operation.args.slice(1)))];
  };

const convolution =
  (dims: number): Exporter =>
  (graph, operation) => {
    const [, weight, bias, options] = operation.args as [Value, Value, Value | null, ConvOptions];
    const w = graph.term(weight);
    const kernel = w.shape.slice(2);
    const dilations = spread(options.dilation, dims, 1);
    const { padding = 0 } = options;
    const both = padding === "valid" ? spread(0, dims, 0) : padding === "same" ? null : spread(padding, dims, 0);
    // "same": the odd zero stands at the end.
    const total = kernel.map((k, i) => (k - 1) * (dilations[i] as number));
    const pads = both === null ? [...total.map((t) => t >> 1), ...total.map((t) => t - (t >> 1))] : [...both, ...both];
    return batched(graph, operation, dims, (x, like) =>
      graph.node("Conv", [x, w, optional(graph, bias)], like, {
        kernel_shape: kernel,
        strides: spread(options.stride, dims, 1),
        dilations,
        pads,
        group: options.groups ?? 1,
      }),
    );
  };

const transposed =
  (dims: number): Exporter =>
  (graph, operation) => {
    const [, weight, bias, options] = operation.args as [Value, Value, Value | null, ConvTransposeOptions];
    const w = graph.term(weight);
    const pads = spread(options.padding, dims, 0);
    return batched(graph, operation, dims, (x, like) =>
      graph.node("ConvTranspose", [x, w, optional(graph, bias)], like, {
        kernel_shape: w.shape.slice(2),
        strides: spread(options.stride, dims, 1),
        dilations: spread(options.dilation, dims, 1),
        pads: [...pads, ...pads],
        output_padding: spread(options.outputPadding, dims, 0),
        group: options.groups ?? 1,
      }),
    );
  };

/** Ones or zeros where a normalisation has no parameters of its own. */
const filled = (graph: GraphBuilder, value: unknown, count: number, fill: number, like: Term): Term =>
  optional(graph, value) ?? graph.constant(new Array<number>(count).fill(fill), like.dtype);

const linear: Exporter = (graph, operation) => {
  const [input, weight, bias] = operation.args as [Value, Value, Value | null];
  const [x, w] = [graph.term(input), graph.term(weight)];
  const out = output(operation);
  if (x.shape.length === 2) return [graph.node("Gemm", [x, w, optional(graph, bias)], out, { transB: 1 })];
  const turned = graph.node("Transpose", [w], { shape: w.shape.toReversed(), dtype: w.dtype }, { perm: [1, 0] });
  const product = graph.node("MatMul", [x, turned], out);
  return [bias ? graph.node("Add", [product, graph.term(bias)], out) : product];
};

const batchNorm: Exporter = (graph, operation) => {
  const [input, mean, variance, weight, bias, options] = operation.args as [
    Value,
    ...(Value | null)[],
    BatchNormOptions,
  ] &
    [Value, Value | null, Value | null, Value | null, Value | null, BatchNormOptions];
  const x = graph.term(input);
  if (!mean || !variance) return [batchStatistics(graph, x, weight, bias, options.eps ?? 1e-5)];
  if (options.training === true) refuse(operation, "a file changes no statistics; call eval() on the module");
  const channels = x.shape[1] as number;
  const scale = filled(graph, weight, channels, 1, x);
  const shift = filled(graph, bias, channels, 0, x);
  return [
    graph.node("BatchNormalization", [x, scale, shift, graph.term(mean as Value), graph.term(variance as Value)], x, {
      epsilon: { float: options.eps ?? 1e-5 },
    }),
  ];
};

/** Without running statistics each batch is normalised by its own, in evaluation too. */
function batchStatistics(graph: GraphBuilder, x: Term, weight: unknown, bias: unknown, eps: number): Term {
  const axes = counted(x.shape.length).filter((d) => d !== 1);
  const along = x.shape.map((size, d) => (d === 1 ? size : 1));
  const one = { shape: along, dtype: x.dtype };
  const centered = graph.node("Sub", [x, graph.reduce("ReduceMean", x, axes, true, along)], x);
  const variance = graph.reduce("ReduceMean", graph.node("Mul", [centered, centered], x), axes, true, along);
  const deviation = graph.node("Sqrt", [graph.node("Add", [variance, graph.constant(eps, x.dtype)], one)], one);
  let y = graph.node("Div", [centered, deviation], x);
  if (weight) y = graph.node("Mul", [y, graph.reshape(graph.term(weight as Value), along)], x);
  if (bias) y = graph.node("Add", [y, graph.reshape(graph.term(bias as Value), along)], x);
  return y;
}

const layerNorm: Exporter = (graph, operation) => {
  const [input, normalizedShape, weight, bias, eps] = operation.args as [
    Value,
    number[],
    Value | null,
    Value | null,
    number,
  ];
  const x = graph.term(input);
  const axis = -normalizedShape.length;
  const scale = weight
    ? graph.term(weight)
    : graph.node("Expand", [graph.constant(1, x.dtype), graph.integers(normalizedShape)], {
        shape: normalizedShape,
        dtype: x.dtype,
      });
  return [graph.node("LayerNormalization", [x, scale, optional(graph, bias)], x, { axis, epsilon: { float: eps } })];
};

/** Each group is an instance of its own; then channels are scaled and shifted. ONNX's own node is of opset 21. */
const groupNorm: Exporter = (graph, operation) => {
  const [input, groups, weight, bias, eps] = operation.args as [Value, number, Value | null, Value | null, number];
  const x = graph.term(input);
  const [batch, channels, ...rest] = x.shape as [number, number, ...number[]];
  const size = [channels, ...rest].reduce((product, n) => product * n, 1) / groups;
  const grouped = { shape: [batch, groups, size], dtype: x.dtype };
  const parts = graph.node("Reshape", [x, graph.integers([0, groups, -1])], grouped);
  const [one, zero] = [filled(graph, null, groups, 1, x), filled(graph, null, groups, 0, x)];
  const normal = graph.node("InstanceNormalization", [parts, one, zero], grouped, { epsilon: { float: eps } });
  let y = graph.node("Reshape", [normal, graph.integers([0, channels, ...rest])], x);
  const along = [channels, ...rest.map(() => 1)];
  if (weight) y = graph.node("Mul", [y, graph.reshape(graph.term(weight), along)], x);
  if (bias) y = graph.node("Add", [y, graph.reshape(graph.term(bias), along)], x);
  return [y];
};

const silu: Exporter = (graph, operation) => {
  const x = graph.term(operation.args[0] as Value);
  return [graph.node("Mul", [x, graph.node("Sigmoid", [x], x)], x)];
};

const gelu: Exporter = (graph, operation) => {
  const [input, { approximate }] = operation.args as [Value, { approximate: "none" | "tanh" }];
  const x = graph.term(input);
  const number = (value: number): Term => graph.constant(value, x.dtype);
  const times = (a: Term, b: Term): Term => graph.node("Mul", [a, b], x);
  const plus = (a: Term, b: Term): Term => graph.node("Add", [a, b], x);
  const cubed = () => times(x, times(x, x));
  const inner =
    approximate === "tanh"
      ? graph.node("Tanh", [times(plus(x, times(cubed(), number(0.044715))), number(Math.sqrt(2 / Math.PI)))], x)
      : graph.node("Erf", [times(x, number(Math.SQRT1_2))], x);
  return [times(times(x, number(0.5)), plus(inner, number(1)))];
};

const softplus: Exporter = (graph, operation) => {
  const [input, beta, threshold] = operation.args as [Value, number, number];
  const x = graph.term(input);
  const scaled = beta === 1 ? x : graph.node("Mul", [x, graph.constant(beta, x.dtype)], x);
  const soft = graph.node("Softplus", [scaled], x);
  const y = beta === 1 ? soft : graph.node("Div", [soft, graph.constant(beta, x.dtype)], x);
  // Above the threshold it is x itself.
  const above = graph.node("Greater", [scaled, graph.constant(threshold, x.dtype)], { shape: x.shape, dtype: "bool" });
  return [graph.node("Where", [above, x, y], x)];
};

const logSigmoid: Exporter = (graph, operation) => {
  const x = graph.term(operation.args[0] as Value);
  return [graph.node("Neg", [graph.node("Softplus", [graph.node("Neg", [x], x)], x)], x)];
};

const dropout: Exporter = (graph, operation) => {
  const [input, , training] = operation.args as [Value, number, boolean];
  if (training) refuse(operation, "chance has no place in a file; call eval() on the module");
  const x = graph.term(input);
  return [graph.node("Identity", [x], x)];
};

const embedding: Exporter = (graph, operation) => {
  const [index, weight] = operation.args as [Value, Value];
  return [
    graph.node("Gather", [graph.term(weight), graph.cast(graph.term(index), "int64")], output(operation), { axis: 0 }),
  ];
};

export const layers: Readonly<Record<string, Exporter>> = {
  linear,
  conv1d: convolution(1),
  conv2d: convolution(2),
  conv3d: convolution(3),
  convTranspose1d: transposed(1),
  convTranspose2d: transposed(2),
  convTranspose3d: transposed(3),
  ...pools,
  batchNorm,
  layerNorm,
  groupNorm,
  embedding,
  leakyRelu: simple("LeakyRelu", ([slope]) => ({ alpha: { float: slope as number } })),
  elu: simple("Elu", ([alpha]) => ({ alpha: { float: alpha as number } })),
  silu,
  gelu,
  softplus,
  logSigmoid,
  softmax: simple("Softmax", ([dim]) => ({ axis: dim as number })),
  logSoftmax: simple("LogSoftmax", ([dim]) => ({ axis: dim as number })),
  dropout,
};
