/**
 * Pooling of one to three dimensions. A window is a list of taps, and each tap of all windows is one strided view of the padded
 * input: pooling is then an element-wise kernel over as many operands as there are taps, and its gradient one over as many
 * results. `windowSum` and `windowSpread` are each other's gradient.
 */
import { isGradEnabled } from "../autograd/mode.js";
import { record, records } from "../autograd/tape.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import { type ValueType, valueTypeOf } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { expand } from "./broadcast.js";
import { emptyTensor, LoopFamily } from "./core.js";
import { positionsLike } from "./creation.js";
import { defaultInteger, isFloating } from "./dtype.js";
import { scatterAdd } from "./gather.js";
import { matmul } from "./matmul.js";
import { numelOf, show } from "./shape.js";
import { type Sizes, sizesOf, widen } from "./spatial.js";
import { cast, cat, contiguous, fill, narrow, reshape, slice, squeeze, transpose } from "./view.js";
import { interior, outputOf, paddedOf, surrounded, taps, type Windows } from "./windows.js";

export interface PoolOptions {
  /** The window's size if not given. */
  stride?: Sizes;
  padding?: Sizes;
  /** Rounds the output's size up, so that windows may hang over the end. */
  ceilMode?: boolean;
}
export interface MaxPoolOptions extends PoolOptions {
  dilation?: Sizes;
}
export interface AvgPoolOptions extends PoolOptions {
  /** Whether zeros of the padding count as elements; they do unless this is false. */
  countIncludePad?: boolean;
  /** Divides by this instead of by the number of elements. */
  divisorOverride?: number;
}

/** `x` as five dimensions, and its windows; errors name `op`. */
function windowsOf(op: string, dims: number, x: Tensor, kernelSize: Sizes, o: MaxPoolOptions): [Tensor, Windows] {
  const n = x.shape.length;
  if (n !== dims + 1 && n !== dims + 2) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${n} dimensions; expected ${dims + 1}, or ${dims + 2} with a batch`,
    );
  }
  if (!isFloating(x.dtype)) throw new DTypeError(`${op}: is not defined on ${x.dtype}; convert with .float()`);
  const kernel = sizesOf(op, "kernelSize", kernelSize, dims, 1);
  const stride = sizesOf(op, "stride", o.stride ?? kernel, dims, 1);
  const pad = sizesOf(op, "padding", o.padding ?? 0, dims, 0);
  const dilation = sizesOf(op, "dilation", o.dilation ?? 1, dims, 1);
  if (pad.some((p, i) => 2 * p > (kernel[i] as number))) {
    throw new ValueError(`${op}: padding ${show(pad)} is more than half of the window ${show(kernel)}`);
  }
  const sizes = x.shape.slice(-dims);
  const out = sizes.map((size, i) => {
    const [s, p] = [stride[i] as number, pad[i] as number];
    const free = size + 2 * p - (dilation[i] as number) * ((kernel[i] as number) - 1) - 1;
    if (o.ceilMode !== true) return Math.floor(free / s) + 1;
    const up = Math.ceil(free / s) + 1;
    // A window must not begin in the padding behind.
    return (up - 1) * s >= size + p ? up - 1 : up;
  });
  if (out.some((size) => size < 1)) {
    throw new ShapeError(
      `${op}: the window ${show(kernel)} is larger than the input ${show(x.shape)} with padding ${show(pad)}`,
    );
  }
  const five = reshape(x, [...(n === dims + 1 ? [1] : []), ...x.shape.slice(0, -dims), ...widen(sizes, 1)]);
  const [K, S, P, D, O] = [widen(kernel, 1), widen(stride, 1), widen(pad, 0), widen(dilation, 1), widen(out, 1)];
  const padded = O.map((size, i) =>
    Math.max(
      (five.shape[i + 2] as number) + (P[i] as number),
      (size - 1) * (S[i] as number) + (D[i] as number) * ((K[i] as number) - 1) + 1,
    ),
  );
  return [five, { input: five.shape, kernel: K, stride: S, pad: P, dilation: D, out: O, padded }];
}

/** The result of pooling five dimensions, in the dimensions of the input. */
function restored(y: Tensor, x: Tensor, dims: number): Tensor {
  const full = reshape(y, [...y.shape.slice(0, 2), ...y.shape.slice(5 - dims)]);
  return x.shape.length === dims + 1 ? squeeze(full, 0) : full;
}

/** The element of a plane at which each window begins (int32, in the output's spatial shape). */
function beginnings(x: Tensor, w: Windows): Tensor {
  const [, , , H, W] = w.input as [number, number, number, number, number];
  const along = [H * W, W, 1].map((step, i) => {
    const n = w.out[i] as number;
    const p = a.sub.call(a.mul.call(positionsLike(n, x), w.stride[i] as number), w.pad[i] as number);
    return reshape(
      a.mul.call(p, step),
      [0, 1, 2].map((d) => (d === i ? n : 1)),
    );
  });
  return contiguous(a.add.call(a.add.call(along[0] as Tensor, along[1] as Tensor), along[2] as Tensor));
}

/** Operands of one kernel; more taps than this are taken in turns. */
const most = 16;

const families = new Map<string, LoopFamily>();
function family(
  name: string,
  count: number,
  scalars: readonly ValueType[],
  build: ConstructorParameters<typeof LoopFamily>[0]["build"],
): LoopFamily {
  const key = `${name}${count}`;
  let known = families.get(key);
  if (known === undefined) {
    known = new LoopFamily({ name, build }, scalars);
    families.set(key, known);
  }
  return known;
}

const each = (value: k.Expr) => ({ value, per: "element" as const });

/** The largest of `count` taps, and where it stands. The first of equals wins, and NaN over all. */
const largest = (count: number): LoopFamily =>
  family("maxPool", count, new Array<ValueType>(count).fill("i32"), (load, scalar) => {
    // operands: beginnings, value so far, position so far, taps
    let [best, at] = [load(1), load(2)];
    for (let t = 0; t < count; t++) {
      const v = load(3 + t);
      const wins = k.or(k.lt(best, v), k.ne(v, v));
      best = k.select(wins, v, best);
      at = k.select(wins, k.add(load(0), scalar(t)), at);
    }
    return [each(best), each(at)];
  });
const largestFirst = (count: number): LoopFamily =>
  family("maxPoolFirst", count, new Array<ValueType>(count).fill("i32"), (load, scalar) => {
    let best = load(1);
    let at = k.add(load(0), scalar(0));
    for (let t = 1; t < count; t++) {
      const v = load(1 + t);
      const wins = k.or(k.lt(best, v), k.ne(v, v));
      best = k.select(wins, v, best);
      at = k.select(wins, k.add(load(0), scalar(t)), at);
    }
    return [each(best), each(at)];
  });

function maxima(x: Tensor, w: Windows): { values: Tensor; indices: Tensor } {
  const shape = outputOf(w);
  const begin = beginnings(x, w);
  const beginView = expand(begin, shape);
  const list = taps(surrounded(x, w, Number.NEGATIVE_INFINITY), w);
  let values: Tensor | null = null;
  let indices: Tensor | null = null;
  for (let from = 0; from < list.length; from += most) {
    const some = list.slice(from, from + most);
    const out = emptyTensor(shape, x.dtype, x.device);
    const at = emptyTensor(shape, defaultInteger, x.device);
    const before: Tensor[] = values === null ? [] : [values, indices as Tensor];
    const operands = [beginView, ...before, ...some.map((t) => t.view), out, at];
    const kernel = values === null ? largestFirst(some.length) : largest(some.length);
    kernel.run(
      operands,
      operands.length - 2,
      shape,
      [],
      operands.map((t) => t.strides),
      some.map((t) => t.distance),
    );
    [values, indices] = [out, at];
  }
  return { values: values as Tensor, indices: indices as Tensor };
}

const disjoint = (w: Windows): boolean =>
  w.kernel.every((n, i) => (n - 1) * (w.dilation[i] as number) < (w.stride[i] as number));

/**
 * Writes to every tap's place in zeros of the padded shape: at once where windows do not meet, else one tap after another.
 * `value(load, t)` is what tap t gets, of the operands.
 */
function written(
  name: string,
  operands: readonly Tensor[],
  w: Windows,
  distances: boolean,
  scalars: readonly number[],
  value: (load: (i: number) => k.Expr, scalar: (i: number) => k.Expr, t: number) => k.Expr,
): Tensor {
  const first = operands[0] as Tensor;
  const { dtype, device } = first;
  // 16-bit sums of many taps round once.
  const narrowed = !disjoint(w) && (dtype === "float16" || dtype === "bfloat16");
  const padded = emptyTensor(paddedOf(w), narrowed ? "float32" : dtype, device);
  const list = taps(padded, w);
  const shape = outputOf(w);
  const extra: ValueType[] = scalars.map(() => valueTypeOf[padded.dtype]);
  const apart = disjoint(w);
  fill(padded, 0);
  for (let from = 0; from < list.length; from += apart ? most : 1) {
    const some = list.slice(from, from + (apart ? most : 1));
    const views = some.map((t) => t.view);
    const n = operands.length;
    const kernel = family(
      `${name}${apart ? "" : "Add"}${padded.dtype}`,
      some.length,
      [...extra, ...(distances ? some.map((): ValueType => "i32") : [])],
      (load, scalar) => {
        const target = valueTypeOf[padded.dtype];
        return some.map((_, t) => {
          const v = k.cast(value(load, scalar, t), target);
          return each(apart ? v : k.add(load(n), v));
        });
      },
    );
    const all = [...operands, ...(apart ? [] : views), ...views];
    kernel.run(
      all,
      all.length - views.length,
      shape,
      [],
      all.map((t) => t.strides),
      [...scalars, ...(distances ? some.map((t) => t.distance) : [])],
    );
  }
  const whole = w.padded.every((n, i) => n === w.input[i + 2]);
  const inside = whole ? padded : contiguous(interior(padded, w));
  return narrowed ? cast(inside, dtype) : inside;
}

/** The gradient of `maxima`: g where each window's largest element stands. */
function maximaBack(g: Tensor, indices: Tensor, w: Windows): Tensor {
  if (isGradEnabled()) {
    // The same of differentiable operations, for gradients of gradients.
    const [b, c] = w.input as [number, number];
    const flat = emptyTensor([b, c, numelOf(w.input.slice(2))], g.dtype, g.device);
    fill(flat, 0);
    const at = reshape(indices, [b, c, numelOf(w.out)]);
    return reshape(scatterAdd(flat, 2, at, reshape(g, at.shape)), w.input);
  }
  const begin = expand(beginnings(g, w), outputOf(w));
  return written("maxPoolBackward", [g, indices, begin], w, true, [], (load, scalar, t) =>
    k.select(k.eq(load(1), k.add(load(2), scalar(t))), load(0), 0),
  );
}

const maxPoolOf =
  (dims: number) =>
  (x: Tensor, kernelSize: Sizes, o: MaxPoolOptions = {}): { values: Tensor; indices: Tensor } => {
    const [five, w] = windowsOf(`maxPool${dims}d`, dims, x, kernelSize, o);
    if (numelOf(w.input.slice(1)) === 0) throw new ShapeError(`maxPool${dims}d: input ${show(x.shape)} is empty`);
    const { values, indices } = maxima(five.detach(), w);
    if (records([five])) {
      record(`maxPool${dims}d`, [five], [values], [indices], ([g], node) => [
        maximaBack(g as Tensor, node.input(0), w),
      ]);
    }
    return { values: restored(values, x, dims), indices: restored(indices, x, dims) };
  };

const sumOf = (count: number, more: boolean, type: ValueType): LoopFamily =>
  family(`windowSum${more ? "More" : ""}${type}`, count, [type], (load, scalar) => {
    let total = load(more ? 1 : 0);
    if (!more) {
      for (let t = 1; t < count; t++) total = k.add(total, load(t));
      return [each(k.mul(total, scalar(0)))];
    }
    for (let t = 1; t < count; t++) total = k.add(total, load(1 + t));
    return [each(k.add(load(0), k.mul(total, scalar(0))))];
  });

/** The sum over each window, times `scale`. */
function windowSum(x: Tensor, w: Windows, scale: number): Tensor {
  const shape = outputOf(w);
  const list = taps(surrounded(x.detach(), w, 0), w);
  let total: Tensor | null = null;
  for (let from = 0; from < list.length; from += most) {
    const views = list.slice(from, from + most).map((t) => t.view);
    const out: Tensor = emptyTensor(shape, x.dtype, x.device);
    const operands = [...(total === null ? [] : [total]), ...views, out];
    sumOf(views.length, total !== null, valueTypeOf[x.dtype]).run(
      operands,
      operands.length - 1,
      shape,
      [],
      operands.map((t) => t.strides),
      [scale],
    );
    total = out;
  }
  const out = total as Tensor;
  if (records([x])) record("windowSum", [x], [out], [], ([g]) => [windowSpread(g as Tensor, w, scale)]);
  return out;
}

/** Each element of g, times `scale`, added to all elements of its window. */
function windowSpread(g: Tensor, w: Windows, scale: number): Tensor {
  const out = written("windowSpread", [g.detach()], w, false, [scale], (load, scalar) => k.mul(load(0), scalar(0)));
  if (records([g])) record("windowSpread", [g], [out], [], ([gg]) => [windowSum(gg as Tensor, w, scale)]);
  return out;
}

/** How many elements of each window along one axis lie inside `from` … `to` of the padded axis. */
function counts(like: Tensor, w: Windows, i: number, from: number, to: number): Tensor {
  const begin = a.mul.call(positionsLike(w.out[i] as number, like), w.stride[i] as number);
  const end = a.minimum.call(a.add.call(begin, w.kernel[i] as number), to);
  const n = a.sub.call(end, a.maximum.call(begin, from));
  return reshape(
    cast(n, like.dtype),
    [0, 1, 2].map((d) => (d === i ? (w.out[i] as number) : 1)),
  );
}

const avgPoolOf =
  (dims: number) =>
  (x: Tensor, kernelSize: Sizes, o: AvgPoolOptions = {}): Tensor => {
    const op = `avgPool${dims}d`;
    const [five, w] = windowsOf(op, dims, x, kernelSize, o);
    const { divisorOverride, countIncludePad = true } = o;
    if (divisorOverride === 0) throw new ValueError(`${op}: divisorOverride is 0`);
    const size = numelOf(w.kernel);
    const whole = w.padded.every((n, i) => n === w.input[i + 2]);
    if (divisorOverride !== undefined || whole) {
      return restored(windowSum(five, w, 1 / (divisorOverride ?? size)), x, dims);
    }
    const [cd, ch, cw] = [0, 1, 2].map((i) => {
      const [n, p] = [w.input[i + 2] as number, w.pad[i] as number];
      return countIncludePad ? counts(five, w, i, 0, n + 2 * p) : counts(five, w, i, p, n + p);
    }) as [Tensor, Tensor, Tensor];
    const divisor = a.mul.call(a.mul.call(cd, ch), cw);
    return restored(a.div.call(windowSum(five, w, 1), divisor), x, dims);
  };

/** Output sizes of adaptive pooling; null keeps the input's. */
function adaptiveSizes(op: string, dims: number, x: Tensor, outputSize: number | readonly (number | null)[]): number[] {
  const n = x.shape.length;
  if (n !== dims + 1 && n !== dims + 2) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${n} dimensions; expected ${dims + 1}, or ${dims + 2} with a batch`,
    );
  }
  const list = typeof outputSize === "number" ? new Array<number>(dims).fill(outputSize) : outputSize;
  const sizes = list.map((size, i) => size ?? (x.shape[n - dims + i] as number));
  return sizesOf(op, "outputSize", sizes, dims, 1);
}

/** Bounds of window i of `out` over `n` elements. */
const bounds = (i: number, n: number, out: number): [number, number] => [
  Math.floor((i * n) / out),
  Math.ceil(((i + 1) * n) / out),
];

const adaptiveAvgPoolOf =
  (dims: number) =>
  (x: Tensor, outputSize: number | readonly (number | null)[]): Tensor => {
    const op = `adaptiveAvgPool${dims}d`;
    const sizes = adaptiveSizes(op, dims, x, outputSize);
    const from = x.shape.slice(-dims);
    if (from.some((n) => n === 0)) throw new ShapeError(`${op}: input ${show(x.shape)} has an empty spatial dimension`);
    if (from.every((n, i) => n % (sizes[i] as number) === 0)) {
      return avgPoolOf(dims)(
        x,
        from.map((n, i) => n / (sizes[i] as number)),
      );
    }
    // Windows of unequal size: along each axis a product with the matrix of their weights.
    return sizes
      .reduce((y, out, i) => {
        const axis = y.shape.length - dims + i;
        const n = y.shape[axis] as number;
        const moved = transpose(y, axis, -1);
        return transpose(matmul(moved, averaging(n, out, y)), axis, -1);
      }, x)
      .contiguous();
  };

/** (n, out): column i is 1 / size over window i. */
function averaging(n: number, out: number, like: Tensor): Tensor {
  const matrix = emptyTensor([n, out], like.dtype, like.device);
  fill(matrix, 0);
  for (let i = 0; i < out; i++) {
    const [start, end] = bounds(i, n, out);
    fill(slice(narrow(matrix, 1, i, 1), 0, start, end), 1 / (end - start));
  }
  return matrix;
}

const adaptiveMaxPoolOf =
  (dims: number) =>
  (x: Tensor, outputSize: number | readonly (number | null)[]): Tensor => {
    const op = `adaptiveMaxPool${dims}d`;
    const sizes = adaptiveSizes(op, dims, x, outputSize);
    const from = x.shape.slice(-dims);
    const pool = maxPoolOf(dims);
    if (from.every((n, i) => n % (sizes[i] as number) === 0)) {
      return pool(
        x,
        from.map((n, i) => n / (sizes[i] as number)),
      ).values;
    }
    const cut = (part: Tensor, i: number): Tensor => {
      if (i === dims) return pool(part, part.shape.slice(-dims)).values;
      const axis = part.shape.length - dims + i;
      const n = part.shape[axis] as number;
      const out = sizes[i] as number;
      return cat(
        Array.from({ length: out }, (_, j) => {
          const [start, end] = bounds(j, n, out);
          return cut(narrow(part, axis, start, end - start), i + 1);
        }),
        axis,
      );
    };
    return cut(x, 0);
  };

export const [maxPool1d, maxPool2d, maxPool3d] = [maxPoolOf(1), maxPoolOf(2), maxPoolOf(3)];
export const [avgPool1d, avgPool2d, avgPool3d] = [avgPoolOf(1), avgPoolOf(2), avgPoolOf(3)];
export const [adaptiveAvgPool1d, adaptiveAvgPool2d] = [adaptiveAvgPoolOf(1), adaptiveAvgPoolOf(2)];
export const [adaptiveMaxPool1d, adaptiveMaxPool2d] = [adaptiveMaxPoolOf(1), adaptiveMaxPoolOf(2)];
