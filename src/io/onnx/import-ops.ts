/** ONNX's operations on tensors by those of ours. Layers are in `import-layers.ts`. Source: https://onnx.ai/onnx/operators/ */
import { FormatError } from "../../errors.js";
import { isFloating } from "../../ops/dtype.js";
import { cat, full, type Tensor, tensor } from "../../tensor/index.js";
import { dtypeOfElement } from "./format.js";
import { checkSize, layers, surround } from "./import-layers.js";
import type { Given, Run } from "./module.js";

const fail = (what: string): never => {
  throw new FormatError(what);
};

const unary =
  (run: (x: Tensor) => Tensor): Run =>
  (given) =>
    run(given.input(0));

/** Two or more operands, from left to right. */
const many =
  (run: (a: Tensor, b: Tensor) => Tensor): Run =>
  (given) =>
    given.inputs.map((_, i) => given.input(i)).reduce(run);

const int64 = (values: readonly number[]): Tensor => tensor(values.map(BigInt), { dtype: "int64" });

/** Axes from an attribute, or since a later opset from an input. */
const axesOf = (given: Given, rank: number): number[] => {
  const axes = given.numbers("axes") ?? given.integers(1);
  return axes === undefined ? Array.from({ length: rank }, (_, i) => i) : [...axes];
};

const reduction =
  (run: (x: Tensor, dims: number[], keepdim: boolean) => Tensor): Run =>
  (given) => {
    const x = given.input(0);
    const axes = axesOf(given, x.ndim);
    const nothing = axes.length === 0 && given.number("noop_with_empty_axes", 0) !== 0;
    const all = axes.length === 0 ? Array.from({ length: x.ndim }, (_, i) => i) : axes;
    return nothing || x.ndim === 0 ? x : run(x, all, given.number("keepdims", 1) !== 0).to(x.dtype);
  };

const position =
  (find: (x: Tensor, dim: number, keepdim: boolean) => Tensor): Run =>
  (given) => {
    if (given.number("select_last_index", 0) !== 0) fail("select_last_index is not here");
    return find(given.input(0), given.number("axis", 0), given.number("keepdims", 1) !== 0).to("int64");
  };

const reshape: Run = (given) => {
  const x = given.input(0);
  const asked = given.integers(1) ?? fail("no shape");
  const copied = given.number("allowzero", 0) === 0;
  return x.reshape(
    asked.map((n, i) => (n === 0 && copied ? (x.shape[i] ?? fail("copies a size that is not there")) : n)),
  );
};

const flatten: Run = (given) => {
  const x = given.input(0);
  const axis = given.number("axis", 1);
  const at = axis < 0 ? axis + x.ndim : axis;
  const rows = x.shape.slice(0, at).reduce((a, b) => a * b, 1);
  return x.reshape([rows, rows === 0 ? 0 : x.numel() / rows]);
};

const unsqueeze: Run = (given) => {
  const x = given.input(0);
  const axes = given.numbers("axes") ?? given.integers(1) ?? fail("no axes");
  const rank = x.ndim + axes.length;
  return axes
    .map((axis) => (axis < 0 ? axis + rank : axis))
    .sort((a, b) => a - b)
    .reduce((y, axis) => y.unsqueeze(axis), x);
};

const squeeze: Run = (given) => {
  const axes = given.numbers("axes") ?? given.integers(1);
  return axes === undefined ? given.input(0).squeeze() : given.input(0).squeeze(axes);
};

const slice: Run = (given) => {
  const x = given.input(0);
  const starts = given.numbers("starts") ?? given.integers(1) ?? fail("no starts");
  const ends = given.numbers("ends") ?? given.integers(2) ?? fail("no ends");
  const axes = given.numbers("axes") ?? given.integers(3) ?? starts.map((_, i) => i);
  const steps = given.integers(4) ?? starts.map(() => 1);
  return axes.reduce((y, axis, i) => {
    const [start, end, step] = [starts[i], ends[i], steps[i]];
    if (start === undefined || end === undefined || step === undefined)
      return fail("starts, ends and axes differ in length");
    if (step < 0) return backwards(y, axis, start, end, step);
    return y.slice(axis, start, Math.min(end, 2 ** 31), step);
  }, x);
};

/** A step back through a dimension: the dimension is turned round first. */
function backwards(x: Tensor, axis: number, start: number, end: number, step: number): Tensor {
  const n = x.shape[axis < 0 ? axis + x.ndim : axis] as number;
  const clip = (at: number): number => Math.max(-1, Math.min(at < 0 ? at + n : at, n - 1));
  const last = end < -n ? -1 : clip(end);
  return x.flip(axis).slice(axis, n - 1 - clip(start), n - 1 - last, -step);
}

const gather: Run = (given) => {
  const [x, index] = [given.input(0), given.input(1)];
  const asked = given.number("axis", 0);
  const axis = asked < 0 ? asked + x.ndim : asked;
  const n = x.shape[axis] ?? fail(`no dimension ${asked}`);
  const positive = index.where(index.ge(0), index.add(n));
  if (index.ndim === 0) return x.select(axis, positive.item());
  const taken = x.indexSelect(axis, positive.flatten());
  return taken.reshape([...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)]);
};

const gatherElements: Run = (given) => {
  const [x, index] = [given.input(0), given.input(1)];
  const asked = given.number("axis", 0);
  const axis = asked < 0 ? asked + x.ndim : asked;
  const n = x.shape[axis] ?? fail(`no dimension ${asked}`);
  return x.gather(axis, index.where(index.ge(0), index.add(n)));
};

const split: Run = (given) => {
  const x = given.input(0);
  const axis = given.number("axis", 0);
  const n = x.shape[axis < 0 ? axis + x.ndim : axis] ?? fail(`no dimension ${axis}`);
  const parts = given.number("num_outputs", given.outputs);
  return x.split(given.numbers("split") ?? given.integers(1) ?? Math.max(1, Math.ceil(n / parts)), axis);
};

const expand: Run = (given) => {
  const x = given.input(0);
  const asked = given.integers(1) ?? fail("no shape");
  const lead = asked.length - x.ndim;
  const at = (i: number): number => (i < 0 ? 1 : (asked[i] as number));
  const shape = Array.from({ length: Math.max(asked.length, x.ndim) }, (_, i) => {
    const own = lead >= 0 ? (i < lead ? 1 : (x.shape[i - lead] as number)) : (x.shape[i] as number);
    const wanted = lead >= 0 ? at(i) : at(i + lead);
    return wanted === 1 ? own : wanted;
  });
  return x.expand(checkSize(shape) as number[]);
};

const tile: Run = (given) => {
  const x = given.input(0);
  const times = given.integers(1) ?? fail("no repeats");
  checkSize(x.shape.map((n, i) => n * (times[i] ?? 1)));
  return x.repeat(times);
};

const pad: Run = (given) => {
  const x = given.input(0);
  if (given.text("mode", "constant") !== "constant") fail(`mode ${given.text("mode", "")} is not here`);
  const pads = given.numbers("pads") ?? given.integers(1) ?? fail("no pads");
  const axes = given.integers(3) ?? Array.from({ length: x.ndim }, (_, i) => i);
  if (pads.length !== 2 * axes.length) fail(`${pads.length} pads for ${axes.length} dimensions`);
  if (pads.some((n) => n < 0)) fail("negative pads are not here");
  const value = given.inputs[2]?.item() ?? given.number("value", 0);
  const before = x.shape.map(() => 0);
  const behind = x.shape.map(() => 0);
  for (const [i, axis] of axes.entries()) {
    const d = axis < 0 ? axis + x.ndim : axis;
    before[d] = pads[i] as number;
    behind[d] = pads[i + axes.length] as number;
  }
  return surround(x, before, behind, value);
};

const shape: Run = (given) => {
  const sizes = given.input(0).shape;
  return int64(sizes.slice(given.number("start", 0), given.number("end", sizes.length)));
};

const constant: Run = (given) => {
  const value = given.tensor("value");
  if (value !== undefined) return value;
  const [ints, floats] = [given.numbers("value_ints"), given.numbers("value_floats")];
  if (ints !== undefined) return int64(ints);
  if (floats !== undefined) return tensor([...floats]);
  const [int, float] = [given.number("value_int", Number.NaN), given.number("value_float", Number.NaN)];
  if (!Number.isNaN(int)) return tensor(BigInt(int));
  return Number.isNaN(float) ? fail("no value that is a number") : tensor(float);
};

const constantOfShape: Run = (given) => {
  const sizes = checkSize(given.integers(0) ?? fail("no shape"));
  const value = given.tensor("value");
  return full(sizes, value?.item() ?? 0, { dtype: value?.dtype ?? "float32" });
};

const clip: Run = (given) => {
  const x = given.input(0);
  const low = given.inputs[1]?.item() ?? given.number("min", Number.NEGATIVE_INFINITY);
  const high = given.inputs[2]?.item() ?? given.number("max", Number.POSITIVE_INFINITY);
  const held = low === Number.NEGATIVE_INFINITY ? x : x.clamp(low);
  return high === Number.POSITIVE_INFINITY ? held : held.clamp(null, high);
};

/** Quotients of integers are cut towards zero. */
const divide = (a: Tensor, b: Tensor): Tensor => (isFloating(a.dtype) ? a.div(b) : a.div(b, { roundingMode: "trunc" }));

export const operations: Readonly<Record<string, Run>> = {
  ...layers,
  Abs: unary((x) => x.abs()),
  Acos: unary((x) => x.acos()),
  Acosh: unary((x) => x.acosh()),
  Asin: unary((x) => x.asin()),
  Asinh: unary((x) => x.asinh()),
  Atan: unary((x) => x.atan()),
  Atanh: unary((x) => x.atanh()),
  Ceil: unary((x) => x.ceil()),
  Cos: unary((x) => x.cos()),
  Cosh: unary((x) => x.cosh()),
  Erf: unary((x) => x.erf()),
  Exp: unary((x) => x.exp()),
  Floor: unary((x) => x.floor()),
  Identity: unary((x) => x),
  IsNaN: unary((x) => x.isnan()),
  Log: unary((x) => x.log()),
  Neg: unary((x) => x.neg()),
  Not: unary((x) => x.logicalNot()),
  Reciprocal: unary((x) => x.reciprocal()),
  Round: unary((x) => x.round()),
  Sign: unary((x) => x.sign()),
  Sin: unary((x) => x.sin()),
  Sinh: unary((x) => x.sinh()),
  Sqrt: unary((x) => x.sqrt()),
  Tan: unary((x) => x.tan()),
  Add: many((a, b) => a.add(b)),
  Sub: many((a, b) => a.sub(b)),
  Mul: many((a, b) => a.mul(b)),
  Div: many(divide),
  Pow: many((a, b) => a.pow(b)),
  Max: many((a, b) => a.maximum(b)),
  Min: many((a, b) => a.minimum(b)),
  Sum: many((a, b) => a.add(b)),
  And: many((a, b) => a.logicalAnd(b)),
  Or: many((a, b) => a.logicalOr(b)),
  Xor: many((a, b) => a.logicalXor(b)),
  Equal: many((a, b) => a.eq(b)),
  Less: many((a, b) => a.lt(b)),
  LessOrEqual: many((a, b) => a.le(b)),
  Greater: many((a, b) => a.gt(b)),
  GreaterOrEqual: many((a, b) => a.ge(b)),
  MatMul: many((a, b) => a.matmul(b)),
  Where: (given) => given.input(1).where(given.input(0), given.input(2)),
  Clip: clip,
  Cast: (given) => given.input(0).to(dtypeOfElement(given.number("to", 0), "Cast")),
  Reshape: reshape,
  Flatten: flatten,
  Transpose: (given) => {
    const x = given.input(0);
    return x.permute(given.numbers("perm") ?? x.shape.map((_, i) => x.ndim - 1 - i));
  },
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Concat: (given) =>
    cat(
      given.inputs.map((_, i) => given.input(i)),
      given.number("axis", 0),
    ),
  Slice: slice,
  Gather: gather,
  GatherElements: gatherElements,
  Split: split,
  Expand: expand,
  Tile: tile,
  Pad: pad,
  Shape: shape,
  Size: (given) => tensor(BigInt(given.input(0).numel())),
  Constant: constant,
  ConstantOfShape: constantOfShape,
  CumSum: (given) => given.input(0).cumsum(given.input(1).item()).to(given.input(0).dtype),
  ReduceSum: reduction((x, dims, keepdim) => x.sum(dims, { keepdim })),
  ReduceLogSumExp: reduction((x, dims, keepdim) => x.logsumexp(dims, { keepdim })),
  ReduceMean: reduction((x, dims, keepdim) => x.mean(dims, { keepdim })),
  ReduceProd: reduction((x, dims, keepdim) =>
    dims
      .map((d) => (d < 0 ? d + x.ndim : d))
      .sort((a, b) => b - a)
      .reduce((y, d) => y.prod(d, { keepdim }), x),
  ),
  ReduceMax: reduction((x, dims, keepdim) => x.amax(dims, { keepdim })),
  ReduceMin: reduction((x, dims, keepdim) => x.amin(dims, { keepdim })),
  ArgMax: position((x, dim, keepdim) => x.argmax(dim, { keepdim })),
  ArgMin: position((x, dim, keepdim) => x.argmin(dim, { keepdim })),
};
