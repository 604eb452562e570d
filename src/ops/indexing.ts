/**
 * Indexing by tensors. All of it comes down to two kernels over memory offsets: `take` (out = x[a + b]) and `put`
 * (x[a + b] = v, or += v), where a and b are broadcast int32 offset tensors that ordinary operations compute.
 */
import { record, records } from "../autograd/tape.js";
import { DTypeError, IndexError, ShapeError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { capturing } from "./capture.js";
import { emptyTensor, LoopFamily, viewAt } from "./core.js";
import { positionsLike } from "./creation.js";
import { isFloating, isInteger } from "./dtype.js";
import { setReduceHelpers } from "./reduce.js";
import { broadcast, numelOf, type Shape, show, wrapDim } from "./shape.js";
import { cast, clone, contiguous, copyInto, expand, fill, reshape, select, slice, unsqueeze } from "./view.js";

const at = (load: (i: number) => k.Expr, i: number): k.Expr => k.cast(load(i), "i32");

const takeFamily = new LoopFamily(
  {
    name: "take",
    build: (load) => {
      const x = load(0);
      return [{ value: k.gather(0, x.type, k.add(at(load, 1), at(load, 2))), per: "element" }];
    },
  },
  [],
);
const putFamily = (accumulate: boolean): LoopFamily =>
  new LoopFamily(
    {
      name: accumulate ? "putAdd" : "put",
      build: (load) => [{ value: load(0), per: "element", at: k.add(at(load, 1), at(load, 2)), accumulate }],
    },
    [],
  );
const putSet = putFamily(false);
const putAdd = putFamily(true);

/** x (contiguous, seen flat) at offsets p + q. */
function take(x: Tensor, p: Tensor, q: Tensor): Tensor {
  const shape = broadcast("index", p.shape, q.shape);
  const flat = contiguous(x.detach());
  const out = emptyTensor(shape, x.dtype, x.device);
  if (out.numel() > 0) {
    takeFamily.run(
      [flat, p, q, out],
      3,
      shape,
      [],
      [shape.map(() => 0), viewAt(p, shape), viewAt(q, shape), out.strides],
      [],
    );
  }
  if (records([x]) && isFloating(x.dtype)) {
    const whole = x.shape;
    record("index", [x], [out], [], ([g]) => [putNew(g as Tensor, whole, p, q)]);
  }
  return out;
}

/** Zeros of `shape` with g added at offsets p + q. */
function putNew(g: Tensor, shape: Shape, p: Tensor, q: Tensor): Tensor {
  const out = emptyTensor(shape, g.dtype, g.device);
  fill(out, 0);
  put(out, g, p, q, true);
  if (records([g])) record("indexPut", [g], [out], [], ([gg]) => [take(gg as Tensor, p, q)]);
  return out;
}

/** Writes into contiguous `x`, unrecorded. 16-bit floats cannot accumulate bit by bit, so they go through float32. */
function put(x: Tensor, v: Tensor, p: Tensor, q: Tensor, accumulate: boolean): void {
  const shape = broadcast("index", p.shape, q.shape);
  if (numelOf(shape) === 0) return;
  if (accumulate && (x.dtype === "float16" || x.dtype === "bfloat16")) {
    const wide = cast(x.detach(), "float32");
    put(wide, cast(v.detach(), "float32"), p, q, true);
    copyInto(x, wide);
    return;
  }
  const value = cast(expand(v.detach(), shape), x.dtype);
  const zero = shape.map(() => 0);
  (accumulate ? putAdd : putSet).run(
    [value, p, q, x],
    3,
    shape,
    [],
    [value.strides, viewAt(p, shape), viewAt(q, shape), zero],
    [],
  );
}

/** Indices checked to lie in least … n−1, and made 0 … n−1. */
export function checkedIndices(op: string, index: Tensor, n: number, least = -n): Tensor {
  if (!isInteger(index.dtype)) throw new DTypeError(`${op}: indices must be integers, not ${index.dtype}`);
  const i = cast(index.detach(), "int32");
  if (i.numel() === 0) return i;
  const check = ([low, high]: readonly number[]): void => {
    if ((low as number) >= least && (high as number) < n) return;
    const wrong = (low as number) < least ? low : high;
    throw new IndexError(`${op}: index ${wrong} is out of range for a dimension of size ${n}`);
  };
  const capture = capturing();
  const extremes = [i.amin(), i.amax()] as const;
  let negative = least < 0;
  if (capture !== null) capture.inspect(extremes, check);
  else {
    const numbers = extremes.map((t) => t.item());
    check(numbers);
    negative = (numbers[0] as number) < 0;
  }
  return negative ? a.whereSelect.call(a.add.call(i, n), i, a.lt.call(i, 0)) : i;
}

/** Offsets of positions 0 … n−1 of each of the dimensions, summed and broadcast to their sizes. */
function offsetsOf(shape: Shape, strides: Shape, like: Tensor, only: (d: number) => boolean): Tensor {
  let total: Tensor | null = null;
  for (let d = 0; d < shape.length; d++) {
    const n = shape[d] as number;
    if (!only(d) || n === 1) continue;
    const along = reshape(
      a.mul.call(positionsLike(n, like), strides[d] as number),
      shape.map((_, i) => (i === d ? n : 1)),
    );
    total = total === null ? along : a.add.call(total, along);
  }
  return (
    total ??
    reshape(
      positionsLike(1, like),
      shape.map(() => 1),
    )
  );
}

const stridesOf = (shape: Shape): number[] => {
  const s = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) s[i] = (s[i + 1] as number) * Math.max(1, shape[i + 1] as number);
  return s;
};

/** out[i][j] = x[index[i][j]][j] (for dim 0). https://pytorch.org/docs/stable/generated/torch.gather.html */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const [p, q] = alongDim("gather", x, dim, index);
  return take(x, p, q);
}

function alongDim(op: string, x: Tensor, dim: number, index: Tensor): [Tensor, Tensor] {
  if (x.shape.length === 0) return [checkedIndices(op, index, 1), reshape(positionsLike(1, x), [])];
  const d = wrapDim(op, dim, x.shape.length);
  if (index.shape.length !== x.shape.length || index.shape.some((n, i) => i !== d && n > (x.shape[i] as number))) {
    throw new ShapeError(`${op}: index ${show(index.shape)} does not fit ${show(x.shape)} outside dimension ${d}`);
  }
  const strides = stridesOf(x.shape);
  const i = checkedIndices(op, index, x.shape[d] as number);
  return [a.mul.call(i, strides[d] as number), offsetsOf(index.shape, strides, x, (e) => e !== d)];
}

function scattered(
  op: string,
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor | number,
  accumulate: boolean,
): Tensor {
  const src = typeof source === "number" ? expand(scalarLike(source, x), index.shape) : source;
  if (src.dtype !== x.dtype) throw new DTypeError(`${op}: the source is ${src.dtype} and the target ${x.dtype}`);
  const [p, q] = alongDim(op, x, dim, index);
  const part = src.shape.some((n, i) => n !== index.shape[i])
    ? index.shape.reduce<Tensor>((s, n, i) => slice(s, i, 0, n), src)
    : src;
  const out = clone(x.detach());
  put(out, part, p, q, accumulate);
  if (records([x, part]) && isFloating(x.dtype)) {
    record(op, [x, part], [out], [], ([g]) => {
      const gx = accumulate ? (g as Tensor) : zeroAt(g as Tensor, p, q);
      return [gx, take(g as Tensor, p, q)];
    });
  }
  return out;
}
/** A copy of g with zeros at the offsets. */
function zeroAt(g: Tensor, p: Tensor, q: Tensor): Tensor {
  const out = clone(g.detach());
  put(out, reshape(cast(positionsLike(1, g), g.dtype), []), p, q, false);
  if (records([g])) record("zeroAt", [g], [out], [], ([gg]) => [zeroAt(gg as Tensor, p, q)]);
  return out;
}

export const scatter = (x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor =>
  scattered("scatter", x, dim, index, source, false);
export const scatterAdd = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  scattered("scatterAdd", x, dim, index, source, true);

/** Rows (or another dimension's slices) by number. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const d = wrapDim("indexSelect", dim, x.shape.length);
  if (index.shape.length > 1)
    throw new ShapeError(`indexSelect: the index has shape ${show(index.shape)}; expected one dimension`);
  const items: Index[] = x.shape.map((_, i) => (i === d ? reshape(index, [index.numel()]) : ":"));
  return indexTensor(x, items);
}

/** Elements of the flattened tensor. */
export function takeFlat(x: Tensor, index: Tensor): Tensor {
  const i = checkedIndices("take", index, x.numel());
  return take(
    x,
    i,
    reshape(
      positionsLike(1, x),
      i.shape.map(() => 1),
    ),
  );
}

/**
 * One entry of an index: a number selects, ":" keeps, "..." keeps all that is left, null adds a dimension of size 1,
 * {start, stop, step} slices, a tensor or list of integers picks, a bool tensor masks.
 */
export type Index =
  | number
  | ":"
  | "..."
  | null
  | { start?: number; stop?: number; step?: number }
  | Tensor
  | readonly number[]
  | readonly boolean[];

const isTensor = (x: unknown): x is Tensor => typeof x === "object" && x !== null && "buffer" in x && "dtype" in x;

let listToTensor: (list: readonly (number | boolean)[], like: Tensor) => Tensor;
export function setListToTensor(f: typeof listToTensor): void {
  listToTensor = f;
}

/** Positions of the true entries, one column a dimension. */
export function nonzero(x: Tensor): Tensor {
  capturing()?.refuse("asking which entries are true");
  const mask = contiguous(cast(x.detach(), "bool"));
  const bytes = mask.device.engine.view(mask.buffer).subarray(mask.offset, mask.offset + mask.numel());
  const found: number[] = [];
  const strides = stridesOf(x.shape);
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === 0) continue;
    for (let d = 0; d < x.shape.length; d++)
      found.push(Math.floor(i / (strides[d] as number)) % (x.shape[d] as number));
  }
  const columns = Math.max(1, x.shape.length);
  if (x.shape.length === 0) return reshape(listToTensor([], x), [bytes[0] === 0 ? 0 : 1, 0]);
  return reshape(listToTensor(found, x), [found.length / columns, columns]);
}

const sliceKeys: ReadonlySet<string> = new Set(["start", "stop", "step"]);

/** Splits an index into the view it begins with and the tensors that then pick from the view. */
function resolve(x: Tensor, items: readonly Index[]): { view: Tensor; picks: (Tensor | null)[] } {
  const consumed = items.reduce<number>((n, i) => {
    if (i === null || i === "...") return n;
    return (
      n + (isTensor(i) && i.dtype === "bool" ? i.shape.length : Array.isArray(i) && typeof i[0] === "boolean" ? 1 : 1)
    );
  }, 0);
  if (consumed > x.shape.length) {
    throw new IndexError(`index: ${consumed} indices for ${x.shape.length} dimensions of ${show(x.shape)}`);
  }
  const ellipses = items.filter((i) => i === "...").length;
  if (ellipses > 1) throw new IndexError('index: only one "..." may stand in an index');
  let v = x;
  let d = 0;
  const picks: (Tensor | null)[] = [];
  for (const item of items) {
    if (item === "...") {
      for (let n = x.shape.length - consumed; n > 0; n--) {
        picks.push(null);
        d += 1;
      }
    } else if (item === ":") {
      picks.push(null);
      d += 1;
    } else if (item === null) {
      v = unsqueeze(v, d);
      picks.push(null);
      d += 1;
    } else if (typeof item === "number") v = select(v, d, item);
    else if (isTensor(item) || Array.isArray(item)) {
      const t = isTensor(item) ? item : listToTensor(item as readonly (number | boolean)[], x);
      if (t.dtype === "bool" && t.shape.length === 0) {
        // A mask without dimensions keeps all of them, once or not at all.
        v = unsqueeze(v, d);
        picks.push(reshape(cast(nonzero(reshape(t, [1])), "int32"), [-1]));
        d += 1;
      } else if (t.dtype === "bool") {
        t.shape.forEach((n, i) => {
          if (n !== v.shape[d + i]) {
            throw new IndexError(`index: mask ${show(t.shape)} does not fit ${show(v.shape)} at dimension ${d + i}`);
          }
        });
        const where = nonzero(t);
        for (let i = 0; i < t.shape.length; i++) {
          picks.push(select(where, 1, i));
          d += 1;
        }
      } else {
        picks.push(t);
        d += 1;
      }
    } else {
      if (typeof item !== "object" || Object.keys(item).some((key) => !sliceKeys.has(key))) {
        throw new IndexError(
          `index: ${JSON.stringify(item)} is not an index; a slice is ":" or { start, stop, step }, a mask is a bool tensor`,
        );
      }
      const s = item as { start?: number; stop?: number; step?: number };
      v = slice(v, d, s.start ?? 0, s.stop, s.step ?? 1);
      picks.push(null);
      d += 1;
    }
  }
  while (picks.length < v.shape.length) picks.push(null);
  return { view: v, picks };
}

/** The offsets that integer indices pick from a contiguous tensor of `shape`: one part moving with the picks, one with the rest. */
function pickOffsets(shape: Shape, picks: readonly (Tensor | null)[], like: Tensor): { p: Tensor; q: Tensor } {
  const strides = stridesOf(shape);
  const where = picks.map((p, i) => (p === null ? -1 : i)).filter((i) => i >= 0);
  let joint: Shape = [];
  for (const i of where) joint = broadcast("index", joint, (picks[i] as Tensor).shape);
  const first = where[0] as number;
  const adjacent = where.every((i, j) => i === first + j);
  // Picks side by side stand in their place; scattered ones come first (NumPy's rule).
  const before = adjacent ? first : 0;
  const rest = picks.map((p, i) => (p === null ? i : -1)).filter((i) => i >= 0);
  let p: Tensor | null = null;
  for (const i of where) {
    const t = a.mul.call(checkedIndices("index", picks[i] as Tensor, shape[i] as number), strides[i] as number);
    p = p === null ? t : a.add.call(p, t);
  }
  const after = rest.length - before;
  const q0 = offsetsOf(
    rest.map((i) => shape[i] as number),
    rest.map((i) => strides[i] as number),
    like,
    () => true,
  );
  const sizes = rest.map((i) => shape[i] as number);
  const q1 = expand(q0, sizes);
  const wide = [...sizes.slice(0, before), ...joint.map(() => 1), ...sizes.slice(before)];
  const picked = expand(p as Tensor, joint);
  return {
    p: reshape(picked, [...new Array<number>(before).fill(1), ...joint, ...new Array<number>(after).fill(1)]),
    q: reshape(q1, wide),
  };
}

/** x[items]; a view where only numbers, slices and null are used. */
export function indexTensor(x: Tensor, items: readonly Index[]): Tensor {
  const { view, picks } = resolve(x, items);
  if (picks.every((p) => p === null)) return view;
  const { p, q } = pickOffsets(view.shape, picks, x);
  return take(contiguous(view), p, q);
}

/** x[items] = value (or += value), in place. */
export function indexPut(x: Tensor, items: readonly Index[], value: Tensor | number, accumulate = false): Tensor {
  const { view, picks } = resolve(x, items);
  const v = typeof value === "number" ? null : value;
  if (picks.every((p) => p === null)) {
    if (accumulate) view.add_(value);
    else if (v === null) view.fill_(value as number);
    else view.copy_(v);
    return x;
  }
  const { p, q } = pickOffsets(view.shape, picks, x);
  const shape = broadcast("indexPut", p.shape, q.shape);
  const source = v ?? scalarLike(value as number, x);
  if (broadcast("indexPut", source.shape, shape).some((n, i) => n !== shape[i])) {
    throw new ShapeError(`indexPut_: a value of ${show(source.shape)} does not fit ${show(shape)}`);
  }
  const full = expand(cast(source, x.dtype), shape);
  if (records([view, full]) && isFloating(x.dtype)) {
    view.checkInPlace("indexPut");
    view.rebase("indexPut", (self) => {
      const out = clone(self.detach());
      put(out, full, p, q, accumulate);
      record("indexPut", [self, full], [out], [], ([g]) => [
        accumulate ? (g as Tensor) : zeroAt(g as Tensor, p, q),
        take(g as Tensor, p, q),
      ]);
      return out;
    });
    return x;
  }
  if (view.contiguous_ && view.offset === 0) put(view, full, p, q, accumulate);
  else {
    const copy = clone(view.detach());
    put(copy, full, p, q, accumulate);
    copyInto(view, copy);
  }
  x.buffer.version += 1;
  return x;
}

export const scalarLike = (value: number, like: Tensor): Tensor => {
  const t = emptyTensor([], like.dtype, like.device);
  fill(t, value);
  return t;
};

setReduceHelpers(positionsLike, (g, indices, shape, d) => {
  const strides = stridesOf(shape);
  return putNew(
    g,
    shape,
    a.mul.call(indices, strides[d] as number),
    offsetsOf(indices.shape, strides, g, (e) => e !== d),
  );
});
