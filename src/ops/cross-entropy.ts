/**
 * Cross entropy of logits. With plain class targets, the usual case, it is one kernel over the rows of logits and one over their
 * losses, and its gradient is one kernel: the log-probabilities are never written. Weights, smoothing and targets that are
 * probabilities are composed of logSoftmax and nllLoss.
 */
import { isGradEnabled } from "../autograd/mode.js";
import { record, records } from "../autograd/tape.js";
import { IndexError, ShapeError, ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import * as a from "./arithmetic.js";
import { sum as sumOf } from "./broadcast.js";
import { inspect } from "./capture.js";
import { deviceOf, emptyTensor, LoopFamily, viewAt } from "./core.js";
import { positionsLike } from "./creation.js";
import { isFloating, isInteger } from "./dtype.js";
import { checkReduction, nllLoss, type Reduction, targetWeights } from "./losses.js";
import { logSoftmax, softmax } from "./norms.js";
import { numelOf, sameShape, show } from "./shape.js";
import { cast, reshape, unsqueeze } from "./view.js";

/**
 * Logits and class → log Σ e^x − x[class], 0 where the class is ignored; and max x and log Σ e^(x − max), which the gradient
 * needs: apart, because their sum would lose the digits of large logits. One family for each number of dimensions, because the
 * classes are the last axis of a fold.
 */
const families: LoopFamily[] = [];
function rowLosses(rank: number): LoopFamily {
  const build = (load: (i: number) => Expr, scalar: (i: number) => Expr) => {
    const [x, target] = [load(0), load(1)];
    const highest = k.reduce("max", x);
    const shifted = k.sub(x, highest);
    const total = k.log(k.reduce("sum", k.exp(shifted)));
    const own = k.reduce("sum", k.select(k.eq(k.index(rank - 1), target), shifted, 0));
    return [
      { per: "row" as const, value: k.select(k.eq(target, scalar(0)), 0, k.sub(total, own)) },
      { per: "row" as const, value: highest },
      { per: "row" as const, value: total },
    ];
  };
  families[rank] ??= new LoopFamily({ name: "crossEntropy", build }, ["i32"], true);
  return families[rank];
}

/** (softmax(x) − [class])·g, 0 where the class is ignored; the classes are axis 1. */
const rowGradients = new LoopFamily(
  {
    name: "crossEntropyBackward",
    build: (load, scalar) => {
      const [x, target, highest, total, g] = [load(0), load(1), load(2), load(3), load(4)];
      const p = k.exp(k.sub(k.sub(x, highest), total));
      const d = k.select(k.eq(k.index(1), target), k.sub(p, 1), p);
      return [{ value: k.mul(d, k.select(k.eq(target, scalar(0)), 0, g)), per: "element" }];
    },
  },
  ["i32"],
  true,
);

/** Losses and classes → their sum, or mean over the classes that count; how many do; the least and the greatest of them. */
const totals = (mean: boolean): LoopFamily =>
  new LoopFamily(
    {
      name: mean ? "crossEntropyMean" : "crossEntropySum",
      build: (load, scalar) => {
        const [loss, target] = [load(0), load(1)];
        const ignored = k.eq(target, scalar(0));
        const total = k.reduce("sum", loss);
        const counted = k.reduce("sum", k.select(ignored, k.constant(0, loss.type), 1));
        const seen = k.select(ignored, 0, target);
        return [
          { per: "row", value: mean ? k.div(total, counted) : total },
          { per: "row", value: counted },
          { per: "row", value: k.reduce("min", seen) },
          { per: "row", value: k.reduce("max", seen) },
        ];
      },
    },
    ["i32"],
  );
const sumTotals = totals(false);
const meanTotals = totals(true);

/** Cross entropy of logits (N, C, …) with class targets (N, …). */
function ofClasses(x: Tensor, classes: Tensor, ignoreIndex: number, reduction: Reduction): Tensor {
  const t = cast(classes.detach(), "int32");
  const { dtype, device } = x;
  const C = x.shape[1] as number;

  const along = (v: Tensor): number[] => [...v.strides.filter((_, d) => d !== 1), v.strides[1] as number];
  const aside = (v: Tensor): number[] => [...v.strides, 0];
  const [losses, highest, total] = [0, 1, 2].map(() => emptyTensor(t.shape, dtype, device)) as [Tensor, Tensor, Tensor];
  const byRow = [t, losses, highest, total];
  rowLosses(x.shape.length).run(
    [x.detach(), ...byRow],
    2,
    t.shape,
    [C],
    [along(x), ...byRow.map(aside)],
    [ignoreIndex],
  );

  const [value, counted] = [emptyTensor([], dtype, device), emptyTensor([], dtype, device)];
  const [least, greatest] = [emptyTensor([], "int32", device), emptyTensor([], "int32", device)];
  const folded = [losses, t, value, counted, least, greatest];
  const strides = folded.map((v, i) => (i < 2 ? v.strides : t.shape.map(() => 0)));
  (reduction === "mean" ? meanTotals : sumTotals).run(folded, 2, [], t.shape, strides, [ignoreIndex]);
  if (losses.numel() > 0) checkRange([least, greatest], C);

  const out = reduction === "none" ? losses : value;
  if (records([x])) {
    const mean = reduction === "mean";
    record("crossEntropy", [x], [out], [x, t, highest, total, mean ? counted : null], ([grad], node) => {
      const [v, target] = [node.input(0), node.input(1)];
      const g = mean ? a.div.call(grad as Tensor, node.input(4)) : (grad as Tensor);
      if (isGradEnabled()) return [composed(v, target, g, ignoreIndex)];
      const gradient = emptyTensor(v.shape, dtype, device);
      const rows = [target, node.input(2), node.input(3), g].map((r) => (r.shape.length === 0 ? r : unsqueeze(r, 1)));
      const operands = [v, ...rows, gradient];
      const views = operands.map((r) => viewAt(r, v.shape));
      rowGradients.run(operands, 5, v.shape, [], views, [ignoreIndex]);
      return [gradient];
    });
  }
  return out;
}

function checkRange(extremes: readonly Tensor[], classes: number): void {
  const check = ([least, greatest]: readonly number[]): void => {
    if ((least as number) >= 0 && (greatest as number) < classes) return;
    const wrong = (least as number) < 0 ? least : greatest;
    throw new IndexError(`crossEntropy: class ${wrong} is out of range for ${classes} classes`);
  };
  inspect(extremes, check);
}

/** The gradient of differentiable operations, for gradients of gradients. */
function composed(x: Tensor, target: Tensor, g: Tensor, ignoreIndex: number): Tensor {
  const positions = reshape(positionsLike(x.shape[1] as number, x), [-1, ...x.shape.slice(2).map(() => 1)]);
  const own = cast(a.eq.call(positions, unsqueeze(target, 1)), x.dtype);
  const counted = unsqueeze(a.mul.call(cast(a.ne.call(target, ignoreIndex), x.dtype), g), 1);
  return a.mul.call(a.sub.call(softmax(x, 1), own), counted);
}

export interface CrossEntropyOptions {
  weight?: Tensor | null;
  ignoreIndex?: number;
  labelSmoothing?: number;
}
/** −log softmax(x)[class] for class targets, −Σ t·log softmax(x) for probabilities. */
export function crossEntropy(
  x: Tensor,
  target: Tensor,
  o: CrossEntropyOptions = {},
  reduction: Reduction = "mean",
): Tensor {
  checkReduction("crossEntropy", reduction);
  deviceOf("crossEntropy", [x, target]);
  const smoothing = o.labelSmoothing ?? 0;
  if (!(smoothing >= 0 && smoothing <= 1))
    throw new ValueError(`crossEntropy: labelSmoothing ${smoothing} is not in [0, 1]`);
  const weight = o.weight ?? null;
  const classes = x.shape.length === 1 ? 0 : 1;
  if (x.shape.length === 0) throw new ShapeError("crossEntropy: the input needs a dimension of classes");
  const C = x.shape[classes] as number;
  const plain = weight === null && smoothing === 0 && isInteger(target.dtype);
  if (plain && (x.dtype === "float32" || x.dtype === "float64") && C > 0) {
    checkClasses(x, target, classes);
    const ignoreIndex = o.ignoreIndex ?? -100;
    if (classes === 1) return ofClasses(x, target, ignoreIndex, reduction);
    const one = ofClasses(unsqueeze(x, 0), unsqueeze(target, 0), ignoreIndex, reduction);
    return reduction === "none" ? reshape(one, []) : one;
  }
  const logp = logSoftmax(x, classes);
  const byClass = (t: Tensor): Tensor =>
    weight === null ? t : a.mul.call(t, reshape(weight, [C, ...x.shape.slice(classes + 1).map(() => 1)]));
  if (isFloating(target.dtype)) {
    if (!sameShape(target.shape, x.shape)) {
      throw new ShapeError(
        `crossEntropy: probabilities ${show(target.shape)} must have the input's shape ${show(x.shape)}`,
      );
    }
    const smooth = smoothing === 0 ? target : target.mul(1 - smoothing).add(smoothing / C);
    const losses = a.neg.call(sumOf(byClass(a.mul.call(logp, smooth)), classes));
    if (reduction === "none") return losses;
    const total = sumOf(losses);
    return reduction === "sum" ? total : a.div.call(total, Math.max(1, numelOf(x.shape) / C));
  }
  const ignoreIndex = o.ignoreIndex ?? -100;
  const hard = nllLoss(logp, target, weight, ignoreIndex, reduction);
  if (smoothing === 0) return hard;
  const { counted, weights } = targetWeights(target, weight, ignoreIndex, x.dtype);
  const losses = a.mul.call(a.neg.call(sumOf(byClass(logp), classes)), cast(counted, x.dtype));
  let soft = reduction === "none" ? losses : sumOf(losses);
  if (reduction === "mean") soft = a.div.call(soft, sumOf(weights));
  return a.add.call(a.mul.call(hard, 1 - smoothing), a.mul.call(soft, smoothing / C));
}

function checkClasses(x: Tensor, target: Tensor, classes: number): void {
  const expected = x.shape.filter((_, d) => d !== classes);
  if (sameShape(target.shape, expected)) return;
  throw new ShapeError(
    `crossEntropy: input ${show(x.shape)} needs a target of shape ${show(expected)}, not ${show(target.shape)}`,
  );
}
