/** What methods of tensors that move elements or leave them where they are, and `torch.cat` and `torch.stack`, become in ONNX. */
import { counted, type Exporter, first, type GraphBuilder, output, type Term, wrap } from "./graph.js";
import type { Value } from "./trace.js";

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
  if (axes.length === 0) return [graph.node("Identity", [x], output(operation))];
  return [graph.node("Squeeze", [x, graph.integers(axes)], output(operation))];
};

const permuted = (order: (args: readonly unknown[], rank: number) => readonly number[]): Exporter => {
  return (graph, operation) => {
    const x = first(graph, operation);
    const perm = order(operation.args.slice(1), x.shape.length);
    return [graph.node("Transpose", [x], output(operation), { perm })];
  };
};
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

const flip: Exporter = (graph, operation) => {
  const x = first(graph, operation);
  const axes = [operation.args[1]].flat().map((d) => wrap(d as number, x.shape.length));
  const each = (n: number): Term => graph.integers(axes.map(() => n));
  // From the last to before the first.
  return [graph.node("Slice", [x, each(-1), each(-(2 ** 53 - 1)), graph.integers(axes), each(-1)], output(operation))];
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

export const views: Readonly<Record<string, Exporter>> = {
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
  flip,
  split: pieces,
  chunk: pieces,
  unbind: pieces,
  cat,
  stack,
};
