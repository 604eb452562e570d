/** Which tensors are images, and their pixels: channels told apart, values scaled, colours given. */
import { ShapeError, ValueError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import type { Palette } from "./colormap.js";

/** Values row by row, `channels` side by side: 1 (to be coloured), 3 or 4. */
export interface Image {
  readonly height: number;
  readonly width: number;
  readonly channels: 1 | 3 | 4;
  readonly values: ArrayLike<number>;
  /** What full light is in an image of colours: 255 for integers, 1 for floats. */
  readonly full: number;
}

const isChannels = (size: number | undefined): size is 1 | 3 | 4 => size === 1 || size === 3 || size === 4;

/** (H, W), (H, W, C) or (C, H, W); ShapeError for other shapes. */
export function imageOf(what: string, tensor: Tensor): Image {
  const { shape, dtype } = tensor;
  const last = shape[2];
  const first = shape[0];
  let pixels = tensor.detach();
  if (shape.length === 2) pixels = pixels.unsqueeze(2);
  else if (shape.length === 3 && !isChannels(last) && isChannels(first)) pixels = pixels.permute(1, 2, 0);
  else if (!(shape.length === 3 && isChannels(last))) {
    throw new ShapeError(
      `${what}: (${shape.join(", ")}) is no image; images are (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels`,
    );
  }
  const [height, width, channels] = pixels.shape as [number, number, 1 | 3 | 4];
  if (height * width === 0) throw new ShapeError(`${what}: (${shape.join(", ")}) has no pixels`);
  if (height * width > 2 ** 26) throw new ShapeError(`${what}: (${shape.join(", ")}) has more than 2²⁶ pixels`);
  const raw = pixels.contiguous().toTypedArray();
  const values = raw instanceof BigInt64Array ? Float64Array.from(raw, Number) : raw;
  return {
    height,
    width,
    channels,
    values,
    full: dtype.startsWith("float") || dtype === "bfloat16" || dtype === "bool" ? 1 : 255,
  };
}

/** The least and greatest finite value; 0 and 1 where there is none. */
export function rangeOf({ values }: Image): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

export function checkRange(what: string, vmin: number, vmax: number): void {
  if (!(Number.isFinite(vmin) && Number.isFinite(vmax) && vmin <= vmax)) {
    throw new ValueError(`${what}: vmin ${vmin} and vmax ${vmax} are no range`);
  }
}

/** Four bytes a pixel. NaN is clear; what lies outside the range has its end's colour. */
export function colour(image: Image, palette: Palette, vmin: number, vmax: number): Uint8Array {
  const { height, width, channels, values, full } = image;
  const out = new Uint8Array(height * width * 4);
  const scale = vmax > vmin ? 255 / (vmax - vmin) : 0;
  for (let pixel = 0; pixel < height * width; pixel++) {
    const at = pixel * 4;
    if (channels === 1) {
      const value = values[pixel] as number;
      if (Number.isNaN(value)) continue;
      const place = Math.min(255, Math.max(0, Math.round((value - vmin) * scale) || 0)) * 3;
      for (let c = 0; c < 3; c++) out[at + c] = palette[place + c] as number;
      out[at + 3] = 255;
      continue;
    }
    out[at + 3] = 255;
    for (let c = 0; c < channels; c++) {
      out[at + c] = Math.min(
        255,
        Math.max(0, Math.round(((values[pixel * channels + c] as number) * 255) / full) || 0),
      );
    }
  }
  return out;
}
