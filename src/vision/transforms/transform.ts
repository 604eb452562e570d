/**
 * Transforms as objects, to be put in a row: those that always do the same. Those that draw are in `random.ts`; what each
 * does to pixels is in `resize.ts`, `affine.ts` and `color.ts`.
 *
 * Source of the names: https://docs.pytorch.org/vision/stable/transforms.html (v2)
 */
import { checkList, checkTensor, refuseArgument } from "../../arguments.js";
import { ShapeError, ValueError } from "../../errors.js";
import { type DType, isTensor, type Tensor } from "../../tensor/index.js";
import { normalize, rgbToGrayscale, toDtype } from "./color.js";
import { centerCrop, type ResizeOptions, resize, type Size } from "./resize.js";

/** From an image to an image. */
export abstract class Transform<In = Tensor, Out = Tensor> {
  abstract forward(image: In): Out;

  /** The same as `forward`. */
  call(image: In): Out {
    return this.forward(image);
  }
}

/** What can stand in a `Compose`: a transform, or a plain function. */
export type AnyTransform = { forward(image: Tensor): Tensor } | ((image: Tensor) => Tensor);

export function checkTransforms(what: string, transforms: unknown): asserts transforms is readonly AnyTransform[] {
  checkList(what, "transforms", transforms);
  for (const [i, transform] of Array.from(transforms as ArrayLike<unknown>).entries()) {
    if (typeof transform !== "function" && typeof (transform as Transform | null)?.forward !== "function")
      refuseArgument(what, `transforms[${i}]`, transform, "a transform or a function");
  }
}

export const apply = (transform: AnyTransform, image: Tensor): Tensor =>
  typeof transform === "function" ? transform(image) : transform.forward(image);

/**
 * One transform after another.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { transforms } from "cresset/vision";
 *
 * const train = new transforms.Compose([
 *   new transforms.RandomResizedCrop(32),
 *   new transforms.RandomHorizontalFlip(),
 *   new transforms.ToTensor(),
 *   new transforms.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
 * ]);
 * const image = train.forward(torch.zeros([3, 64, 48], { dtype: "uint8" })); // float32 (3, 32, 32)
 * ```
 */
export class Compose extends Transform {
  readonly transforms: readonly AnyTransform[];

  constructor(transforms: readonly AnyTransform[]) {
    super();
    checkTransforms("Compose", transforms);
    this.transforms = transforms;
  }

  override forward(image: Tensor): Tensor {
    return this.transforms.reduce((present, transform) => apply(transform, present), image);
  }
}

/** A function of your own. Errors: ValueError when it gives no tensor. */
export class Lambda extends Transform {
  readonly #function: (image: Tensor) => Tensor;

  constructor(fn: (image: Tensor) => Tensor) {
    super();
    if (typeof fn !== "function") refuseArgument("Lambda", "fn", fn, "a function");
    this.#function = fn;
  }

  override forward(image: Tensor): Tensor {
    const out = this.#function(image);
    if (!isTensor(out)) throw new ValueError("Lambda: the function gave no tensor");
    return out;
  }
}

/**
 * uint8 from 0 to 255 becomes float32 from 0 to 1, and (H, W) becomes (1, H, W). Floats stay as they are.
 *
 * Images here are (C, H, W) from the start, so nothing is turned round.
 */
export class ToTensor extends Transform {
  override forward(image: Tensor): Tensor {
    checkTensor("ToTensor", "image", image);
    if (image.ndim < 2)
      throw new ShapeError(`ToTensor: an image has shape (H, W) or (C, H, W), not (${image.shape.join(", ")})`);
    const floats = image.isFloatingPoint() ? image : toDtype(image, "float32", { scale: true });
    return floats.ndim === 2 ? floats.unsqueeze(0) : floats;
  }
}

/** Another dtype; with `scale` from 0 … 255 to 0 … 1 or back. Errors: as `functional.toDtype`. */
export class ToDtype extends Transform {
  readonly #dtype: DType;
  readonly #options: { scale?: boolean };

  constructor(dtype: DType, options: { scale?: boolean } = {}) {
    super();
    this.#dtype = dtype;
    this.#options = options;
  }

  override forward(image: Tensor): Tensor {
    return toDtype(image, this.#dtype, this.#options);
  }
}

/** `(image − mean) / std`, by channel. Errors: as `functional.normalize`. */
export class Normalize extends Transform {
  readonly #mean: readonly number[];
  readonly #std: readonly number[];

  constructor(mean: readonly number[], std: readonly number[]) {
    super();
    this.#mean = mean;
    this.#std = std;
  }

  override forward(image: Tensor): Tensor {
    return normalize(image, this.#mean, this.#std);
  }
}

/** To (height, width), or so that the shorter side is `size`. Errors: as `functional.resize`. */
export class Resize extends Transform {
  readonly #size: number | Size;
  readonly #options: ResizeOptions;

  constructor(size: number | Size, options: ResizeOptions = {}) {
    super();
    this.#size = size;
    this.#options = options;
  }

  override forward(image: Tensor): Tensor {
    return resize(image, this.#size, this.#options);
  }
}

/** The middle of the image, on zeros where it is smaller. */
export class CenterCrop extends Transform {
  readonly #size: number | Size;

  constructor(size: number | Size) {
    super();
    this.#size = size;
  }

  override forward(image: Tensor): Tensor {
    return centerCrop(image, this.#size);
  }
}

/** The grey image, with one channel, or three equal ones. */
export class Grayscale extends Transform {
  readonly #channels: 1 | 3;

  constructor(numOutputChannels: 1 | 3 = 1) {
    super();
    this.#channels = numOutputChannels;
  }

  override forward(image: Tensor): Tensor {
    return rgbToGrayscale(image, this.#channels);
  }
}
