/**
 * Metrics of classifiers that are made of one table: how often each class got each answer. Areas under curves, which need
 * the scores themselves, are in `auroc.ts`.
 */
import { ValueError } from "../errors.js";
import { fromTypedArray, type Tensor } from "../tensor/index.js";
import { classNumbers, Metric, refuseNaN } from "./metric.js";

export interface ClassificationOptions {
  /** How many classes there are. Without it there are two, and predictions are the scores (or answers) for class 1. */
  numClasses?: number | undefined;
  /** With two classes and scores: answers are 1 above it. 0.5 by default; for logits it is 0. */
  threshold?: number | undefined;
}

/** How figures of single classes become one. "binary" is the figure of class 1. */
export type Average = "micro" | "macro" | "weighted" | "binary";

export interface AverageOptions extends ClassificationOptions {
  /**
   * "macro": the mean over the classes that occur in predictions or targets. "weighted": each by how often it is a target.
   * "micro": of all answers together. "binary" (the default without `numClasses`): class 1 alone.
   */
  average?: Average | undefined;
}

/**
 * How often class i (row) got answer j (column): int32 (C, C).
 *
 * Predictions are class numbers, or scores of shape (N, C, …), of which the largest is taken; without `numClasses` scores
 * or answers for class 1. Targets are integers of the predictions' shape without C.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { ConfusionMatrix } from "cresset/training";
 *
 * const confusion = new ConfusionMatrix({ numClasses: 3 });
 * confusion.update(torch.tensor([0, 2, 1], { dtype: "int32" }), torch.tensor([0, 1, 1], { dtype: "int32" }));
 * console.log(confusion.compute().tolist()); // [ [ 1, 0, 0 ], [ 0, 1, 1 ], [ 0, 0, 0 ] ]
 * ```
 *
 * Errors: ShapeError for shapes that do not fit, DTypeError for targets that are not integers, ValueError for classes out
 * of range and for a score that is NaN.
 *
 * Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.confusion_matrix.html
 */
export class ConfusionMatrix extends Metric<readonly [Tensor, Tensor], Tensor> {
  readonly #counts: Counts;

  constructor(options: ClassificationOptions = {}) {
    super();
    this.#counts = new Counts(this.constructor.name, options);
  }

  override update(predictions: Tensor, targets: Tensor): void {
    this.#counts.add(predictions, targets);
  }

  override compute(): Tensor {
    this.needs(this.#counts.total > 0);
    const { size, table } = this.#counts;
    return fromTypedArray(Int32Array.from(table), [size, size]);
  }

  override reset(): void {
    this.#counts.clear();
  }
}

/** The base of the figures that have a value for each class and an average over them. */
abstract class AveragedMetric extends Metric {
  protected readonly counts: Counts;
  readonly average: Average;

  constructor(options: AverageOptions, average: Average) {
    super();
    this.counts = new Counts(this.constructor.name, options);
    this.average = options.average ?? average;
    if (!["micro", "macro", "weighted", "binary"].includes(this.average)) {
      throw new ValueError(
        `${this.constructor.name}: average is "${this.average}"; it is one of micro, macro, weighted, binary`,
      );
    }
    if (this.average === "binary" && this.counts.size !== 2) {
      throw new ValueError(`${this.constructor.name}: average "binary" is for two classes, not ${this.counts.size}`);
    }
  }

  override update(predictions: Tensor, targets: Tensor): void {
    this.counts.add(predictions, targets);
  }

  override reset(): void {
    this.counts.clear();
  }

  /** The figure from right answers (tp), wrong ones for the class (fp), and those that it should have got (fn). */
  protected abstract figure(tp: number, fp: number, fn: number): number;

  /** The figure of each class; 0 where it is undefined, as in scikit-learn. */
  perClass(): number[] {
    this.needs(this.counts.total > 0);
    return Array.from({ length: this.counts.size }, (_, c) => {
      const { tp, fp, fn } = this.counts.of(c);
      return this.figure(tp, fp, fn);
    });
  }

  override compute(): number {
    const values = this.perClass();
    if (this.average === "binary") return values[1] as number;
    const of = values.map((_, c) => this.counts.of(c));
    if (this.average === "micro") {
      const right = of.reduce((sum, { tp }) => sum + tp, 0);
      // Every wrong answer is one too many for a class and one too few for another.
      return this.figure(right, this.counts.total - right, this.counts.total - right);
    }
    const weights = of.map(({ tp, fp, fn }) => (this.average === "weighted" ? tp + fn : tp + fp + fn > 0 ? 1 : 0));
    const weight = weights.reduce((a, b) => a + b, 0);
    return values.reduce((sum, value, c) => sum + value * (weights[c] as number), 0) / weight;
  }
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/**
 * Right answers over all answers; as `average: "macro"` the mean over classes (balanced accuracy, where every class has members).
 * "micro" unless said otherwise. `topK`: an answer counts as right when the target is among the k largest scores.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { Accuracy } from "cresset/training";
 *
 * const accuracy = new Accuracy({ numClasses: 10 });
 * accuracy.update(torch.rand([32, 10]), torch.zeros([32], { dtype: "int32" }));
 * console.log(accuracy.compute()); // about 0.1
 * ```
 *
 * Errors: as `ConfusionMatrix`.
 *
 * Source: https://lightning.ai/docs/torchmetrics/stable/classification/accuracy.html
 */
export class Accuracy extends AveragedMetric {
  readonly #topK: number;

  constructor(options: AverageOptions & { topK?: number } = {}) {
    super(options, "micro");
    this.#topK = options.topK ?? 1;
    const { size } = this.counts;
    if (!Number.isInteger(this.#topK) || this.#topK < 1 || this.#topK > size) {
      throw new ValueError(`Accuracy: topK is ${this.#topK}; it must be a whole number from 1 to ${size}`);
    }
  }

  override update(predictions: Tensor, targets: Tensor): void {
    if (this.#topK === 1) {
      super.update(predictions, targets);
      return;
    }
    refuseNaN("Accuracy", predictions.detach());
    const { indices } = predictions.detach().topk(this.#topK, 1);
    const found = indices.eq(targets.unsqueeze(1)).any(1);
    // Where the target is among them it is the answer, else the first of them is.
    super.update(targets.where(found, indices.select(1, 0).to(targets.dtype)), targets);
  }

  protected override figure(tp: number, _fp: number, fn: number): number {
    return ratio(tp, tp + fn);
  }
}

/**
 * Of the answers "class c", the share that was right: `tp / (tp + fp)`. Averaged "macro", or of class 1 where there is no
 * `numClasses`; 0 for a class that was never answered.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { Precision } from "cresset/training";
 *
 * const precision = new Precision(); // two classes
 * console.log(precision.of(torch.tensor([0.9, 0.2, 0.7]), torch.tensor([1, 1, 0], { dtype: "int32" }))); // 0.5
 * ```
 *
 * Errors: as `ConfusionMatrix`.
 *
 * Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.precision_score.html
 */
export class Precision extends AveragedMetric {
  constructor(options: AverageOptions = {}) {
    super(options, options.numClasses === undefined ? "binary" : "macro");
  }

  protected override figure(tp: number, fp: number): number {
    return ratio(tp, tp + fp);
  }
}

/**
 * Of the members of class c, the share that was found: `tp / (tp + fn)`. Averages and errors as `Precision`.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { Recall } from "cresset/training";
 *
 * const recall = new Recall();
 * console.log(recall.of(torch.tensor([0.9, 0.2, 0.7]), torch.tensor([1, 1, 1], { dtype: "int32" }))); // 0.666…
 * ```
 *
 * Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.recall_score.html
 */
export class Recall extends AveragedMetric {
  constructor(options: AverageOptions = {}) {
    super(options, options.numClasses === undefined ? "binary" : "macro");
  }

  protected override figure(tp: number, _fp: number, fn: number): number {
    return ratio(tp, tp + fn);
  }
}

/**
 * The harmonic mean of precision and recall: `2 tp / (2 tp + fp + fn)`. Averages and errors as `Precision`.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { F1Score } from "cresset/training";
 *
 * const f1 = new F1Score();
 * console.log(f1.of(torch.tensor([0.9, 0.2, 0.7]), torch.tensor([1, 1, 0], { dtype: "int32" }))); // 0.5
 * ```
 *
 * Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html
 */
export class F1Score extends AveragedMetric {
  constructor(options: AverageOptions = {}) {
    super(options, options.numClasses === undefined ? "binary" : "macro");
  }

  protected override figure(tp: number, fp: number, fn: number): number {
    return ratio(2 * tp, 2 * tp + fp + fn);
  }
}

/** The table: row is target, column is answer. */
class Counts {
  readonly size: number;
  readonly table: Float64Array;
  total = 0;
  readonly #where: string;
  readonly #threshold: number | undefined;

  constructor(where: string, { numClasses, threshold }: ClassificationOptions) {
    if (numClasses !== undefined && !(Number.isSafeInteger(numClasses) && numClasses >= 2)) {
      throw new ValueError(`${where}: numClasses is ${numClasses}; it must be a whole number, 2 or more`);
    }
    if (numClasses !== undefined && threshold !== undefined) {
      throw new ValueError(`${where}: threshold is for two classes; with numClasses the largest score decides`);
    }
    this.#where = where;
    this.#threshold = numClasses === undefined ? (threshold ?? 0.5) : undefined;
    this.size = numClasses ?? 2;
    this.table = new Float64Array(this.size * this.size);
  }

  add(predictions: Tensor, targets: Tensor): void {
    const { predicted, expected } = classNumbers(this.#where, predictions, targets, this.size, this.#threshold);
    for (let i = 0; i < expected.length; i++) {
      const cell = (expected[i] as number) * this.size + (predicted[i] as number);
      this.table[cell] = (this.table[cell] as number) + 1;
    }
    this.total += expected.length;
  }

  /** Right answers of class c, wrong ones for it, and those of its members that got another. */
  of(c: number): { tp: number; fp: number; fn: number } {
    let answered = 0;
    let members = 0;
    for (let i = 0; i < this.size; i++) {
      answered += this.table[i * this.size + c] as number;
      members += this.table[c * this.size + i] as number;
    }
    const tp = this.table[c * this.size + c] as number;
    return { tp, fp: answered - tp, fn: members - tp };
  }

  clear(): void {
    this.table.fill(0);
    this.total = 0;
  }
}
