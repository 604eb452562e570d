/**
 * The area under the receiver operating characteristic, exact: scores are kept, not binned.
 */
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { Metric } from "./metric.js";

export interface AUROCOptions {
  /** How many classes there are. Without it there are two, and predictions are the scores for class 1. */
  numClasses?: number | undefined;
  /** With `numClasses`, each class against the rest: "macro", the mean (the default), or "weighted" by members. */
  average?: "macro" | "weighted" | undefined;
}

/**
 * The chance that a member of the class has a higher score than one that is none, ties counting half:
 * `(R − P(P + 1)/2) / (P N)` with R the sum of the members' ranks, P members and N others. Any monotone scores do:
 * probabilities or logits.
 *
 * Predictions are (N) without `numClasses`, else (N, C); targets are integers (N). All scores are kept until `reset`.
 * A class without members, or with nothing but members, has no area: NaN for two classes, left out of the average for more.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { AUROC } from "cresset/training";
 *
 * const auc = new AUROC();
 * auc.update(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1], { dtype: "int32" }));
 * console.log(auc.compute()); // 0.75
 * ```
 *
 * Errors: ShapeError for shapes that do not fit, DTypeError for targets that are not integers, ValueError for NaN among
 * the scores or classes out of range.
 *
 * Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_auc_score.html
 */
export class AUROC extends Metric {
  readonly #numClasses: number;
  readonly #binary: boolean;
  readonly #average: "macro" | "weighted";
  #scores: Float64Array[] = [];
  #targets: Int32Array[] = [];

  constructor({ numClasses, average = "macro" }: AUROCOptions = {}) {
    super();
    if (numClasses !== undefined && !(Number.isSafeInteger(numClasses) && numClasses >= 2)) {
      throw new ValueError(`AUROC: numClasses is ${numClasses}; it must be a whole number, 2 or more`);
    }
    if (average !== "macro" && average !== "weighted") {
      throw new ValueError(`AUROC: average is "${String(average)}"; it is macro or weighted`);
    }
    this.#binary = numClasses === undefined;
    this.#numClasses = numClasses ?? 2;
    this.#average = average;
  }

  override update(predictions: Tensor, targets: Tensor): void {
    const columns = this.#binary ? [] : [this.#numClasses];
    if (!predictions.isFloatingPoint()) throw new DTypeError(`AUROC: predictions are scores, not ${predictions.dtype}`);
    if (targets.isFloatingPoint()) throw new DTypeError(`AUROC: targets are class numbers, not ${targets.dtype}`);
    if (targets.ndim !== 1 || [...targets.shape, ...columns].join() !== predictions.shape.join()) {
      const expected = this.#binary ? "(N) and (N)" : `(N, ${this.#numClasses}) and (N)`;
      throw new ShapeError(
        `AUROC: predictions (${predictions.shape.join(", ")}) and targets (${targets.shape.join(", ")}); expected ${expected}`,
      );
    }
    const scores = Float64Array.from(predictions.detach().toTypedArray(), Number);
    if (scores.some(Number.isNaN)) throw new ValueError("AUROC: a score is NaN");
    const classes = Int32Array.from(targets.toTypedArray(), Number);
    const odd = classes.find((value) => value < 0 || value >= this.#numClasses);
    if (odd !== undefined) throw new ValueError(`AUROC: targets hold ${odd}; classes are 0 to ${this.#numClasses - 1}`);
    this.#scores.push(scores);
    this.#targets.push(classes);
  }

  override compute(): number {
    const targets = concatenated(this.#targets, Int32Array);
    this.needs(targets.length > 0);
    const scores = concatenated(this.#scores, Float64Array);
    if (this.#binary) return area(scores, (i) => targets[i] === 1);
    let sum = 0;
    let weights = 0;
    for (let c = 0; c < this.#numClasses; c++) {
      const column = Float64Array.from(targets, (_, i) => scores[i * this.#numClasses + c] as number);
      const one = area(column, (i) => targets[i] === c);
      if (Number.isNaN(one)) continue;
      const weight = this.#average === "macro" ? 1 : targets.filter((target) => target === c).length;
      sum += weight * one;
      weights += weight;
    }
    return sum / weights;
  }

  override reset(): void {
    this.#scores = [];
    this.#targets = [];
  }
}

function area(scores: Float64Array, isMember: (i: number) => boolean): number {
  const order = Array.from(scores.keys()).sort((a, b) => (scores[a] as number) - (scores[b] as number));
  let members = 0;
  let ranks = 0;
  for (let from = 0; from < order.length; ) {
    let to = from;
    let inside = 0;
    for (; to < order.length && scores[order[to] as number] === scores[order[from] as number]; to++) {
      if (isMember(order[to] as number)) inside++;
    }
    // Equal scores share the mean of their ranks, which count from 1.
    ranks += (inside * (from + 1 + to)) / 2;
    members += inside;
    from = to;
  }
  const others = order.length - members;
  return members === 0 || others === 0 ? Number.NaN : (ranks - (members * (members + 1)) / 2) / (members * others);
}

function concatenated<A extends Int32Array | Float64Array>(parts: A[], type: new (length: number) => A): A {
  const all = new type(parts.reduce((sum, { length }) => sum + length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}
