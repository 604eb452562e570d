/**
 * Rows of a table by number. One kernel copies the rows that were asked for, one adds their gradients up: what general indexing
 * does with offsets for every element is here an offset for every row.
 */
import { record, records } from "../autograd/tape.js";
import { DTypeError, IndexError, ShapeError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import { type BodyStore, deviceOf, emptyTensor, LoopFamily } from "./core.js";
import { isFloating } from "./dtype.js";
import { checkedIndices } from "./offsets.js";
import { type Shape, show } from "./shape.js";
import { cast, contiguous, copyInto, fill, reshape } from "./view.js";

/** Rows and their numbers; what counts for nothing, and the length of a row, are scalars. */
type Build = (load: (i: number) => k.Expr, scalar: (i: number) => k.Expr) => BodyStore[];
const family = (name: string, build: Build): LoopFamily => new LoopFamily({ name, build }, ["i32", "i32"], true);
/** No row's number. */
const nobody = -1;
const place = (number: k.Expr, length: k.Expr): k.Expr => k.add(k.mul(number, length), k.index(1));

const lookUp = family("embedding", (load, scalar) => {
  const [table, number] = [load(0), load(1)];
  const row = k.gather(0, table.type, place(number, scalar(1)));
  return [{ value: k.select(k.eq(number, scalar(0)), 0, row), per: "element" }];
});
const addUp = family("embeddingBackward", (load, scalar) => {
  const [g, number] = [load(0), load(1)];
  const value = k.select(k.eq(number, scalar(0)), 0, g);
  return [{ value, per: "element", at: place(number, scalar(1)), accumulate: true }];
});

/** Row numbers (…) → rows (…, length). Row `padding` gets no gradient; `zeros`: and is zero itself. */
export function rowsOf(table: Tensor, numbers: Tensor, shape: Shape, padding = nobody, zeros = false): Tensor {
  const length = table.shape[1] as number;
  const [n, rows] = [numbers.numel(), contiguous(table.detach())];
  const out = emptyTensor(shape, table.dtype, table.device);
  const views = [
    [0, 0],
    [1, 0],
    [length, 1],
  ];
  if (out.numel() > 0) lookUp.run([rows, numbers, out], 2, [n, length], [], views, [zeros ? padding : nobody, length]);
  if (records([table])) {
    record("embedding", [table], [out], [], ([g]) => [sumsOf(g as Tensor, numbers, table.shape, padding)]);
  }
  return out;
}

/** The sums of the gradients of each row of the table. */
function sumsOf(g: Tensor, numbers: Tensor, shape: Shape, padding: number): Tensor {
  const length = shape[1] as number;
  // 16 bits cannot add up one by one.
  const wide = g.dtype === "float64" ? "float64" : "float32";
  const rows = cast(contiguous(g.detach()), wide);
  const sums = emptyTensor(shape, wide, g.device);
  fill(sums, 0);
  const views = [
    [length, 1],
    [1, 0],
    [0, 0],
  ];
  if (rows.numel() > 0) addUp.run([rows, numbers, sums], 2, [numbers.numel(), length], [], views, [padding, length]);
  let out = sums;
  if (wide !== g.dtype) {
    out = emptyTensor(shape, g.dtype, g.device);
    copyInto(out, sums);
  }
  if (records([g])) {
    const { shape: from } = g;
    record("embeddingBackward", [g], [out], [], ([gg]) => [rowsOf(gg as Tensor, numbers, from, padding, true)]);
  }
  return out;
}

/**
 * table[numbers]: numbers (…) of rows, table (rows, length) → (…, length). The row `paddingIdx` gets no gradient.
 * https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
 */
export function embedding(numbers: Tensor, table: Tensor, o: { paddingIdx?: number | null } = {}): Tensor {
  deviceOf("embedding", [numbers, table]);
  if (table.shape.length !== 2) {
    throw new ShapeError(`embedding: the table has shape ${show(table.shape)}; expected (rows, length)`);
  }
  if (!isFloating(table.dtype)) {
    throw new DTypeError(`embedding: the table is ${table.dtype}; expected a floating dtype`);
  }
  const rows = table.shape[0] as number;
  const padding = o.paddingIdx ?? null;
  if (padding !== null && !(Number.isInteger(padding) && padding >= -rows && padding < rows)) {
    throw new IndexError(`embedding: paddingIdx ${padding} is out of range for ${rows} rows`);
  }
  const safe = reshape(contiguous(checkedIndices("embedding", numbers, rows, 0)), [-1]);
  const shape = [...numbers.shape, table.shape[1] as number];
  return rowsOf(table, safe, shape, padding === null ? nobody : padding < 0 ? padding + rows : padding);
}
