/** Losses: the element's expression and its reduction in one kernel, and the gradient in another. */
import { record, records } from "../autograd/tape.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import { derive } from "../kernel/derive.js";
import * as k from "../kernel/expr.js";
import { type Expr, rewrite, type ValueType } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { sum as sumOf, sumTo } from "./broadcast.js";
import { inspect } from "./capture.js";
import { computeType, type DType, isFloating, isInteger, promoteTypes } from "./dtype.js";
import { Elementwise, type Operand } from "./elementwise.js";
import { gather } from "./gather.js";
import { mean as meanOf } from "./reduce.js";
import { type RowOutput, Rows } from "./rows.js";
import { broadcast, numelOf, sameShape, show } from "./shape.js";
import { cast, reshape, unsqueeze } from "./view.js";

export type Reduction = "mean" | "sum" | "none";

export function checkReduction(op: string, r: Reduction): void {
  if (r !== "mean" && r !== "sum" && r !== "none") {
    throw new ValueError(`${op}: reduction '${String(r)}' is not "mean", "sum" or "none"`);
  }
}

/** What the elements of a loss's input must be: the loss is refused where `outside` is true of one. */
interface Domain {
  outside(x: Expr): Expr;
  refuse(): never;
}

/** A loss that is a fold of one expression of its operands, of which the first needs the common gradient. */
class FoldedLoss {
  private readonly element: Elementwise;
  private readonly rows: Rows;
  /** Whether any element of the input is outside the domain; null where any number is inside. */
  private readonly strays: Rows | null;
  /** By operand, then by compute type. */
  private readonly gradients: Map<ValueType, Elementwise | null>[];

  constructor(
    private readonly name: string,
    private readonly arity: number,
    private readonly expression: (...args: Expr[]) => Expr,
    private readonly written: ((g: Expr, args: readonly Expr[]) => readonly (Expr | null)[]) | null = null,
    private readonly domain: Domain | null = null,
  ) {
    const strays = (x: Expr): RowOutput[] =>
      domain === null ? [] : [{ per: "row", value: k.reduce("max", k.cast(domain.outside(x), "i32")) }];
    this.strays = domain && new Rows(`${name}Domain`, 1, (args) => strays(args[0] as Expr));
    this.gradients = Array.from({ length: arity }, () => new Map());
    this.element = new Elementwise(name, arity, expression, {
      kind: "float",
      ...(written === null ? {} : { gradient: (g, args) => written(g, args) }),
    });
    this.rows = new Rows(
      name,
      arity,
      (args, [scale]) => [
        { per: "row", value: k.mul(k.reduce("sum", expression(...args)), scale as Expr) },
        ...strays(args[0] as Expr),
      ],
      ["f32"],
    );
  }

  call(inputs: readonly Tensor[], reduction: Reduction): Tensor {
    checkReduction(this.name, reduction);
    const [first] = inputs as readonly [Tensor];
    let { shape, dtype } = first;
    if (reduction === "none") {
      if (this.strays !== null) this.check(first, this.strays.foldAll([first], shape, dtype, ["int32"])[0] as Tensor);
      return this.element.call(...inputs);
    }
    for (const t of inputs) {
      shape = broadcast(this.name, shape, t.shape);
      dtype = promoteTypes(dtype, t.dtype);
    }
    const scale = reduction === "mean" ? 1 / numelOf(shape) : 1;
    const outputs: DType[] = this.domain === null ? [dtype] : [dtype, "int32"];
    const [out, strays] = this.rows.foldAll(inputs, shape, dtype, outputs, [scale]) as [Tensor, Tensor];
    if (this.domain !== null) this.check(first, strays);
    if (records(inputs)) {
      const metas = inputs.map((t) => (t.requiresGrad ? { shape: t.shape, dtype: t.dtype } : null));
      record(this.name, inputs, [out], inputs, (grads, node) => {
        const args: Operand[] = [grads[0] as Tensor, scale];
        for (let i = 0; i < metas.length; i++) args.push(node.input(i));
        return metas.map((m, i) => {
          const op = m === null ? null : this.gradient(i, dtype);
          return m === null || op === null ? null : sumTo(op.apply(args, dtype, m.dtype), m.shape);
        });
      });
    }
    return out;
  }

  private check(input: Tensor, strays: Tensor): void {
    if (!input.device.engine.host || input.numel() === 0) return;
    inspect([strays], ([found]) => {
      if (found !== 0) (this.domain as Domain).refuse();
    });
  }

  /** (g, scale, …operands) → gradient to operand i. */
  private gradient(i: number, dtype: DType): Elementwise | null {
    const type = computeType(dtype);
    const gradients = this.gradients[i] as Map<ValueType, Elementwise | null>;
    const known = gradients.get(type);
    if (known !== undefined) return known;
    const args = Array.from({ length: this.arity }, (_, j) => k.load(j + 2, type));
    const g = k.mul(k.load(0, type), k.load(1, type));
    const e =
      this.written === null
        ? (derive([this.expression(...args)], [g], [i + 2])[0] ?? null)
        : (this.written(g, args)[i] ?? null);
    const op =
      e === null
        ? null
        : new Elementwise(`${this.name}Backward`, this.arity + 2, (...actual) =>
            rewrite(e, (n) => (n.op === "load" ? (actual[n.slot] as Expr) : n)),
          );
    gradients.set(type, op);
    return op;
  }
}

const sameSize = (op: string, x: Tensor, t: Tensor): void => {
  broadcast(op, x.shape, t.shape);
  if (!isFloating(x.dtype)) throw new DTypeError(`${op}: the input is ${x.dtype}; expected a floating dtype`);
};

/** Stricter: binary cross entropies do not broadcast. */
function equalShapes(op: string, x: Tensor, t: Tensor): void {
  if (!sameShape(x.shape, t.shape)) {
    throw new ShapeError(
      `${op}: the input has shape ${show(x.shape)} and the target ${show(t.shape)}; they must be equal`,
    );
  }
  sameSize(op, x, t);
}

const mse = new FoldedLoss(
  "mseLoss",
  2,
  (x, t) => k.square(k.sub(x, t)),
  (g, [x, t]) => {
    const d = k.mul(k.mul(g, 2), k.sub(x as Expr, t as Expr));
    return [d, k.neg(d)];
  },
);
export function mseLoss(x: Tensor, t: Tensor, reduction: Reduction = "mean"): Tensor {
  sameSize("mseLoss", x, t);
  return mse.call([x, t], reduction);
}

const l1 = new FoldedLoss("l1Loss", 2, (x, t) => k.abs(k.sub(x, t)));
export function l1Loss(x: Tensor, t: Tensor, reduction: Reduction = "mean"): Tensor {
  sameSize("l1Loss", x, t);
  return l1.call([x, t], reduction);
}

const smooth = new FoldedLoss("smoothL1Loss", 3, (x, t, beta) => {
  const d = k.abs(k.sub(x, t));
  return k.select(k.lt(d, beta), k.div(k.mul(0.5, k.square(d)), beta), k.sub(d, k.mul(0.5, beta)));
});
export function smoothL1Loss(x: Tensor, t: Tensor, reduction: Reduction = "mean", beta = 1): Tensor {
  sameSize("smoothL1Loss", x, t);
  if (beta === 0) return l1Loss(x, t, reduction);
  return smooth.call([x, t, constantLike(beta, x)], reduction);
}
const constantLike = (v: number, x: Tensor): Tensor => x.detach().new_(v);

/** Logarithms bounded below by −100, as in PyTorch, so that a certain wrong answer has a finite loss. */
const bce = new FoldedLoss(
  "bceLoss",
  2,
  (x, t) => {
    const yes = k.max(k.log(x), -100);
    const no = k.max(k.log1p(k.neg(x)), -100);
    return k.sub(k.mul(k.sub(t, 1), no), k.mul(t, yes));
  },
  (g, [x0, t0]) => {
    const [x, t] = [x0 as Expr, t0 as Expr];
    const spread = k.max(k.mul(k.sub(1, x), x), 1e-12);
    const toTarget = k.sub(k.max(k.log1p(k.neg(x)), -100), k.max(k.log(x), -100));
    return [k.mul(g, k.div(k.sub(x, t), spread)), k.mul(g, toTarget)];
  },
  {
    // NaN counts as outside
    outside: (x) => k.not(k.and(k.ge(x, 0), k.le(x, 1))),
    refuse() {
      throw new ValueError(
        "bceLoss: the input must lie in [0, 1] everywhere; put a Sigmoid before it or use bceWithLogitsLoss",
      );
    },
  },
);
/** −(t·log x + (1−t)·log(1−x)) */
export function bceLoss(x: Tensor, t: Tensor, weight: Tensor | null = null, reduction: Reduction = "mean"): Tensor {
  equalShapes("bceLoss", x, t);
  if (weight === null) return bce.call([x, t], reduction);
  return fold(bce.call([x, t], "none").mul(weight), reduction);
}
const fold = (x: Tensor, reduction: Reduction): Tensor =>
  reduction === "none" ? x : reduction === "mean" ? meanOf(x) : sumOf(x);

/** (1−t)·x + (1 + (p−1)·t)·log(1 + e^−x), stable for any x. */
const bceLogits = new FoldedLoss(
  "bceWithLogitsLoss",
  3,
  (x, t, p) => {
    const softplus = k.add(k.log1p(k.exp(k.neg(k.abs(x)))), k.max(k.neg(x), 0));
    return k.add(k.mul(k.sub(1, t), x), k.mul(k.add(1, k.mul(k.sub(p, 1), t)), softplus));
  },
  (g, [x0, t0, p0]) => {
    const [x, t, p] = [x0 as Expr, t0 as Expr, p0 as Expr];
    const softplus = k.add(k.log1p(k.exp(k.neg(k.abs(x)))), k.max(k.neg(x), 0));
    const weight = k.add(1, k.mul(k.sub(p, 1), t));
    return [
      k.mul(g, k.sub(k.sub(1, t), k.mul(weight, k.sigmoid(k.neg(x))))),
      k.mul(g, k.sub(k.mul(k.sub(p, 1), softplus), x)),
      k.mul(g, k.mul(t, softplus)),
    ];
  },
);
export interface BCEWithLogitsOptions {
  weight?: Tensor | null;
  posWeight?: Tensor | null;
}
export function bceWithLogitsLoss(
  x: Tensor,
  t: Tensor,
  o: BCEWithLogitsOptions = {},
  reduction: Reduction = "mean",
): Tensor {
  equalShapes("bceWithLogitsLoss", x, t);
  checkReduction("bceWithLogitsLoss", reduction);
  const inputs = [x, t, o.posWeight ?? constantLike(1, x)];
  if (o.weight === undefined || o.weight === null) return bceLogits.call(inputs, reduction);
  return fold(bceLogits.call(inputs, "none").mul(o.weight), reduction);
}

/** What each class target counts for: its class's weight, or 0 where it is ignored (and then read as class 0). */
export function targetWeights(
  target: Tensor,
  weight: Tensor | null,
  ignoreIndex: number,
  dtype: DType,
): { safe: Tensor; counted: Tensor; weights: Tensor } {
  const t = cast(target.detach(), "int32");
  const counted = a.ne.call(t, ignoreIndex);
  const safe = a.whereSelect.call(t, 0, counted);
  const ones = cast(counted, dtype);
  const weights =
    weight === null ? ones : a.mul.call(ones, reshape(gather(weight, 0, reshape(safe, [-1])), safe.shape));
  return { safe, counted, weights };
}

/** −weight[t]·logp[t] for class targets t; the mean divides by the weights that counted. */
export function nllLoss(
  logp: Tensor,
  target: Tensor,
  weight: Tensor | null = null,
  ignoreIndex = -100,
  reduction: Reduction = "mean",
): Tensor {
  checkReduction("nllLoss", reduction);
  const dims = logp.shape.length;
  if (dims === 0) throw new ShapeError("nllLoss: the input needs a dimension of classes");
  const classes = dims === 1 ? 0 : 1;
  const expected = logp.shape.filter((_, i) => i !== classes);
  if (!sameShape(target.shape, expected)) {
    throw new ShapeError(
      `nllLoss: input ${show(logp.shape)} needs a target of shape ${show(expected)}, not ${show(target.shape)}`,
    );
  }
  if (!isInteger(target.dtype)) throw new DTypeError(`nllLoss: class targets are integers, not ${target.dtype}`);
  const { safe, counted, weights } = targetWeights(target, weight, ignoreIndex, logp.dtype);
  const picked = gather(logp, classes, unsqueeze(safe, classes)).squeeze(classes);
  const losses = a.neg.call(a.mul.call(a.whereSelect.call(picked, 0, counted), weights));
  if (reduction === "none") return losses;
  const total = sumOf(losses);
  return reduction === "sum" ? total : a.div.call(total, sumOf(weights));
}
