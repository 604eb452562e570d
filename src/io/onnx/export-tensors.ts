/**
 * What methods of tensors that compute, and `torch.where`, become in ONNX; those that move elements are in `export-views.ts`.
 * Source: https://onnx.ai/onnx/operators/
 */
import { isFloating } from "../../ops/dtype.js";
import type { VarianceOptions } from "../../ops/reduce.js";
import { promoteTypes } from "../../tensor/index.js";
import { views } from "./export-views.js";
import { counted, type Exporter, first, output, refuse, type Term, wrap } from "./graph.js";
import { Value } from "./trace.js";

/** A function of each element; integers are computed in the result's dtype. */
const unary =
  (type: string): Exporter =>
  (graph, operation) => {
    const out = output(operation);
    const x = first(graph, operation);
    return [graph.node(type, [out.dtype === "bool" ? x : graph.cast(x, out.dtype)], out)];
  };

const identity: Exporter = (graph, operation) => [graph.node("Identity", [first(graph, operation)], output(operation))];

const convert: Exporter = (graph, operation) => {
  const out = output(operation);
  const x = first(graph, operation);
  return [x.dtype === out.dtype ? graph.node("Identity", [x], out) : graph.cast(x, out.dtype)];
};

const arithmetic =
  (type: string): Exporter =>
  (graph, operation) => {
    const [a, b, options] = operation.args as [
      unknown,
      unknown,
      { alpha?: number; roundingMode?: string | null } | undefined,
    ];
    const out = output(operation);
    if (options?.roundingMode) refuse(operation, `roundingMode ${options.roundingMode} is not in ONNX`);
    const [x, y] = graph.operands(a, b, out.dtype);
    const scaled =
      options?.alpha === undefined || options.alpha === 1
        ? y
        : graph.node("Mul", [y, graph.constant(options.alpha, out.dtype)], y);
    return [graph.node(type, [x, scaled], out)];
  };

/** Numbers that are compared with integers keep their fractions. */
const comparison =
  (type: string, negated = false): Exporter =>
  (graph, operation) => {
    const [a, b] = operation.args;
    const { dtype } = a as Value;
    const whole = typeof b !== "number" || Number.isInteger(b) || isFloating(dtype);
    const common = b instanceof Value ? promoteTypes(dtype, b.dtype) : whole ? dtype : "float32";
    const [x, y] = graph.operands(a, b, common === "bool" ? "int32" : common);
    const result = graph.node(type, [x, y], output(operation));
    return [negated ? graph.node("Not", [result], result) : result];
  };

const logical =
  (type: string): Exporter =>
  (graph, operation) => {
    const [x, y] = graph.operands(operation.args[0], operation.args[1], "bool");
    return [graph.node(type, [x, y], output(operation))];
  };

const square: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  return [graph.node("Mul", [x, x], output(operation))];
};

const rsqrt: Exporter = (graph, operation) => {
  const out = output(operation);
  const root = graph.node("Sqrt", [graph.cast(first(graph, operation), out.dtype)], out);
  return [graph.node("Reciprocal", [root], out)];
};

const pow: Exporter = (graph, operation) => {
  const [x, y] = graph.operands(operation.args[0], operation.args[1], output(operation).dtype);
  return [graph.node("Pow", [x, y], output(operation))];
};

const clamp: Exporter = (graph, operation) => {
  const out = output(operation);
  const [, given, upper] = operation.args as [Value, unknown, unknown];
  const bounds = typeof given === "object" && given !== null && !(given instanceof Value);
  const { min, max } = bounds ? (given as { min?: unknown; max?: unknown }) : { min: given, max: upper };
  let x = graph.cast(first(graph, operation), out.dtype);
  const bound = (value: unknown): Term =>
    value instanceof Value ? graph.cast(graph.term(value), out.dtype) : graph.constant(value as number, out.dtype);
  if (min !== undefined && min !== null) x = graph.node("Max", [x, bound(min)], out);
  if (max !== undefined && max !== null) x = graph.node("Min", [x, bound(max)], out);
  return [x];
};

const axesOf = (dims: unknown, rank: number): number[] =>
  dims === undefined || dims === null ? counted(rank) : [dims].flat().map((d) => wrap(d as number, rank));

const reduction =
  (type: string): Exporter =>
  (graph, operation) => {
    const out = output(operation);
    const x = first(graph, operation);
    const [, dims, options] = operation.args as [Value, unknown, { keepdim?: boolean } | undefined];
    const input = type === "ReduceSum" || type === "ReduceMean" || type === "ReduceProd" ? graph.cast(x, out.dtype) : x;
    if (x.shape.length === 0) return [graph.node("Identity", [input], out)];
    return [graph.reduce(type, input, axesOf(dims, x.shape.length), options?.keepdim ?? false, out.shape)];
  };

/** The largest or smallest of all, or along one dimension with its position. */
const extreme =
  (reduced: string, position: string): Exporter =>
  (graph, operation) => {
    const x = first(graph, operation);
    const [, dim, options] = operation.args as [Value, number | undefined, { keepdim?: boolean } | undefined];
    const keepdim = options?.keepdim ?? false;
    const values = graph.reduce(reduced, x, axesOf(dim, x.shape.length), keepdim, output(operation).shape);
    const [, indices] = operation.outputs;
    if (indices === undefined) return [values];
    const attributes = { axis: wrap(dim as number, x.shape.length), keepdims: keepdim ? 1 : 0 };
    const found = graph.node(position, [x], { shape: indices.shape, dtype: "int64" }, attributes);
    return [values, graph.cast(found, indices.dtype)];
  };

const position =
  (type: string): Exporter =>
  (graph, operation) => {
    const out = output(operation);
    let x = first(graph, operation);
    const [, dim, options] = operation.args as [Value, number | null | undefined, { keepdim?: boolean } | undefined];
    const all = dim === undefined || dim === null;
    if (all)
      x = graph.node("Reshape", [x, graph.integers([-1])], {
        shape: [x.shape.reduce((a, b) => a * b, 1)],
        dtype: x.dtype,
      });
    const attributes = {
      axis: all ? 0 : wrap(dim, x.shape.length),
      keepdims: !all && options?.keepdim === true ? 1 : 0,
    };
    return [graph.cast(graph.node(type, [x], { shape: out.shape, dtype: "int64" }, attributes), out.dtype)];
  };

const along =
  (type: string): Exporter =>
  (graph, operation) => {
    const x = first(graph, operation);
    return [graph.node(type, [x], output(operation), { axis: operation.args[1] as number })];
  };

const cumsum: Exporter = (graph, operation) => {
  const out = output(operation);
  const x = graph.cast(first(graph, operation), out.dtype);
  return [graph.node("CumSum", [x, graph.constant(wrap(operation.args[1] as number, x.shape.length), "int64")], out)];
};

const matmul: Exporter = (graph, operation) => {
  const [x, y] = graph.operands(operation.args[0], operation.args[1], output(operation).dtype);
  return [graph.node("MatMul", [x, y], output(operation))];
};

const where: Exporter = (graph, operation) => {
  const out = output(operation);
  const [a, condition, b] = operation.args as [unknown, Value, unknown];
  const side = (value: unknown): Term =>
    value instanceof Value ? graph.cast(graph.term(value), out.dtype) : graph.constant(Number(value), out.dtype);
  return [graph.node("Where", [graph.cast(graph.term(condition), "bool"), side(a), side(b)], out)];
};

const maskedFill: Exporter = (graph, operation) => {
  const out = output(operation);
  const [x, mask, value] = operation.args as [Value, Value, number];
  const held = graph.cast(graph.term(mask), "bool");
  return [graph.node("Where", [held, graph.constant(value, out.dtype), graph.term(x)], out)];
};

/** By the natural logarithm or exponential, as ONNX has no other. */
const composed =
  (
    build: (x: Term, one: (type: string, ...terms: Term[]) => Term, number: (value: number) => Term) => Term,
  ): Exporter =>
  (graph, operation) => {
    const out = output(operation);
    const x = graph.cast(first(graph, operation), out.dtype);
    return [
      build(
        x,
        (type, ...terms) => graph.node(type, terms, out),
        (value) => graph.constant(value, out.dtype),
      ),
    ];
  };
const logarithm = (base: number) => composed((x, node, number) => node("Div", node("Log", x), number(Math.log(base))));

const variance =
  (root: boolean): Exporter =>
  (graph, operation) => {
    const out = output(operation);
    const x = first(graph, operation);
    const [, dims, { correction = 1, keepdim = false } = {}] = operation.args as [Value, unknown, VarianceOptions?];
    const axes = axesOf(dims, x.shape.length);
    const kept = x.shape.map((size, d) => (axes.includes(d) ? 1 : size));
    const centered = graph.node("Sub", [x, graph.reduce("ReduceMean", x, axes, true, kept)], x);
    const squares = graph.node("Mul", [centered, centered], x);
    const count = axes.reduce((product, d) => product * (x.shape[d] as number), 1);
    // A division by a smaller count, for axes whose sizes stay.
    const mean = graph.reduce("ReduceMean", squares, axes, keepdim, out.shape);
    const value =
      correction === 0 ? mean : graph.node("Mul", [mean, graph.constant(count / (count - correction), x.dtype)], out);
    return [root ? graph.node("Sqrt", [value], out) : value];
  };

const gathered =
  (type: "Gather" | "GatherElements"): Exporter =>
  (graph, operation) => {
    const x = first(graph, operation);
    const [, dim, index] = operation.args as [Value, number, Value];
    const places = graph.cast(graph.term(index), "int64");
    return [graph.node(type, [x, places], output(operation), { axis: wrap(dim, x.shape.length) })];
  };

const elementWise = {
  abs: "Abs",
  acos: "Acos",
  acosh: "Acosh",
  asin: "Asin",
  asinh: "Asinh",
  atan: "Atan",
  atanh: "Atanh",
  ceil: "Ceil",
  cos: "Cos",
  cosh: "Cosh",
  erf: "Erf",
  exp: "Exp",
  floor: "Floor",
  isnan: "IsNaN",
  log: "Log",
  neg: "Neg",
  reciprocal: "Reciprocal",
  relu: "Relu",
  round: "Round",
  sigmoid: "Sigmoid",
  sign: "Sign",
  sin: "Sin",
  sinh: "Sinh",
  sqrt: "Sqrt",
  tan: "Tan",
  tanh: "Tanh",
};

export const tensors: Readonly<Record<string, Exporter>> = {
  ...views,
  ...Object.fromEntries(Object.entries(elementWise).map(([name, type]) => [name, unary(type)])),
  square,
  rsqrt,
  pow,
  clamp,
  clip: clamp,
  add: arithmetic("Add"),
  sub: arithmetic("Sub"),
  mul: arithmetic("Mul"),
  div: arithmetic("Div"),
  maximum: arithmetic("Max"),
  minimum: arithmetic("Min"),
  eq: comparison("Equal"),
  ne: comparison("Equal", true),
  lt: comparison("Less"),
  le: comparison("LessOrEqual"),
  gt: comparison("Greater"),
  ge: comparison("GreaterOrEqual"),
  logicalAnd: logical("And"),
  logicalOr: logical("Or"),
  logicalXor: logical("Xor"),
  logicalNot: (graph, operation) => [
    graph.node("Not", [graph.cast(first(graph, operation), "bool")], output(operation)),
  ],
  clone: identity,
  contiguous: identity,
  detach: identity,
  to: convert,
  float: convert,
  double: convert,
  half: convert,
  bfloat16: convert,
  int: convert,
  long: convert,
  short: convert,
  byte: convert,
  bool: convert,
  type: convert,
  cpu: convert,
  sum: reduction("ReduceSum"),
  mean: reduction("ReduceMean"),
  prod: reduction("ReduceProd"),
  amax: reduction("ReduceMax"),
  amin: reduction("ReduceMin"),
  max: extreme("ReduceMax", "ArgMax"),
  min: extreme("ReduceMin", "ArgMin"),
  argmax: position("ArgMax"),
  argmin: position("ArgMin"),
  softmax: along("Softmax"),
  logSoftmax: along("LogSoftmax"),
  logsumexp: reduction("ReduceLogSumExp"),
  var: variance(false),
  std: variance(true),
  log2: logarithm(2),
  log10: logarithm(10),
  log1p: composed((x, node, number) => node("Log", node("Add", x, number(1)))),
  expm1: composed((x, node, number) => node("Sub", node("Exp", x), number(1))),
  indexSelect: gathered("Gather"),
  gather: gathered("GatherElements"),
  cumsum,
  matmul,
  mm: matmul,
  bmm: matmul,
  mv: matmul,
  dot: matmul,
  where,
  maskedFill,
};
