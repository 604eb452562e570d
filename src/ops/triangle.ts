/** Triangles of matrices: what lies beyond a diagonal becomes 0, whatever it was (a product with 0 would keep NaN and make it of infinity). */
import { record, records } from "../autograd/tape.js";
import { ShapeError, ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import { emptyTensor, LoopFamily } from "./core.js";
import { isFloating } from "./dtype.js";
import { show } from "./shape.js";
import { reshape } from "./view.js";

const family = (name: string, keeps: (column: k.Expr, last: k.Expr) => k.Expr): LoopFamily =>
  new LoopFamily(
    {
      name,
      build: (load, scalar) => [
        { value: k.select(keeps(k.index(2), k.add(k.index(1), scalar(0))), load(0), 0), per: "element" },
      ],
    },
    ["i32"],
    true,
  );
const families = { tril: family("tril", k.le), triu: family("triu", k.ge) };

/** The lower (column − row ≤ diagonal) or upper (≥) triangle of each matrix of the last two dimensions. */
export function triangle(side: keyof typeof families, x: Tensor, diagonal: number): Tensor {
  const [rows, columns] = x.shape.slice(-2);
  if (rows === undefined || columns === undefined) {
    throw new ShapeError(`${side}: ${show(x.shape)} has fewer than 2 dimensions`);
  }
  if (!Number.isInteger(diagonal)) throw new ValueError(`${side}: ${diagonal} is not the number of a diagonal`);
  const out = emptyTensor(x.shape, x.dtype, x.device);
  if (out.numel() > 0) {
    const batch = x.numel() / (rows * columns);
    const matrices = reshape(x.detach(), [batch, rows, columns]);
    const last = Math.max(-rows, Math.min(columns, diagonal));
    const views = [matrices.strides, [rows * columns, columns, 1]];
    families[side].run([matrices, out], 1, [batch, rows, columns], [], views, [last]);
  }
  if (records([x]) && isFloating(x.dtype)) {
    record(side, [x], [out], [], ([g]) => [triangle(side, g as Tensor, diagonal)]);
  }
  return out;
}
