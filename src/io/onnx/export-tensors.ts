/** What methods of tensors, and `torch.cat` and its kin, become in ONNX. Source: https://onnx.ai/onnx/operators/ */
import { isFloating } from "../../ops/dtype.js";
import { promoteTypes } from "../../tensor/index.js";
import { type Exporter, type GraphBuilder, refuse, type Term } from "./graph.js";
import { type Operation, Value } from "./trace.js";

const first = (graph: GraphBuilder, operation: Operation): Term => graph.term(operation.args[0] as Value);
const output = ({ outputs }: Operation): Value => outputs[0] as Value;
const wrap = (dim: number, rank: number): number => (dim < 0 ? dim + rank : dim);

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

/** Any operation that leaves the elements where they are. */
const reshape: Exporter = (graph, operation) => {
  const out = output(operation);
  const x = first(graph, operation);
  const asked = operation.args.slice(1).flat();
  const open = asked.every((n) => typeof n === "number") ? asked.indexOf(-1) : -1;
  // The size that was left open stays open.
  if ((operation.name === "reshape" || operation.name === "view") && open >= 0 && asked.length === out.shape.length) {
    const target = out.shape.map((n, i) => (i === open ? -1 : i < open && n === x.shape[i] ? 0 : n));
    return [graph.node("Reshape", [x, graph.integers(target)], out)];
  }
  return [graph.reshape(x, out.shape)];
};

const unsqueeze: Exporter = (graph, operation) => {
  const out = output(operation);
  const axis = wrap(operation.args[1] as number, out.shape.length);
  return [graph.node("Unsqueeze", [first(graph, operation), graph.integers([axis])], out)];
};

const squeeze: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  const dims = operation.args[1] as number | readonly number[] | undefined;
  const asked = dims === undefined ? x.shape.map((_, i) => i) : [dims].flat().map((d) => wrap(d, x.shape.length));
  const axes = asked.filter((d) => x.shape[d] === 1);
  if (axes.length === 0) return identity(graph, operation);
  return [graph.node("Squeeze", [x, graph.integers(axes)], output(operation))];
};

const permuted = (order: (args: readonly unknown[], rank: number) => readonly number[]): Exporter => {
  return (graph, operation) => {
    const x = first(graph, operation);
    const perm = order(operation.args.slice(1), x.shape.length);
    return [graph.node("Transpose", [x], output(operation), { perm })];
  };
};
const counted = (rank: number): number[] => Array.from({ length: rank }, (_, i) => i);
const swapped = (a: number, b: number, rank: number): number[] => {
  const order = counted(rank);
  [order[a], order[b]] = [b, a];
  return order;
};
const transpose = permuted(([a, b], rank) => swapped(wrap(a as number, rank), wrap(b as number, rank), rank));
const permute = permuted((dims, rank) => dims.flat().map((d) => wrap(d as number, rank)));
const movedim = permuted(([from, to], rank) => {
  const order = counted(rank).filter((d) => d !== wrap(from as number, rank));
  order.splice(wrap(to as number, rank), 0, wrap(from as number, rank));
  return order;
});

const expand: Exporter = (graph, operation) => {
  const out = output(operation);
  const x = first(graph, operation);
  const lead = out.shape.length - x.shape.length;
  const target = out.shape.map((n, i) => (i >= lead && x.shape[i - lead] === n ? 1 : n));
  return [graph.node("Expand", [x, graph.integers(target)], out)];
};

const repeat: Exporter = (graph, operation) => {
  const out = output(operation);
  const x = first(graph, operation);
  const times = operation.args.slice(1).flat() as number[];
  const wide = graph.reshape(x, [...new Array<number>(times.length - x.shape.length).fill(1), ...x.shape]);
  return [graph.node("Tile", [wide, graph.integers(times)], out)];
};

function sliced(graph: GraphBuilder, x: Term, dim: number, start: number, end: number, step: number, out: Value): Term {
  // An end that is the size's own is open: the size may differ in the next run.
  const stop = end >= (x.shape[dim] as number) ? 2 ** 53 - 1 : end;
  const at = [start, stop, dim, step].map((n) => graph.integers([n])) as [Term, Term, Term, Term];
  return graph.node("Slice", [x, ...at], out);
}

const narrow: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  const [, dim, start, length] = operation.args as [Value, number, number, number];
  const d = wrap(dim, x.shape.length);
  const from = start < 0 ? start + (x.shape[d] as number) : start;
  return [sliced(graph, x, d, from, from + length, 1, output(operation))];
};

const slice: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  const [, dim, start = 0, end = Number.MAX_SAFE_INTEGER, step = 1] = operation.args as [
    Value,
    number,
    number?,
    number?,
    number?,
  ];
  return [sliced(graph, x, wrap(dim, x.shape.length), start, end, step, output(operation))];
};

const select: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  const [, dim, index] = operation.args as [Value, number, number];
  return [
    graph.node("Gather", [x, graph.constant(index, "int64")], output(operation), { axis: wrap(dim, x.shape.length) }),
  ];
};

/** split, chunk: neighbouring slices; unbind: one of each. */
const pieces: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  const dim = wrap((operation.args[operation.name === "unbind" ? 1 : 2] as number | undefined) ?? 0, x.shape.length);
  let start = 0;
  return operation.outputs.map((out, i) => {
    if (operation.name === "unbind") return graph.node("Gather", [x, graph.constant(i, "int64")], out, { axis: dim });
    const end = start + (out.shape[dim] as number);
    const piece = sliced(graph, x, dim, start, end, 1, out);
    start = end;
    return piece;
  });
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

const cat: Exporter = (graph, operation) => {
  const out = output(operation);
  const [tensors, dim] = operation.args as [Value[], number];
  // A vector of nothing joins anything, and is nothing.
  const parts = tensors.filter((part) => out.shape.length === 1 || part.shape.length !== 1);
  const terms = parts.map((part) => graph.cast(graph.term(part), out.dtype));
  return [graph.node("Concat", terms, out, { axis: wrap(dim, out.shape.length) })];
};

const stack: Exporter = (graph, operation) => {
  const out = output(operation);
  const [tensors, dim] = operation.args as [Value[], number];
  const axis = wrap(dim, out.shape.length);
  const terms = tensors.map((part) => {
    const term = graph.cast(graph.term(part), out.dtype);
    const shape = out.shape.map((n, i) => (i === axis ? 1 : n));
    return graph.node("Unsqueeze", [term, graph.integers([axis])], { shape, dtype: out.dtype });
  });
  return [graph.node("Concat", terms, out, { axis })];
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
  reshape,
  view: reshape,
  viewAs: reshape,
  reshapeAs: reshape,
  flatten: reshape,
  unflatten: reshape,
  unsqueeze,
  squeeze,
  transpose,
  swapaxes: transpose,
  permute,
  movedim,
  t: permuted((_, rank) => (rank === 2 ? [1, 0] : counted(rank))),
  T: permuted((_, rank) => counted(rank).toReversed()),
  mT: permuted((_, rank) => swapped(rank - 2, rank - 1, rank)),
  expand,
  expandAs: expand,
  broadcastTo: expand,
  repeat,
  tile: (graph, operation) => {
    const rank = (operation.args[0] as Value).shape.length;
    const times = operation.args.slice(1).flat() as number[];
    const full = [...new Array<number>(Math.max(0, rank - times.length)).fill(1), ...times];
    return repeat(graph, { ...operation, args: [operation.args[0], full] });
  },
  narrow,
  slice,
  select,
  split: pieces,
  chunk: pieces,
  unbind: pieces,
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
  cumsum,
  matmul,
  mm: matmul,
  bmm: matmul,
  mv: matmul,
  dot: matmul,
  cat,
  stack,
  where,
  maskedFill,
};
