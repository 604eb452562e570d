/**
 * What every metric is: counts that grow batch by batch (`update`), a figure made of them (`compute`), and a fresh start
 * (`reset`). The formulas are in the files of the metrics; running them in a loop is left to the loop.
 *
 * Source of the names and rules: https://lightning.ai/docs/torchmetrics/stable/
 */
import { refuseArgument } from "../arguments.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import { isTensor, type Tensor } from "../tensor/index.js";

/** A figure gathered over batches. `Input` is what one batch gives it, `Value` what comes out. */
export abstract class Metric<Input extends readonly unknown[] = readonly [Tensor, Tensor], Value = number> {
  /** Takes one batch in. */
  abstract update(...batch: Input): void;
  /** The figure over all batches since the start or the last `reset`. Throws ValueError before the first. */
  abstract compute(): Value;
  /** Forgets all batches. */
  abstract reset(): void;

  /** `update`, `compute` and `reset` for data that is there at once. What was gathered before is lost. */
  of(...batch: Input): Value {
    this.reset();
    this.update(...batch);
    const value = this.compute();
    this.reset();
    return value;
  }

  /** Throws ValueError unless something has been counted. */
  protected needs(counted: boolean): void {
    if (!counted)
      throw new ValueError(`${this.constructor.name}.compute: nothing has been counted; call update() first`);
  }
}

/**
 * The mean of numbers that come one after another, each with a weight: `Σ wᵢ xᵢ / Σ wᵢ`. A tensor counts each of its
 * elements.
 *
 * ```ts
 * import { Mean } from "cresset/training";
 *
 * const loss = new Mean();
 * loss.update(0.5, 32); // a batch of 32
 * loss.update(0.25, 16);
 * console.log(loss.compute()); // 0.41666…
 * ```
 *
 * Errors: ValueError for a weight that is negative or not a number.
 *
 * Source: https://lightning.ai/docs/torchmetrics/stable/aggregation.html
 */
export class Mean extends Metric<[value: number | Tensor, weight?: number]> {
  #sum = 0;
  #weight = 0;

  override update(value: number | Tensor, weight = 1): void {
    if (!(weight >= 0)) throw new ValueError(`Mean.update: weight is ${weight}; it must not be negative`);
    if (typeof value !== "number" && !isTensor(value))
      refuseArgument("Mean.update", "value", value, "a number or a tensor");
    const values = typeof value === "number" ? [value] : Array.from(value.toTypedArray(), Number);
    for (const one of values) this.#sum += weight * one;
    this.#weight += weight * values.length;
  }

  override compute(): number {
    this.needs(this.#weight > 0);
    return this.#sum / this.#weight;
  }

  override reset(): void {
    this.#sum = 0;
    this.#weight = 0;
  }
}

/**
 * Several metrics fed with the same batches.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { Accuracy, F1Score, MetricCollection } from "cresset/training";
 *
 * const metrics = new MetricCollection({ accuracy: new Accuracy({ numClasses: 3 }), f1: new F1Score({ numClasses: 3 }) });
 * metrics.update(torch.tensor([0, 2, 1, 2], { dtype: "int32" }), torch.tensor([0, 1, 1, 2], { dtype: "int32" }));
 * console.log(metrics.compute()); // { accuracy: 0.75, f1: 0.777… }
 * ```
 */
export class MetricCollection<
  Metrics extends Readonly<Record<string, Metric<readonly [Tensor, Tensor], unknown>>>,
> extends Metric<readonly [Tensor, Tensor], { [Name in keyof Metrics]: ReturnType<Metrics[Name]["compute"]> }> {
  readonly metrics: Metrics;

  constructor(metrics: Metrics) {
    super();
    this.metrics = metrics;
  }

  override update(predictions: Tensor, targets: Tensor): void {
    for (const metric of Object.values(this.metrics)) metric.update(predictions, targets);
  }

  override compute() {
    const values = Object.entries(this.metrics).map(([name, metric]) => [name, metric.compute()] as const);
    return Object.fromEntries(values) as { [Name in keyof Metrics]: ReturnType<Metrics[Name]["compute"]> };
  }

  override reset(): void {
    for (const metric of Object.values(this.metrics)) metric.reset();
  }
}

/**
 * Integer class numbers of predictions and targets, checked. Floating predictions are scores: (N, C, …) is reduced to the
 * largest of C, or, where there are two classes without a dimension of their own, compared with `threshold`.
 */
export function classNumbers(
  where: string,
  predictions: Tensor,
  targets: Tensor,
  numClasses: number,
  threshold: number | undefined,
): { predicted: Int32Array; expected: Int32Array } {
  const scores = predictions.isFloatingPoint();
  if (targets.isFloatingPoint()) throw new DTypeError(`${where}: targets are class numbers, not ${targets.dtype}`);
  let classes = predictions.detach();
  if (scores) refuseNaN(where, classes);
  if (scores && threshold !== undefined) {
    classes = classes.gt(threshold);
  } else if (scores) {
    if (predictions.ndim < 2 || predictions.shape[1] !== numClasses) {
      throw new ShapeError(
        `${where}: scores have shape (${predictions.shape.join(", ")}); expected (N, ${numClasses}, …)`,
      );
    }
    classes = classes.argmax(1);
  }
  if (classes.shape.join() !== targets.shape.join()) {
    throw new ShapeError(
      `${where}: predictions (${predictions.shape.join(", ")}) do not fit targets (${targets.shape.join(", ")})`,
    );
  }
  const predicted = Int32Array.from(classes.toTypedArray(), Number);
  const expected = Int32Array.from(targets.toTypedArray(), Number);
  for (const [name, list] of [
    ["predictions", predicted],
    ["targets", expected],
  ] as const) {
    const odd = list.find((value) => value < 0 || value >= numClasses);
    if (odd !== undefined) throw new ValueError(`${where}: ${name} hold ${odd}; classes are 0 to ${numClasses - 1}`);
  }
  return { predicted, expected };
}

/** Throws ValueError for a NaN among scores: it would pass for the largest. */
export function refuseNaN(where: string, scores: Tensor): void {
  if (scores.isnan().any().item() !== 0) throw new ValueError(`${where}: a score is NaN`);
}
