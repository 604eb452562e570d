/**
 * Images in other colours. All functions take (…, C, H, W) with 1 or 3 channels, red, green and blue, and leave the dtype:
 * integers from 0 to 255, or floats from 0 to 1.
 *
 * Source: https://docs.pytorch.org/vision/stable/transforms.html (v2.functional)
 */
import { checkList, checkOptions, checkTensor, inWords, refuseArgument } from "../../arguments.js";
import { DTypeError, ShapeError, ValueError } from "../../errors.js";
import { cat, type DType, stack, type Tensor, tensor, where } from "../../tensor/index.js";

function channelsOf(what: string, image: Tensor): 1 | 3 {
  checkTensor(what, "image", image);
  const channels = image.ndim < 3 ? undefined : image.shape.at(-3);
  if (channels !== 1 && channels !== 3) {
    throw new ShapeError(`${what}: an image has shape (…, 1 or 3, H, W), not (${image.shape.join(", ")})`);
  }
  return channels;
}

const boundOf = (image: Tensor): number => (image.isFloatingPoint() ? 1 : 255);

function checkFactor(what: string, factor: number): void {
  if (typeof factor !== "number" || !(factor >= 0 && factor < Number.POSITIVE_INFINITY))
    throw new ValueError(`${what}: factor is ${inWords(factor)}; it must not be negative`);
}

/** Cut off at black and full, in the image's dtype; integers lose their fraction, as in torchvision. */
const cut = (values: Tensor, image: Tensor): Tensor => values.clamp(0, boundOf(image)).to(image.dtype);

const inFloat = (image: Tensor): Tensor => (image.isFloatingPoint() ? image : image.float());

/** 0.2989 R + 0.587 G + 0.114 B, one channel. */
function gray(image: Tensor): Tensor {
  const [r, g, b] = inFloat(image).unbind(-3) as [Tensor, Tensor, Tensor];
  const mixed = r.mul(0.2989).add(g, { alpha: 0.587 }).add(b, { alpha: 0.114 });
  return (image.isFloatingPoint() ? mixed : mixed.floor()).unsqueeze(-3);
}

/** `factor` of the image, the rest of another. */
const blend = (image: Tensor, other: Tensor, factor: number): Tensor =>
  cut(
    inFloat(image)
      .mul(factor)
      .add(other, { alpha: 1 - factor }),
    image,
  );

/** The grey image, with one channel, or three equal ones. */
export function rgbToGrayscale(image: Tensor, numOutputChannels: 1 | 3 = 1): Tensor {
  const channels = channelsOf("rgbToGrayscale", image);
  if (numOutputChannels !== 1 && numOutputChannels !== 3) {
    throw new ValueError(`rgbToGrayscale: ${String(numOutputChannels)} channels; there are 1 or 3`);
  }
  const one = channels === 1 ? image.clone() : gray(image).to(image.dtype);
  return numOutputChannels === 1 ? one : cat([one, one, one], -3);
}

/** Times `factor`: 0 is black, 1 leaves the image, 2 is twice as bright. */
export function adjustBrightness(image: Tensor, factor: number): Tensor {
  channelsOf("adjustBrightness", image);
  checkFactor("adjustBrightness", factor);
  return cut(inFloat(image).mul(factor), image);
}

/** Away from, or towards (below 1), the mean grey of the image. */
export function adjustContrast(image: Tensor, factor: number): Tensor {
  const channels = channelsOf("adjustContrast", image);
  checkFactor("adjustContrast", factor);
  const grey = channels === 3 ? gray(image) : inFloat(image);
  return blend(image, grey.mean([-3, -2, -1], { keepdim: true }), factor);
}

/** Away from, or towards (below 1), the grey image. */
export function adjustSaturation(image: Tensor, factor: number): Tensor {
  const channels = channelsOf("adjustSaturation", image);
  checkFactor("adjustSaturation", factor);
  return channels === 1 ? image : blend(image, gray(image), factor);
}

/** Turns the circle of colours by `factor` of a whole turn, −0.5 to 0.5. */
export function adjustHue(image: Tensor, factor: number): Tensor {
  if (typeof factor !== "number" || !(factor >= -0.5 && factor <= 0.5))
    throw new ValueError(`adjustHue: factor is ${inWords(factor)}; it must be from −0.5 to 0.5`);
  if (channelsOf("adjustHue", image) === 1 || image.numel() === 0) return image;
  const floats = toDtype(image, "float32", { scale: true });
  const [r, g, b] = floats.unbind(-3) as [Tensor, Tensor, Tensor];
  const value = floats.amax(-3);
  const chroma = value.sub(floats.amin(-3));
  const isGrey = chroma.eq(0);
  const saturation = where(isGrey, 0, chroma.div(where(isGrey, 1, value)));
  // Sixths of a turn from red; where two are largest, red comes before green before blue.
  const by = where(isGrey, 1, chroma);
  const sixths = where(
    value.eq(r),
    g.sub(b).div(by),
    where(value.eq(g), b.sub(r).div(by).add(2), r.sub(g).div(by).add(4)),
  );
  const hue = sixths.div(6).add(factor).remainder(1);
  // https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
  const channel = (n: number): Tensor => {
    const k = hue.mul(6).add(n).remainder(6);
    return value.sub(value.mul(saturation).mul(k.minimum(k.neg().add(4)).clamp(0, 1)));
  };
  return toDtype(stack([channel(5), channel(3), channel(1)], -3), image.dtype, { scale: true });
}

/**
 * Another dtype. With `scale`, integers from 0 to 255 become floats from 0 to 1, and back.
 *
 * Errors: DTypeError for scaling between floats and integers other than uint8.
 */
export function toDtype(image: Tensor, dtype: DType, options: { scale?: boolean } = {}): Tensor {
  checkTensor("toDtype", "image", image);
  checkOptions("toDtype", options);
  const { scale = false } = options;
  if (typeof dtype !== "string") refuseArgument("toDtype", "dtype", dtype, "the name of a dtype");
  const target = image.dtype === dtype ? "same" : dtype;
  if (!scale || target === "same") return image.to(dtype);
  const floating = (name: DType): boolean => name.startsWith("float") || name === "bfloat16";
  if (floating(image.dtype) && floating(dtype)) return image.to(dtype);
  if (image.dtype === "uint8" && floating(dtype)) return image.to(dtype).div(255);
  // All of [0, 1] is shared out evenly between 0 and 255.
  if (dtype === "uint8" && floating(image.dtype)) return image.mul(256 - 1e-3).to("uint8");
  throw new DTypeError(`toDtype: scales between uint8 and floats, not from ${image.dtype} to ${dtype}`);
}

/**
 * `(image − mean) / std`, by channel.
 *
 * Errors: DTypeError for integers, ValueError for a std of 0, ShapeError when mean and std are not one a channel, or one.
 */
export function normalize(image: Tensor, mean: readonly number[], std: readonly number[]): Tensor {
  checkTensor("normalize", "image", image);
  if (!image.isFloatingPoint())
    throw new DTypeError(`normalize: the image is ${image.dtype}; scale it to floats first`);
  const channels = image.ndim < 3 ? 1 : (image.shape.at(-3) as number);
  for (const [name, list] of [
    ["mean", mean],
    ["std", std],
  ] as const) {
    checkList("normalize", name, list);
    if (list.length !== 1 && list.length !== channels) {
      throw new ShapeError(`normalize: ${list.length} values of ${name} for ${channels} channels`);
    }
  }
  if (std.some((value) => !(value > 0 || value < 0)))
    throw new ValueError(`normalize: std is ${std.join(", ")}; it must not be 0`);
  const by = (list: readonly number[]): Tensor => {
    const values = tensor([...list], { dtype: image.dtype, device: image.device });
    return image.ndim < 3 ? values.reshape([]) : values.reshape(-1, 1, 1);
  };
  return image.sub(by(mean)).div(by(std));
}
