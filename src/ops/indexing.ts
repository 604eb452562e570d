/**
 * Python's square brackets: x[items], with numbers, slices, masks and lists of positions. What numbers and slices say is a view;
 * what tensors pick from it is taken by memory offsets (`offsets.ts`).
 */
import { record, records } from "../autograd/tape.js";
import { IndexError, ShapeError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { expand } from "./broadcast.js";
import { capturing } from "./capture.js";
import { fromTypedArray, scalarLike, tensor } from "./creation.js";
import { isFloating } from "./dtype.js";
import { rowsOf } from "./embedding.js";
import { checkedIndices, offsetsOf, put, scaled, take, zeroAt } from "./offsets.js";
import { broadcast, contiguousStrides, numelOf, type Shape, show, wrapDim } from "./shape.js";
import { cast, clone, contiguous, copyInto, reshape, select, slice, unsqueeze } from "./view.js";

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

const listToTensor = (list: readonly (number | boolean)[], like: Tensor): Tensor =>
  tensor(list, { dtype: typeof list[0] === "boolean" ? "bool" : "int32", device: like.device });

/** Positions of the true entries, one column a dimension. */
export function nonzero(x: Tensor): Tensor {
  capturing()?.refuse("asking which entries are true");
  const mask = contiguous(cast(x.detach(), "bool"));
  const bytes = mask.device.engine.view(mask.buffer).subarray(mask.offset, mask.offset + mask.numel());
  let count = 0;
  for (let i = 0; i < bytes.length; i++) count += truth(bytes[i] as number);
  const rank = x.shape.length;
  const columns = x.shape[rank - 1] ?? 1;
  // An entry is written, true or not, and the next one written over it unless it was: no branch has to be guessed.
  const found = new Int32Array((count + 1) * rank);
  const lead = new Int32Array(Math.max(0, rank - 1));
  let at = 0;
  for (let row = 0; row < bytes.length; row += columns) {
    for (let j = 0; j < columns; j++) {
      for (let d = 0; d < lead.length; d++) found[at + d] = lead[d] as number;
      if (rank > 0) found[at + rank - 1] = j;
      at += rank * truth(bytes[row + j] as number);
    }
    for (let d = lead.length - 1; d >= 0; d--) {
      lead[d] = (lead[d] as number) + 1;
      if ((lead[d] as number) < (x.shape[d] as number)) break;
      lead[d] = 0;
    }
  }
  return fromTypedArray(found.subarray(0, count * rank), [count, rank], { device: x.device });
}
/** 1 for a byte that is not 0. */
const truth = (byte: number): number => (255 + byte) >> 8;

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
        const masked = t.shape.length;
        if (v.contiguous_) {
          // The masked dimensions lie in a row: one number tells where.
          v = reshape(v, [...v.shape.slice(0, d), t.numel(), ...v.shape.slice(d + masked)]);
          picks.push(reshape(nonzero(reshape(t, [t.numel()])), [-1]));
          d += 1;
        } else {
          const where = nonzero(t);
          for (let i = 0; i < masked; i++) picks.push(select(where, 1, i));
          d += masked;
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

/** Where integer indices pick from a contiguous tensor of `shape`, in steps of `strides`; their joint shape. */
function pickPositions(
  shape: Shape,
  strides: Shape,
  picks: readonly (Tensor | null)[],
): { positions: Tensor; joint: Shape } {
  let joint: Shape = [];
  for (const t of picks) if (t !== null) joint = broadcast("index", joint, t.shape);
  let sum: Tensor | null = null;
  for (const [i, t] of picks.entries()) {
    if (t === null) continue;
    const part = scaled(checkedIndices("index", t, shape[i] as number), strides[i] as number);
    sum = sum === null ? part : a.add.call(sum, part);
  }
  return { positions: expand(sum as Tensor, joint), joint };
}

/** The offsets that integer indices pick from a contiguous tensor of `shape`: one part moving with the picks, one with the rest. */
function pickOffsets(shape: Shape, picks: readonly (Tensor | null)[], like: Tensor): { p: Tensor; q: Tensor } {
  const strides = contiguousStrides(shape);
  const where = picks.map((p, i) => (p === null ? -1 : i)).filter((i) => i >= 0);
  const { positions, joint } = pickPositions(shape, strides, picks);
  const first = where[0] as number;
  const adjacent = where.every((i, j) => i === first + j);
  // Picks side by side stand in their place; scattered ones come first (NumPy's rule).
  const before = adjacent ? first : 0;
  const rest = picks.map((p, i) => (p === null ? i : -1)).filter((i) => i >= 0);
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
  return {
    p: reshape(positions, [...new Array<number>(before).fill(1), ...joint, ...new Array<number>(after).fill(1)]),
    q: reshape(q1, wide),
  };
}

/** x[items]; a view where only numbers, slices and null are used. */
export function indexTensor(x: Tensor, items: readonly Index[]): Tensor {
  const { view, picks } = resolve(x, items);
  if (picks.every((p) => p === null)) return view;
  const lead = picks.indexOf(null);
  if (lead > 0 && picks.slice(lead).every((t) => t === null)) {
    // Of the first dimensions alone: whole rows.
    const kept = view.shape.slice(lead);
    const { positions, joint } = pickPositions(view.shape, contiguousStrides(view.shape.slice(0, lead)), picks);
    const length = numelOf(kept);
    const table = reshape(view, [numelOf(view.shape.slice(0, lead)), length]);
    return rowsOf(table, contiguous(positions), [...joint, ...kept]);
  }
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

/** Rows (or another dimension's slices) by number. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const d = wrapDim("indexSelect", dim, x.shape.length);
  if (index.shape.length > 1)
    throw new ShapeError(`indexSelect: the index has shape ${show(index.shape)}; expected one dimension`);
  const items: Index[] = x.shape.map((_, i) => (i === d ? reshape(index, [index.numel()]) : ":"));
  return indexTensor(x, items);
}
