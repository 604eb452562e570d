/**
 * What MNIST, CIFAR and their kin have in common: images of one size in ONE block of bytes, and a label for each. An item
 * is a copy of a few hundred bytes, a batch one gather; no image is a tensor before somebody asks. Where the bytes
 * come from is left to the subclasses.
 */

import { checkIndex } from "../data/dataset.js";
import { Dataset } from "../data/index.js";
import { fromTypedArray, type Tensor } from "../tensor/index.js";

/** Height and width of an image in pixels: MNIST's, and of all that took its place. */
export const side = 28;
export const imageBytes = side * side;

/** Items are [image uint8 (…image), label]; batches [uint8 (B, …image), int32 (B)]. The image is (28, 28) unless said otherwise. */
export abstract class LabelledImages extends Dataset<[Tensor, number]> {
  /** The names of the classes, by label. */
  abstract readonly classes: readonly string[];
  /** One byte a pixel, image after image: 0 is paper, 255 is ink. An image is there once `prepare` was called for it. */
  protected readonly pixels: Uint8Array;
  /** One byte an image. */
  protected readonly labelBytes: Uint8Array;
  #images: Tensor | undefined;
  #labels: Tensor | undefined;
  /** Where batches are gathered, one after another: a tensor takes a copy, and fresh arrays cost more than the gather. */
  #batchPixels = new Uint8Array(0);
  #batchLabels = new Int32Array(0);

  /** The shape of an image. */
  readonly imageShape: readonly number[];
  readonly #imageBytes: number;

  constructor(pixels: Uint8Array, labelBytes: Uint8Array, imageShape: readonly number[] = [side, side]) {
    super();
    this.imageShape = imageShape;
    this.#imageBytes = imageShape.reduce((product, extent) => product * extent, 1);
    this.pixels = pixels;
    this.labelBytes = labelBytes;
  }

  override get length(): number {
    return this.labelBytes.length;
  }

  /** All images, uint8 (N, …image). Made once, when first asked for. */
  get images(): Tensor {
    if (this.#images === undefined) {
      for (let index = 0; index < this.length; index++) this.prepare(index);
      this.#images = fromTypedArray(this.pixels, [this.length, ...this.imageShape]);
    }
    return this.#images;
  }

  /** All labels, int32 (N). Made once, when first asked for. */
  get labels(): Tensor {
    this.#labels ??= fromTypedArray(Int32Array.from(this.labelBytes), [this.length]);
    return this.#labels;
  }

  /** Image `index`, uint8, a copy; and its label. Throws IndexError outside 0 … length − 1. */
  override get(index: number): [Tensor, number] {
    return [fromTypedArray(this.pixelsOf(index), [...this.imageShape]), this.labelBytes[index] as number];
  }

  override getBatch(indices: ArrayLike<number>): [Tensor, Tensor] {
    const count = indices.length;
    if (this.#batchLabels.length !== count) {
      this.#batchPixels = new Uint8Array(count * this.#imageBytes);
      this.#batchLabels = new Int32Array(count);
    }
    const pixels = this.#batchPixels;
    const labels = this.#batchLabels;
    for (let i = 0; i < count; i++) {
      const index = indices[i] as number;
      pixels.set(this.pixelsOf(index), i * this.#imageBytes);
      labels[i] = this.labelBytes[index] as number;
    }
    return [fromTypedArray(pixels, [count, ...this.imageShape]), fromTypedArray(labels, [count])];
  }

  /** The bytes of one image, row after row: a view, for those who draw. */
  pixelsOf(index: number): Uint8Array {
    checkIndex(this.constructor.name, index, this.length);
    this.prepare(index);
    return this.pixels.subarray(index * this.#imageBytes, (index + 1) * this.#imageBytes);
  }

  /** The label of one image. */
  labelOf(index: number): number {
    checkIndex(this.constructor.name, index, this.length);
    return this.labelBytes[index] as number;
  }

  /** Called before image `index` is read; a data set that makes its images as they are asked for does so here. */
  protected prepare(_index: number): void {}
}
