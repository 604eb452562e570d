/**
 * Reductions, one entry each: the expression of a row, and its gradient in terms of other operations. The sum, which broadcasting
 * rests on, is in `broadcast.ts`.
 */
import { record, records } from "../autograd/tape.js";
import { DTypeError, ShapeError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { expand, sum } from "./broadcast.js";
import { wrap } from "./core.js";
import { positionsLike } from "./creation.js";
import { defaultInteger, isFloating, toFloating } from "./dtype.js";
import { arg, type Dims, fold, keeps, kept, type ReduceOptions, row, type Space, space, withGradient } from "./fold.js";
import { putAlong } from "./offsets.js";
import { type RowBody, Rows } from "./rows.js";
import { contiguousStrides, numelOf, show, wrapDim } from "./shape.js";
import { cast, reshape } from "./view.js";

const meanRows = new Rows("mean", 1, (x, [inverse]) => row(k.mul(k.reduce("sum", arg(x)), inverse as Expr)), ["f32"]);
const prodRows = new Rows("prod", 1, (x) => row(k.reduce("prod", arg(x))));
const maxRows = new Rows("amax", 1, (x) => row(k.reduce("max", arg(x))));
const minRows = new Rows("amin", 1, (x) => row(k.reduce("min", arg(x))));
const nonzero = (x: Expr): Expr => k.cast(k.cast(x, "bool"), "i32");
const anyRows = new Rows("any", 1, (x) => row(k.ne(k.reduce("sum", nonzero(arg(x))), 0)));
const allRows = new Rows("all", 1, (x) => row(k.eq(k.reduce("sum", k.sub(1, nonzero(arg(x)))), 0)));
const varRows = new Rows(
  "var",
  1,
  (x, [inverse, unbiased]) => {
    const mean = k.mul(k.reduce("sum", arg(x)), inverse as Expr);
    return row(k.mul(k.reduce("sum", k.square(k.sub(arg(x), mean))), unbiased as Expr));
  },
  ["f32", "f32"],
);
const normRows = new Rows("norm", 1, (x) => row(k.sqrt(k.reduce("sum", k.square(arg(x))))));
const logsumexpRows = new Rows("logsumexp", 1, (x) => {
  const m = k.reduce("max", arg(x));
  const finite = k.select(k.lt(k.abs(m), Number.POSITIVE_INFINITY), m, 0);
  return row(k.add(k.log(k.reduce("sum", k.exp(k.sub(arg(x), finite)))), finite));
});

/** The extreme and its first position along the folded axis, which is number `axis`; NaN counts as the most extreme. */
function argBody(fold: "max" | "min", axis: number): RowBody {
  return (x) => {
    const v = arg(x).type === "bool" ? k.cast(arg(x), "i32") : arg(x);
    const extreme = k.reduce(fold, v);
    const hit = k.isFloat(v.type) ? k.or(k.eq(v, extreme), k.isNaN(v)) : k.eq(v, extreme);
    return [
      { per: "row", value: extreme },
      { per: "row", value: k.reduce("min", k.select(hit, k.index(axis), 2 ** 31 - 1)) },
    ];
  };
}

export function mean(x: Tensor, dims?: Dims, o: ReduceOptions = {}): Tensor {
  const keepdim = keeps("mean", o);
  const dtype = o.dtype ?? x.dtype;
  if (!isFloating(dtype)) throw new DTypeError(`mean: needs a floating dtype, not ${dtype}; convert with .float()`);
  const s = space("mean", x, dims);
  const { shape, dtype: from } = x;
  const out = fold(meanRows, x, s, keepdim, dtype, dtype, [1 / s.count]);
  return withGradient("mean", x, out, [], (g) => cast(expand(a.mul.call(kept(g, s), 1 / s.count), shape), from));
}

export function prod(x: Tensor, dim?: number | null, o: ReduceOptions = {}): Tensor {
  const keepdim = keeps("prod", o);
  const s = space("prod", x, dim);
  const dtype = o.dtype ?? (isFloating(x.dtype) ? x.dtype : "int64");
  const out = fold(prodRows, x, s, keepdim, dtype, dtype);
  return withGradient("prod", x, out, [x], (g, [v]) => prodGradient(v as Tensor, kept(g, s), s.dims));
}

/** g·Π of the others, right with zeros too: with one in a row only that entry has a gradient, with two none. */
function prodGradient(x: Tensor, g: Tensor, dims: readonly number[]): Tensor {
  const zero = a.eq.call(x, 0);
  const others = a.whereSelect.call(1, x, zero);
  let rest = others;
  for (const d of dims) rest = prod(rest, d, { keepdim: true });
  const zeros = sum(zero, dims, { keepdim: true });
  const single = a.logicalAnd.call(zero, a.eq.call(zeros, 1));
  const factor = a.whereSelect.call(a.div.call(rest, others), a.whereSelect.call(rest, 0, single), a.eq.call(zeros, 0));
  return a.mul.call(g, factor);
}

function nonEmpty(op: string, x: Tensor, s: Space): void {
  if (s.count === 0) throw new ShapeError(`${op}: nothing to reduce: ${show(x.shape)} is empty along ${show(s.dims)}`);
}

function extreme(name: "amax" | "amin", x: Tensor, dims: Dims, keepdim: boolean): Tensor {
  const s = space(name, x, dims);
  nonEmpty(name, x, s);
  const compute = x.dtype === "bool" ? "uint8" : x.dtype;
  const out = fold(name === "amax" ? maxRows : minRows, x, s, keepdim, compute, x.dtype);
  // Ties share the gradient evenly.
  return withGradient(name, x, out, [x, out], (g, [v, o]) => {
    const hit = cast(a.eq.call(v as Tensor, kept(o as Tensor, s)), (v as Tensor).dtype);
    return a.mul.call(a.div.call(hit, sum(hit, s.dims, { keepdim: true })), kept(g, s));
  });
}
export const amax = (x: Tensor, dims?: Dims, o: ReduceOptions = {}): Tensor =>
  extreme("amax", x, dims, keeps("amax", o));
export const amin = (x: Tensor, dims?: Dims, o: ReduceOptions = {}): Tensor =>
  extreme("amin", x, dims, keeps("amin", o));

/** By the number of axes that are not folded: one, or one on either side. */
const argRows = {
  max: [1, 2].map((axis) => new Rows("argmax", 1, argBody("max", axis), [], true)),
  min: [1, 2].map((axis) => new Rows("argmin", 1, argBody("min", axis), [], true)),
};

/** Values and their positions along one dimension. */
export function extremeWithIndex(
  which: "max" | "min",
  x: Tensor,
  dim: number,
  keepdim: boolean,
): { values: Tensor; indices: Tensor } {
  const d = wrapDim(which, dim, x.shape.length);
  const n = x.shape[d] ?? 1;
  if (n === 0) throw new ShapeError(`${which}: dimension ${d} of ${show(x.shape)} is empty`);
  const lead = numelOf(x.shape.slice(0, d));
  const trail = numelOf(x.shape.slice(d + 1));
  const [flat, dims] = trail === 1 ? [[lead, n], [1]] : lead === 1 ? [[n, trail], [0]] : [[lead, n, trail], [1]];
  const compute = x.dtype === "bool" ? "uint8" : x.dtype;
  const folded = (argRows[which][flat.length - 2] as Rows).call({
    inputs: [reshape(x.detach(), flat)],
    shape: flat,
    dims,
    compute,
    outputs: [x.dtype, defaultInteger],
  });
  const to = keepdim ? x.shape.map((m, i) => (i === d ? 1 : m)) : x.shape.filter((_, i) => i !== d);
  const [values, indices] = folded.map((t) =>
    wrap(t.buffer, t.device, t.dtype, to, contiguousStrides(to), 0, true),
  ) as [Tensor, Tensor];
  const { shape } = x;
  if (isFloating(x.dtype) && records([x])) {
    record(which, [x], [values], [indices], ([g], node) => {
      if (shape.length === 0) return [g as Tensor];
      const kept = shape.map((m, i) => (i === d ? 1 : m));
      return [putAlong(reshape(g as Tensor, kept), reshape(node.input(0), kept), shape, d)];
    });
  }
  return { values, indices };
}

export function argExtreme(which: "max" | "min", x: Tensor, dim: number | null | undefined, keepdim: boolean): Tensor {
  if (dim === null || dim === undefined) {
    if (x.numel() === 0) throw new ShapeError(`arg${which}: ${show(x.shape)} is empty`);
    const flat = x.detach().reshape([-1]);
    const { indices } = extremeWithIndex(which, flat, 0, false);
    return keepdim
      ? reshape(
          indices,
          x.shape.map(() => 1),
        )
      : indices;
  }
  return extremeWithIndex(which, x.detach(), dim, keepdim).indices;
}

function truth(rows: Rows, name: string, x: Tensor, dims: Dims, keepdim: boolean): Tensor {
  return fold(rows, x, space(name, x, dims), keepdim, x.dtype, "bool");
}
export const any = (x: Tensor, dims?: Dims, o: ReduceOptions = {}): Tensor =>
  truth(anyRows, "any", x, dims, keeps("any", o));
export const all = (x: Tensor, dims?: Dims, o: ReduceOptions = {}): Tensor =>
  truth(allRows, "all", x, dims, keeps("all", o));

export interface VarianceOptions extends ReduceOptions {
  /** Subtracted from the count; 1 (the default) is Bessel's. */
  correction?: number;
}
/** Σ(x − mean)² / max(0, n − correction) */
export function variance(x: Tensor, dims?: Dims, o: VarianceOptions = {}): Tensor {
  if (!isFloating(x.dtype)) throw new DTypeError(`var: needs a floating dtype, not ${x.dtype}; convert with .float()`);
  const keepdim = keeps("var", o);
  const s = space("var", x, dims);
  const scale = 1 / Math.max(0, s.count - (o.correction ?? 1));
  const out = fold(varRows, x, s, keepdim, x.dtype, x.dtype, [1 / s.count, scale]);
  return withGradient("var", x, out, [x], (g, [v]) => {
    const centred = a.sub.call(v as Tensor, mean(v as Tensor, s.dims, { keepdim: true }));
    return a.mul.call(a.mul.call(centred, 2 * scale), kept(g, s));
  });
}
export const std = (x: Tensor, dims?: Dims, o: VarianceOptions = {}): Tensor => a.sqrt.call(variance(x, dims, o));

/** (Σ|x|ᵖ)^(1/p); p = ∞ gives the largest magnitude, 0 the number of nonzeros. */
export function norm(x: Tensor, p: number = 2, dims?: Dims, o: ReduceOptions = {}): Tensor {
  if (!isFloating(x.dtype)) throw new DTypeError(`norm: needs a floating dtype, not ${x.dtype}; convert with .float()`);
  const keepdim = keeps("norm", o);
  if (p === Number.POSITIVE_INFINITY) return amax(a.abs.call(x), dims, { keepdim });
  if (p === Number.NEGATIVE_INFINITY) return amin(a.abs.call(x), dims, { keepdim });
  if (p === 0) return cast(sum(cast(a.ne.call(x, 0), x.dtype), dims, { keepdim }), x.dtype);
  if (p === 1) return sum(a.abs.call(x), dims, { keepdim });
  if (p !== 2) return a.pow.call(sum(a.pow.call(a.abs.call(x), p), dims, { keepdim }), 1 / p);
  const s = space("norm", x, dims);
  const out = fold(normRows, x, s, keepdim, x.dtype, x.dtype);
  // x/‖x‖, and 0 where the norm is 0.
  return withGradient("norm", x, out, [x, out], (g, [v, n]) => {
    const length = kept(n as Tensor, s);
    const unit = a.div.call(v as Tensor, a.whereSelect.call(1, length, a.eq.call(length, 0)));
    return a.mul.call(unit, kept(g, s));
  });
}

/** log Σ eˣ, shifted by the largest so that nothing overflows. */
export function logsumexp(x: Tensor, dims: Dims, o: ReduceOptions = {}): Tensor {
  const s = space("logsumexp", x, dims);
  const dtype = toFloating(x.dtype);
  const out = fold(logsumexpRows, x, s, keeps("logsumexp", o), dtype, dtype);
  return withGradient("logsumexp", x, out, [x, out], (g, [v, l]) =>
    a.mul.call(a.exp.call(a.sub.call(v as Tensor, kept(l as Tensor, s))), kept(g, s)),
  );
}

const scanRows = {
  sum: new Rows("cumsum", 1, (x) => [{ per: "element", value: k.scan("sum", arg(x)) }]),
  prod: new Rows("cumprod", 1, (x) => [{ per: "element", value: k.scan("prod", arg(x)) }]),
};
export function cumulative(which: "sum" | "prod", x: Tensor, dim: number): Tensor {
  const name = `cum${which}`;
  const d = wrapDim(name, dim, x.shape.length);
  const dtype = isFloating(x.dtype) ? x.dtype : "int64";
  if (x.shape.length === 0) return cast(x.clone(), dtype);
  const out = scanRows[which].call({
    inputs: [x],
    shape: x.shape,
    dims: [d],
    compute: dtype,
    outputs: [dtype],
  })[0] as Tensor;
  if (which === "sum") {
    return withGradient(name, x, out, [], (g) => cumulative("sum", g.flip(d), d).flip(d));
  }
  return withGradient(name, x, out, [x, out], (g, [v, o]) => {
    if (any(a.eq.call((v as Tensor).detach(), 0)).item() === 1) return cumprodGradient(v as Tensor, g, d);
    // Σ_{i≥j} g_i·o_i / x_j
    const weighted = cumulative("sum", a.mul.call(g, o as Tensor).flip(d), d).flip(d);
    return a.div.call(weighted, v as Tensor);
  });
}

/** With zeros: every prefix as a product of its own, n² numbers a row. */
function cumprodGradient(x: Tensor, g: Tensor, d: number): Tensor {
  const last = x.shape.length - 1;
  const n = x.shape[d] as number;
  const at = positionsLike(n, x);
  const within = a.le.call(reshape(at, [1, n]), reshape(at, [n, 1]));
  const rows = x.transpose(d, last).unsqueeze(-2);
  const prefixes = a.whereSelect.call(rows, 1, within);
  const back = prodGradient(prefixes, g.transpose(d, last).unsqueeze(-1), [last + 1]);
  return sum(a.whereSelect.call(back, 0, within), last).transpose(d, last);
}
