/**
 * A data set seen through transforms: for those that have none of their own, such as MNIST.
 */
import { checkObject, refuseArgument } from "../arguments.js";
import { Dataset } from "../data/dataset.js";
import type { Tensor } from "../tensor/index.js";
import { type AnyTransform, apply } from "./transforms/transform.js";

export interface TransformedOptions {
  transform?: AnyTransform | undefined;
  targetTransform?: ((target: number) => number) | undefined;
}

/**
 * The items of `dataset`, [image, label], each transformed when it is asked for.
 *
 * @example
 * const train = new TransformedDataset(new MNIST(), { transform: new transforms.ToTensor() });
 * const [image] = train.get(0); // float32 (1, 28, 28)
 */
export class TransformedDataset extends Dataset<[Tensor, number]> {
  readonly dataset: Dataset<[Tensor, number]>;
  readonly #options: TransformedOptions;

  constructor(dataset: Dataset<[Tensor, number]>, options: TransformedOptions) {
    super();
    if (typeof dataset?.get !== "function") refuseArgument("TransformedDataset", "dataset", dataset, "a data set");
    checkObject("TransformedDataset", "options", options, "an object");
    this.dataset = dataset;
    this.#options = options;
  }

  override get length(): number {
    return this.dataset.length;
  }

  override get(index: number): [Tensor, number] {
    const [image, target] = this.dataset.get(index);
    const { transform, targetTransform } = this.#options;
    return [transform === undefined ? image : apply(transform, image), targetTransform?.(target) ?? target];
  }
}
