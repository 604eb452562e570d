/**
 * Images at other sizes: resampled, cropped, turned over. All functions take (…, C, H, W), or (H, W), and leave the dtype.
 * Turning by angles is in `affine.ts`.
 *
 * Source: https://docs.pytorch.org/vision/stable/transforms.html (v2.functional)
 */
import { checkList, checkOptions, checkTensor, inWords } from "../../arguments.js";
import { DTypeError, ShapeError, ValueError } from "../../errors.js";
import { fromTypedArray, type Tensor, zeros } from "../../tensor/index.js";

/** How pixels between pixels are found. */
export type Interpolation = "bilinear" | "nearest";

/** Height and width. */
export type Size = readonly [height: number, width: number];

export interface ResizeOptions {
  /** "bilinear" by default. */
  interpolation?: Interpolation;
  /** When shrinking, average all pixels that fall on one instead of skipping some; true by default. */
  antialias?: boolean;
}

/** Height and width of an image. Throws ShapeError for what is none. */
export function sizeOf(what: string, image: Tensor): Size {
  checkTensor(what, "image", image);
  const { shape } = image;
  if (shape.length < 2) throw new ShapeError(`${what}: an image has shape (…, H, W), not (${shape.join(", ")})`);
  return [shape.at(-2) as number, shape.at(-1) as number];
}

/** A size as given: both, or the shorter side alone, the other keeping the aspect. */
function outputSize(what: string, size: number | Size, [height, width]: Size): Size {
  if (typeof size !== "number") checkSize(what, size);
  const [h, w] =
    typeof size === "number"
      ? height < width
        ? [size, Math.trunc((size * width) / height)]
        : [Math.trunc((size * height) / width), size]
      : size;
  checkSize(what, [h, w]);
  return [h, w];
}

/** ValueError unless both sides are whole numbers above 0. */
export function checkSize(what: string, size: Size): void {
  checkList(what, "size", size);
  const [h, w] = size;
  if (size.length !== 2 || ![h, w].every((side) => Number.isSafeInteger(side) && side > 0))
    throw new ValueError(`${what}: size (${size.join(", ")}); sides are whole numbers above 0`);
}

/**
 * Resamples to `size`: (height, width), or a number for the shorter side.
 *
 * bilinear: `out = A · image · Bᵀ` with a triangle filter in the rows of A and B; with `antialias` the triangle widens as the
 * image shrinks. nearest: pixel ⌊i · in / out⌋. Integer images are rounded.
 *
 * Errors: ShapeError for what is no image, ValueError for sizes that are none, DTypeError for bool.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { transforms } from "cresset/vision";
 *
 * const small = transforms.functional.resize(torch.rand([3, 64, 48]), 24); // (3, 32, 24)
 * ```
 */
export function resize(image: Tensor, size: number | Size, options: ResizeOptions = {}): Tensor {
  checkOptions("resize", options);
  const { interpolation = "bilinear", antialias = true } = options;
  checkInterpolation("resize", interpolation);
  const given = sizeOf("resize", image);
  if (given[0] === 0 || given[1] === 0)
    throw new ShapeError(`resize: the image has no pixel: (${image.shape.join(", ")})`);
  const [height, width] = outputSize("resize", size, given);
  if (given[0] === height && given[1] === width) return image;
  if (interpolation === "nearest") {
    const places = (from: number, to: number) =>
      fromTypedArray(
        Int32Array.from({ length: to }, (_, i) => Math.min(Math.floor(i * Math.fround(from / to)), from - 1)),
        [to],
      );
    return image.indexSelect(-2, places(given[0], height)).indexSelect(-1, places(given[1], width));
  }
  return inFloats("resize", image, (floats) => {
    const rows = filter(given[0], height, antialias, floats);
    const columns = filter(given[1], width, antialias, floats);
    return rows.matmul(floats.matmul(columns.t()));
  });
}

/** The matrix (out, in) that resamples one axis; each row is a triangle that adds up to 1. */
function filter(from: number, to: number, antialias: boolean, like: Tensor): Tensor {
  const scale = from / to;
  const reach = antialias ? Math.max(scale, 1) : 1;
  const weights = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const center = antialias ? scale * (i + 0.5) : Math.max(scale * (i + 0.5) - 0.5, 0) + 0.5;
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const end = Math.min(Math.trunc(center + reach + 0.5), from);
    const row = Array.from({ length: end - first }, (_, j) =>
      Math.max(0, 1 - Math.abs((first + j - center + 0.5) / reach)),
    );
    const sum = row.reduce((a, b) => a + b, 0);
    for (const [j, weight] of row.entries()) weights[i * from + first + j] = weight / sum;
  }
  return fromTypedArray(weights, [to, from]).to({ dtype: like.dtype, device: like.device });
}

/** Computes in floats what is given in integers, and rounds to the image's dtype. */
export function inFloats(what: string, image: Tensor, compute: (floats: Tensor) => Tensor): Tensor {
  if (image.isFloatingPoint()) return compute(image);
  if (image.dtype === "bool")
    throw new DTypeError(`${what}: an image of bools has nothing between its pixels; use "nearest"`);
  return compute(image.float()).round().to(image.dtype);
}

export function checkInterpolation(what: string, interpolation: Interpolation): void {
  if (interpolation !== "bilinear" && interpolation !== "nearest") {
    throw new ValueError(`${what}: interpolation is ${inWords(interpolation)}; it is bilinear or nearest`);
  }
}

/** The part of `height` × `width` pixels from (top, left); what lies outside the image is 0. */
export function crop(image: Tensor, top: number, left: number, height: number, width: number): Tensor {
  const [h, w] = sizeOf("crop", image);
  for (const value of [top, left, height, width]) {
    if (!Number.isSafeInteger(value)) throw new ValueError(`crop: ${inWords(value)} is not a whole number`);
  }
  if (height < 1 || width < 1) throw new ValueError(`crop: ${height} × ${width} pixels; at least one is needed`);
  const inside = {
    top: Math.max(top, 0),
    left: Math.max(left, 0),
    bottom: Math.min(top + height, h),
    right: Math.min(left + width, w),
  };
  const rows = inside.bottom - inside.top;
  const columns = inside.right - inside.left;
  const part =
    rows > 0 && columns > 0 ? image.slice(-2, inside.top, inside.bottom).slice(-1, inside.left, inside.right) : null;
  if (rows === height && columns === width) return (part as Tensor).contiguous();
  const out = zeros([...image.shape.slice(0, -2), height, width], { dtype: image.dtype, device: image.device });
  if (part !== null)
    out
      .narrow(-2, inside.top - top, rows)
      .narrow(-1, inside.left - left, columns)
      .copy_(part);
  return out;
}

/** The middle of the image; an image that is smaller is put in the middle of zeros. */
export function centerCrop(image: Tensor, size: number | Size): Tensor {
  const [h, w] = sizeOf("centerCrop", image);
  const sides: Size = typeof size === "number" ? [size, size] : size;
  checkSize("centerCrop", sides);
  const [height, width] = sides;
  // Padding rounds down, cropping to even, as in torchvision.
  const start = (has: number, wants: number): number =>
    wants > has ? -Math.floor((wants - has) / 2) : roundHalfEven((has - wants) / 2);
  return crop(image, start(h, height), start(w, width), height, width);
}

/** `crop`, then `resize`. */
export function resizedCrop(
  image: Tensor,
  top: number,
  left: number,
  height: number,
  width: number,
  size: number | Size,
  options: ResizeOptions = {},
): Tensor {
  return resize(crop(image, top, left, height, width), size, options);
}

/** Left becomes right. */
export function horizontalFlip(image: Tensor): Tensor {
  sizeOf("horizontalFlip", image);
  return image.flip([-1]);
}

/** Top becomes bottom. */
export function verticalFlip(image: Tensor): Tensor {
  sizeOf("verticalFlip", image);
  return image.flip([-2]);
}

/** As IEEE 754 and Python round: 0.5 → 0, 1.5 → 2. */
export function roundHalfEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}
