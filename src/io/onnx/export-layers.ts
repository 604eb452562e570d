/** What the functions of `nn.functional` become in ONNX. Source: https://onnx.ai/onnx/operators/ */
import type {
  AvgPoolOptions,
  BatchNormOptions,
  ConvOptions,
  ConvTransposeOptions,
  MaxPoolOptions,
} from "../../nn/functional.js";
import type { Sizes } from "../../ops/index.js";
import { type Exporter, type GraphBuilder, output, refuse, type Term } from "./graph.js";
import type { Operation, Value } from "./trace.js";

const spread = (value: Sizes | undefined, dims: number, otherwise: number): number[] =>
  value === undefined || typeof value === "number" ? new Array<number>(dims).fill(value ?? otherwise) : [...value];

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

/** Runs `layer` on (N, C, …), as ONNX has it, also where the input came without N. */
function batched(
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
    if (options.divisorOverride !== undefined) refuse(operation, "ONNX has no divisorOverride");
    if (options.ceilMode === true && options.countIncludePad !== false) {
      refuse(
        operation,
        "ceilMode with countIncludePad counts differently in ONNX runtimes; set countIncludePad to false",
      );
    }
    return batched(graph, operation, dims, (x, like) =>
      graph.node("AveragePool", [x], like, {
        ...windows(kernelSize, options, dims),
        count_include_pad: options.countIncludePad === false ? 0 : 1,
      }),
    );
  };

/** Windows of one size, where the output's sizes divide the input's; ONNX has no others. */
const adaptive =
  (dims: number, global: string, local: string): Exporter =>
  (graph, operation) =>
    batched(graph, operation, dims, (x, like) => {
      const sizes = x.shape.slice(2);
      const out = like.shape.slice(2);
      if (out.every((n) => n === 1)) return graph.node(global, [x], like);
      const kernel = sizes.map((n, i) => n / (out[i] as number));
      if (!kernel.every(Number.isInteger)) {
        refuse(
          operation,
          `ONNX has windows of one size alone; (${out.join(", ")}) does not divide (${sizes.join(", ")})`,
        );
      }
      return graph.node(local, [x], like, { kernel_shape: kernel, strides: kernel });
    });

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
  if (options.training === true || !mean || !variance)
    refuse(operation, "the statistics of the batch are not in a file");
  const channels = x.shape[1] as number;
  const scale = filled(graph, weight, channels, 1, x);
  const shift = filled(graph, bias, channels, 0, x);
  return [
    graph.node("BatchNormalization", [x, scale, shift, graph.term(mean as Value), graph.term(variance as Value)], x, {
      epsilon: { float: options.eps ?? 1e-5 },
    }),
  ];
};

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
  maxPool1d: maxPool(1),
  maxPool2d: maxPool(2),
  maxPool3d: maxPool(3),
  avgPool1d: avgPool(1),
  avgPool2d: avgPool(2),
  avgPool3d: avgPool(3),
  adaptiveAvgPool1d: adaptive(1, "GlobalAveragePool", "AveragePool"),
  adaptiveAvgPool2d: adaptive(2, "GlobalAveragePool", "AveragePool"),
  adaptiveMaxPool1d: adaptive(1, "GlobalMaxPool", "MaxPool"),
  adaptiveMaxPool2d: adaptive(2, "GlobalMaxPool", "MaxPool"),
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
