/**
 * Matrix products in all their shapes. Products of a few rows are reductions (they run at the speed of memory); larger ones
 * go to the engine's packed schedule, 16-bit floats by way of float32; integers always reduce. A bias is added in the product's own kernel;
 * `torch.compile` puts more there.
 */
import { isGradEnabled } from "../autograd/mode.js";
import { record, records } from "../autograd/tape.js";
import { DTypeError, ShapeError } from "../errors.js";
import * as k from "../kernel/expr.js";
import { type Expr, type MatmulKernel, valueTypeOf } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { expand, sum } from "./broadcast.js";
import { deviceOf, emptyTensor } from "./core.js";
import { type DType, isFloating, promoteTypes } from "./dtype.js";
import { Executables } from "./executables.js";
import { launch } from "./launch.js";
import { outerGradient } from "./outer.js";
import { Rows } from "./rows.js";
import { broadcast, numelOf, type Shape, show } from "./shape.js";
import { cast, reshape, transpose, unsqueeze } from "./view.js";

const dot = new Rows("dot", 2, (args) => [
  { per: "row", value: k.reduce("sum", k.mul(args[0] as Expr, args[1] as Expr)) },
]);
const dotBias = new Rows("dotBias", 3, (args) => [
  { per: "row", value: k.add(k.reduce("sum", k.mul(args[0] as Expr, args[1] as Expr)), args[2] as Expr) },
]);

/** Up to so many rows (or columns) a product is a handful of dot products. */
const fewRows = 3;

const executables = new Executables();
/** See MatmulKernel. A bias stands still along the batch and the rows. */
const params = new Float64Array(15);

/** A matrix as it lies in a tensor's memory, or the first of a batch: its strides along rows and columns, and between matrices. */
interface Matrix {
  readonly tensor: Tensor;
  readonly row: number;
  readonly column: number;
  readonly batch: number;
}
const flipped = (m: Matrix): Matrix => ({ tensor: m.tensor, row: m.column, column: m.row, batch: m.batch });
const matrix = (t: Tensor): Matrix => ({
  tensor: t,
  row: t.strides[0] as number,
  column: t.strides[1] as number,
  batch: 0,
});
const matricesOf = (t: Tensor): Matrix => ({
  tensor: t,
  row: t.strides[1] as number,
  column: t.strides[2] as number,
  batch: t.strides[0] as number,
});
/** (…, columns) as a matrix without a view of it, or null where only a copy would make it one. */
function rowsOf(t: Tensor, columns: number): Matrix | null {
  if (t.shape.length === 2) return matrix(t);
  return t.contiguous_ ? { tensor: t, row: columns, column: 1, batch: 0 } : null;
}

/** Whether a product goes to the packed schedule: large enough, and of a type that it computes in. */
const packs = (t: Tensor, M: number, N: number, K: number): boolean =>
  (t.dtype === "float32" || t.dtype === "float64") && M > fewRows && N > fewRows && K > 0;

/** `batch` products (M, K) × (K, N) by the packed schedule, with a bias of N numbers, in a tensor of shape `to`; unrecorded. */
function packed(
  a: Matrix,
  b: Matrix,
  bias: Tensor | null,
  batch: number,
  M: number,
  N: number,
  K: number,
  to: Shape,
): Tensor {
  const { device, dtype } = a.tensor;
  const out = emptyTensor(to, dtype, device);
  if (batch === 0) return out;
  const e = executables.get(device.engine, keyOf(dtype, bias), () => productKernel(dtype, bias));
  params[0] = batch;
  params[1] = M;
  params[2] = N;
  params[3] = K;
  params[4] = a.batch;
  params[5] = a.row;
  params[6] = a.column;
  params[7] = b.batch;
  params[8] = b.row;
  params[9] = b.column;
  params[10] = M * N;
  params[11] = N;
  params[14] = bias === null ? 0 : (bias.strides[0] as number);
  const buffers = [a.tensor.buffer, b.tensor.buffer, out.buffer];
  const offsets = [a.tensor.offset, b.tensor.offset, out.offset];
  if (bias !== null) {
    buffers.push(bias.buffer);
    offsets.push(bias.offset);
  }
  launch(device.engine, e, buffers, offsets, params, bias === null ? 12 : 15, batch * M, batch * M * N * K * 2);
  return out;
}

/** How a bias lies: side by side as a rule, and then its additions run in vectors. */
const unitBias = (bias: Tensor): boolean => bias.strides[0] === 1;
const keyOf = (dtype: DType, bias: Tensor | null): string =>
  keys[dtype as keyof typeof keys][bias === null ? 0 : unitBias(bias) ? 1 : 2];
const keys = {
  float32: ["float32", "float32 bias", "float32 strided bias"],
  float64: ["float64", "float64 bias", "float64 strided bias"],
} as const;

function productKernel(dtype: DType, bias: Tensor | null): MatmulKernel {
  const type = dtype as MatmulKernel["type"];
  const plain: MatmulKernel = { kind: "matmul", name: "matmul", type, extras: [], scalars: [], epilogue: [] };
  if (bias === null) return plain;
  const value = valueTypeOf[type];
  const sum = k.add(k.load(0, value), k.load(1, value));
  return { ...plain, extras: [unitBias(bias) ? "unit" : "strided"], epilogue: [{ operand: 0, value: sum }] };
}

/**
 * (batch, M, K) × (batch, K, N) → (batch, M, N), given the shape `to`, with bias of shape (N); unrecorded. Strides may be
 * anything.
 */
function product(a: Tensor, b: Tensor, bias: Tensor | null, to: Shape): Tensor {
  const [batch, M, K] = a.shape as [number, number, number];
  const N = b.shape[2] as number;
  if (packs(a, M, N, K)) return packed(matricesOf(a), matricesOf(b), bias, batch, M, N, K, to);
  if (isFloating(a.dtype) && M > fewRows && N > fewRows && K > 0) {
    // 16 bits are storage: the sums are float32, rounded once.
    const wide = (t: Tensor): Tensor => cast(t.detach(), "float32");
    return cast(product(wide(a), wide(b), bias === null ? null : wide(bias), to), a.dtype);
  }
  const space: Shape = [batch, M, N, K];
  const rows = unsqueeze(a, 2);
  const columns = unsqueeze(transpose(b, 1, 2), 1);
  const inputs = bias === null ? [rows, columns] : [rows, columns, reshape(bias, [1, 1, N, 1])];
  const call = { inputs, shape: space, dims: [3], compute: a.dtype, outputs: [a.dtype] };
  return reshape((bias === null ? dot : dotBias).call(call)[0] as Tensor, to);
}

function check(op: string, x: Tensor, y: Tensor): void {
  deviceOf(op, [x, y]);
  if (x.dtype !== y.dtype) {
    throw new DTypeError(
      `${op}: dtypes differ: ${x.dtype} and ${y.dtype}; convert one with .to("${promoteTypes(x.dtype, y.dtype)}")`,
    );
  }
  if (x.dtype === "bool") throw new DTypeError(`${op}: is not defined on bool`);
}

/** https://pytorch.org/docs/stable/generated/torch.matmul.html */
export function matmul(x: Tensor, y: Tensor): Tensor {
  check("matmul", x, y);
  const dx = x.shape.length;
  const dy = y.shape.length;
  if (dx === 0 || dy === 0) {
    throw new ShapeError(
      `matmul: both tensors need a dimension: ${show(x.shape)} × ${show(y.shape)}; use mul for scalars`,
    );
  }
  const inner = x.shape[dx - 1] as number;
  const other = (dy === 1 ? y.shape[0] : y.shape[dy - 2]) as number;
  if (inner !== other) {
    throw new ShapeError(
      `matmul: inner sizes differ: ${show(x.shape)} × ${show(y.shape)}; ${inner} must equal ${other}`,
    );
  }
  if (dx === 1 && dy === 1) return reshape(bmm3(reshape(x, [1, 1, inner]), reshape(y, [1, inner, 1])), []);
  if (dx === 1) {
    const out = matmul(unsqueeze(x, 0), y);
    return reshape(out, [...out.shape.slice(0, -2), out.shape[out.shape.length - 1] as number]);
  }
  if (dy === 1) {
    const out = matmul(x, unsqueeze(y, 1));
    return reshape(out, out.shape.slice(0, -1));
  }
  const M = x.shape[dx - 2] as number;
  const N = y.shape[dy - 1] as number;
  if (dx === 2 && dy === 2 && packs(x, M, N, inner)) return twoMatrices(x, y, M, N, inner);
  if (dy === 2) {
    // One product of many rows.
    const lead = x.shape.slice(0, -2);
    const out = bmm3(reshape(x, [1, numelOf(lead) * M, inner]), unsqueeze(y, 0));
    return reshape(out, [...lead, M, N]);
  }
  const lead = broadcast("matmul", x.shape.slice(0, -2), y.shape.slice(0, -2));
  const batch = numelOf(lead);
  const a = reshape(expand(x, [...lead, M, inner]), [batch, M, inner]);
  const b = reshape(expand(y, [...lead, inner, N]), [batch, inner, N]);
  return reshape(bmm3(a, b), [...lead, M, N]);
}

/** The usual case, without the views that the others are brought to one form by. */
function twoMatrices(x: Tensor, y: Tensor, M: number, N: number, K: number): Tensor {
  const out = packed(matrix(x), matrix(y), null, 1, M, N, K, [M, N]);
  if (records([x, y])) {
    const needsX = x.requiresGrad;
    const needsY = y.requiresGrad;
    record("matmul", [x, y], [out], [needsY ? x : null, needsX ? y : null], (grads, node) => {
      const g = grads[0] as Tensor;
      if (isGradEnabled() || K <= fewRows) {
        return [
          needsX ? matmul(g, transpose(node.input(1), 0, 1)) : null,
          needsY ? matmul(transpose(node.input(0), 0, 1), g) : null,
        ];
      }
      return [
        needsX ? packed(matrix(g), flipped(matrix(node.input(1))), null, 1, M, K, N, [M, K]) : null,
        needsY ? packed(flipped(matrix(node.input(0))), matrix(g), null, 1, K, N, M, [K, N]) : null,
      ];
    });
  }
  return out;
}

function bmm3(a: Tensor, b: Tensor): Tensor {
  const out = product(a, b, null, [a.shape[0] as number, a.shape[1] as number, b.shape[2] as number]);
  if (records([a, b])) {
    const needsA = a.requiresGrad;
    const needsB = b.requiresGrad;
    record("matmul", [a, b], [out], [needsB ? a : null, needsA ? b : null], ([g], node) => [
      needsA ? bmm3(g as Tensor, transpose(node.input(1), 1, 2)) : null,
      needsB ? bmm3(transpose(node.input(0), 1, 2), g as Tensor) : null,
    ]);
  }
  return out;
}

export function bmm(x: Tensor, y: Tensor): Tensor {
  if (x.shape.length !== 3 || y.shape.length !== 3 || x.shape[0] !== y.shape[0]) {
    throw new ShapeError(`bmm: needs (b, n, m) × (b, m, p), not ${show(x.shape)} × ${show(y.shape)}`);
  }
  return matmul(x, y);
}
export function mm(x: Tensor, y: Tensor): Tensor {
  if (x.shape.length !== 2 || y.shape.length !== 2) {
    throw new ShapeError(`mm: needs (n, m) × (m, p), not ${show(x.shape)} × ${show(y.shape)}`);
  }
  return matmul(x, y);
}
export function mv(x: Tensor, y: Tensor): Tensor {
  if (x.shape.length !== 2 || y.shape.length !== 1) {
    throw new ShapeError(`mv: needs (n, m) × (m), not ${show(x.shape)} × ${show(y.shape)}`);
  }
  return matmul(x, y);
}
export function dotProduct(x: Tensor, y: Tensor): Tensor {
  if (x.shape.length !== 1 || y.shape.length !== 1) {
    throw new ShapeError(`dot: needs two vectors, not ${show(x.shape)} and ${show(y.shape)}`);
  }
  return matmul(x, y);
}
export function outer(x: Tensor, y: Tensor): Tensor {
  if (x.shape.length !== 1 || y.shape.length !== 1) {
    throw new ShapeError(`outer: needs two vectors, not ${show(x.shape)} and ${show(y.shape)}`);
  }
  return unsqueeze(x, 1).mul(unsqueeze(y, 0));
}

/**
 * y = x·Wᵀ + b for x (…, in), W (out, in), b (out): one launch.
 * https://pytorch.org/docs/stable/generated/torch.nn.functional.linear.html
 */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  check("linear", x, weight);
  const n = x.shape.length;
  const inputs = weight.shape[weight.shape.length - 1] as number;
  if (weight.shape.length !== 2)
    throw new ShapeError(`linear: the weight has shape ${show(weight.shape)}; expected (out, in)`);
  if (n === 0 || x.shape[n - 1] !== inputs) {
    throw new ShapeError(
      `linear: input ${show(x.shape)} does not end in ${inputs}, the weight ${show(weight.shape)}'s inputs`,
    );
  }
  const outputs = weight.shape[0] as number;
  if (bias !== null) {
    check("linear", x, bias);
    if (bias.shape.length !== 1 || bias.shape[0] !== outputs) {
      throw new ShapeError(`linear: the bias has shape ${show(bias.shape)}; expected (${outputs},)`);
    }
  }
  const lead = n === 1 ? noShape : x.shape.slice(0, -1);
  const rows = numelOf(lead);
  const xRows = packs(x, rows, outputs, inputs) ? rowsOf(x, inputs) : null;
  let out: Tensor;
  if (xRows !== null) {
    out = packed(xRows, flipped(matrix(weight)), bias, 1, rows, outputs, inputs, [...lead, outputs]);
  } else if (rows === 1 && x.contiguous_ && weight.contiguous_ && isFloating(x.dtype)) {
    out = oneRow(x, weight, bias, lead, inputs, outputs);
  } else {
    out = manyRows(x.detach(), weight.detach(), bias?.detach() ?? null, lead, rows, inputs, outputs);
  }
  if (records([x, weight, bias])) {
    const needsX = x.requiresGrad;
    const needsWeight = weight.requiresGrad;
    const needsBias = bias?.requiresGrad ?? false;
    const { shape } = x;
    record("linear", [x, weight, bias], [out], [needsWeight ? x : null, needsX ? weight : null], (grads, node) => {
      const grad = grads[0] as Tensor;
      if (rows === 1 && !isGradEnabled() && grad.contiguous_) {
        const v = needsWeight ? node.input(0) : null;
        return [
          needsX ? oneRowBack(grad, node.input(1), shape) : null,
          v === null ? null : outerGradient(grad, v.contiguous_ ? v : v.contiguous(), weight.shape),
          needsBias ? reshape(grad, [outputs]) : null,
        ];
      }
      const gRows = xRows !== null && inputs > fewRows && !isGradEnabled() ? rowsOf(grad, outputs) : null;
      if (gRows !== null) {
        const v = needsWeight ? rowsOf(node.input(0), inputs) : null;
        return [
          needsX ? packed(gRows, matrix(node.input(1)), null, 1, rows, inputs, outputs, shape) : null,
          v === null ? null : packed(flipped(gRows), v, null, 1, outputs, inputs, rows, weight.shape),
          needsBias ? sum(flatRows(grad, rows, outputs), 0) : null,
        ];
      }
      const g = flatRows(grad, rows, outputs);
      return [
        needsX ? reshape(matmul(g, node.input(1)), shape) : null,
        needsWeight ? weightGradient(g, flatRows(node.input(0), rows, inputs)) : null,
        needsBias ? (rows === 1 ? reshape(g, [outputs]) : sum(g, 0)) : null,
      ];
    });
  }
  return out;
}
const noShape: Shape = [];

/** The vector, the weight, then one number a row. */
const dotLayout = ["column", "full", "row", "row"] as const;

/** One vector: a dot product for each row of the weight. */
function oneRow(x: Tensor, weight: Tensor, bias: Tensor | null, lead: Shape, inputs: number, outputs: number): Tensor {
  const out = emptyTensor(lead.length === 0 ? [outputs] : [...lead, outputs], x.dtype, x.device);
  if (bias === null) dot.callFlat([x, weight, out], 2, dotLayout, outputs, inputs, x.dtype);
  else dotBias.callFlat([x, weight, bias, out], 3, dotLayout, outputs, inputs, x.dtype);
  return out;
}

const backLayout = ["row", "full"] as const;

/** The gradient of one row's input: Wᵀ·g, down the columns of the weight. */
function oneRowBack(g: Tensor, weight: Tensor, shape: Shape): Tensor {
  const [outputs, inputs] = weight.shape as [number, number];
  if (!weight.contiguous_ || !isFloating(g.dtype) || g.dtype !== weight.dtype || inputs === 0 || outputs === 0) {
    return reshape(matmul(flatRows(g, 1, outputs), weight), shape);
  }
  const out = emptyTensor(shape, g.dtype, g.device);
  dot.callColumns([g, weight, out], 2, backLayout, inputs, outputs, g.dtype);
  return out;
}

function manyRows(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  lead: Shape,
  rows: number,
  inputs: number,
  outputs: number,
): Tensor {
  return product(unsqueeze(flatRows(x, rows, inputs), 0), unsqueeze(transpose(weight, 0, 1), 0), bias, [
    ...lead,
    outputs,
  ]);
}

const flatRows = (x: Tensor, rows: number, columns: number): Tensor => reshape(x, [rows, columns]);

/** gᵀ·x, an outer product when there is one row. */
function weightGradient(g: Tensor, x: Tensor): Tensor {
  if (g.shape[0] === 1) return transpose(g, 0, 1).mul(x);
  return matmul(transpose(g, 0, 1), x);
}

/** beta·input + alpha·(x × y) */
export function addmm(input: Tensor, x: Tensor, y: Tensor, o: { beta?: number; alpha?: number } = {}): Tensor {
  let out = mm(x, y);
  if (o.alpha !== undefined && o.alpha !== 1) out = out.mul(o.alpha);
  if (o.beta === 0) return out.add(input.detach().ne(input.detach()).mul(0).to(out.dtype));
  return (o.beta === undefined || o.beta === 1 ? input : input.mul(o.beta)).add(out);
}
