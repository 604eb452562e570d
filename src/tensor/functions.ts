/** Methods of tensors as functions, where PyTorch users write them so: `torch.exp(x)`, `torch.where(c, a, b)`. */
import { withRegion } from "../autograd/region.js";
import { ShapeError } from "../errors.js";
import * as e from "../ops/arithmetic.js";
import { expand } from "../ops/broadcast.js";
import { scalarLike } from "../ops/creation.js";
import { broadcast } from "../ops/shape.js";
import { traced } from "../ops/trace.js";
import { Tensor } from "./tensor.js";

type Operand = Tensor | number;

/** `a` where the condition holds, `b` elsewhere; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  if (typeof a === "number" && typeof b === "number") {
    const like = condition.detach().to(Number.isInteger(a) && Number.isInteger(b) ? "int32" : "float32");
    return traced("where", [a, condition, b], e.whereSelect.call(scalarLike(a, like), scalarLike(b, like), condition));
  }
  return traced("where", [a, condition, b], e.whereSelect.call(a, b, condition));
}

export const matmul = (a: Tensor, b: Tensor): Tensor => a.matmul(b);
export const exp = (x: Tensor): Tensor => x.exp();
export const log = (x: Tensor): Tensor => x.log();
export const sin = (x: Tensor): Tensor => x.sin();
export const cos = (x: Tensor): Tensor => x.cos();
export const tanh = (x: Tensor): Tensor => x.tanh();
export const sqrt = (x: Tensor): Tensor => x.sqrt();
export const abs = (x: Tensor): Tensor => x.abs();
export const sigmoid = (x: Tensor): Tensor => x.sigmoid();
export const relu = (x: Tensor): Tensor => x.relu();
export const softmax = (x: Tensor, dim: number): Tensor => x.softmax(dim);
export const maximum = (a: Tensor, b: Operand): Tensor => a.maximum(b);
export const minimum = (a: Tensor, b: Operand): Tensor => a.minimum(b);
export const add = (a: Tensor, b: Operand): Tensor => a.add(b);
export const sub = (a: Tensor, b: Operand): Tensor => a.sub(b);
export const mul = (a: Tensor, b: Operand): Tensor => a.mul(b);
export const div = (a: Tensor, b: Operand): Tensor => a.div(b);
export const pow = (a: Tensor, b: Operand): Tensor => a.pow(b);
export const sum = (x: Tensor): Tensor => x.sum();
export const mean = (x: Tensor): Tensor => x.mean();
export const argmax = (x: Tensor, dim?: number): Tensor => x.argmax(dim);
export const allclose = (a: Tensor, b: Tensor, o?: { rtol?: number; atol?: number; equalNan?: boolean }): boolean =>
  a.allclose(b, o);
export const equal = (a: Tensor, b: Tensor): boolean => a.equal(b);

/** The tensors seen at their common shape. */
export function broadcastTensors(...tensors: Tensor[]): Tensor[] {
  const shape = tensors.reduce<readonly number[]>((s, t) => broadcast("broadcastTensors", s, t.shape), []);
  return tensors.map((t) => expand(t, shape));
}

/** Grids of coordinates from vectors, indexed "ij". */
export function meshgrid(...vectors: Tensor[]): Tensor[] {
  const shape = vectors.map((v) => {
    if (v.ndim > 1) throw new ShapeError(`meshgrid: needs vectors, not a tensor of ${v.ndim} dimensions`);
    return v.numel();
  });
  return vectors.map((v, i) => expand(v.reshape(shape.map((n, j) => (j === i ? n : 1))), shape));
}

/**
 * Runs `fn` and returns at once the memory of every tensor made in it, except those in its result. Never required: it
 * only makes memory come back sooner. Leaves' gradients and parameters made before stay.
 */
export function tidy<T>(fn: () => T): T {
  return withRegion(true, (region) => {
    const result = fn();
    for (const t of tensorsIn(result)) {
      // A result with a history may still be differentiated: what its graph saved stays.
      if (t.gradFn === null) region?.keep(t.buffer);
      else region?.keepAll();
    }
    return result;
  });
}

function tensorsIn(x: unknown, seen = new Set<object>()): Tensor[] {
  if (typeof x !== "object" || x === null || seen.has(x)) return [];
  seen.add(x);
  if (x instanceof Tensor) return [x];
  return Object.values(x).flatMap((part) => tensorsIn(part, seen));
}
