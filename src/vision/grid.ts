/**
 * Many images in one, to look at what a network makes. Writing it is `image-file.ts`'s business.
 */
import { checkOptions, checkPath, checkTensors, refuseArgument } from "../arguments.js";
import { ShapeError, ValueError } from "../errors.js";
import { cat, full, isTensor, stack, type Tensor } from "../tensor/index.js";
import { type EncodeOptions, writeImage } from "./image-file.js";

export interface GridOptions {
  /** Images in a row; 8 by default. */
  nrow?: number;
  /** Pixels between images and around them; 2 by default. */
  padding?: number;
  /** What the padding is filled with; 0 by default. */
  padValue?: number;
  /** Bring the values to 0 … 1, from `valueRange`, or from the least and the greatest there are. */
  normalize?: boolean;
  valueRange?: readonly [least: number, greatest: number];
  /** Normalise each image by itself. */
  scaleEach?: boolean;
}

/**
 * A grid of images, (3, H, W): from (B, C, H, W), (B, H, W) of grey images (unless B is 1 or 3, which is one image, as in
 * torchvision), or a list of (C, H, W) or (H, W). Grey images get
 * three equal channels. Other channel numbers stay as they are.
 *
 * Errors: ShapeError for shapes that are no images or differ, ValueError for an empty list.
 *
 * @example
 * const grid = makeGrid(torch.rand([16, 1, 28, 28]), { nrow: 4 }); // (3, 122, 122)
 *
 * Source: https://docs.pytorch.org/vision/stable/generated/torchvision.utils.make_grid.html
 */
export function makeGrid(images: Tensor | readonly Tensor[], options: GridOptions = {}): Tensor {
  checkImages("makeGrid", images);
  checkOptions("makeGrid", options);
  const { nrow = 8, padding = 2, padValue = 0, valueRange } = options;
  if (!Number.isFinite(padValue)) throw new ValueError(`makeGrid: padValue is ${padValue}`);
  if (valueRange !== undefined && !(valueRange.length === 2 && valueRange[0] < valueRange[1])) {
    throw new ValueError(`makeGrid: valueRange is ${valueRange.join(" to ")}`);
  }
  for (const [name, value, least] of [
    ["nrow", nrow, 1],
    ["padding", padding, 0],
  ] as const) {
    if (!(Number.isSafeInteger(value) && value >= least)) throw new ValueError(`makeGrid: ${name} is ${value}`);
  }
  const all = normalised(colours(batchOf(images)), options);
  const [count, channels, height, width] = all.shape as [number, number, number, number];
  if (count === 1) return all.select(0, 0);
  const columns = Math.min(nrow, count);
  const rows = Math.ceil(count / columns);
  const gap = (h: number, w: number): Tensor =>
    full([channels, h, w], padValue, { dtype: all.dtype, device: all.device });
  const tall = height + padding;
  const wide = width + padding;
  const lines = Array.from({ length: rows }, (_, row) => {
    const cells: Tensor[] = [gap(tall, padding)];
    for (let column = 0; column < columns; column++) {
      const i = row * columns + column;
      if (i >= count) cells.push(gap(tall, wide));
      else cells.push(cat([cat([gap(padding, width), all.select(0, i)], 1), gap(tall, padding)], 2));
    }
    return cat(cells, 2);
  });
  return cat([...lines, gap(padding, columns * wide + padding)], 1);
}

/**
 * Writes images as one file: `makeGrid`, then `writeImage`.
 *
 * @example
 * await saveImage(generator.forward(noise).reshape(16, 1, 28, 28), "runs/epoch-1.png", { nrow: 4 });
 *
 * Source: https://docs.pytorch.org/vision/stable/generated/torchvision.utils.save_image.html
 */
export async function saveImage(
  images: Tensor | readonly Tensor[],
  path: string,
  options: GridOptions & Omit<EncodeOptions, "format"> = {},
): Promise<void> {
  checkImages("saveImage", images);
  checkPath("saveImage", path);
  checkOptions("saveImage", options);
  await writeImage(makeGrid(images, options), path, options);
}

function checkImages(what: string, images: unknown): void {
  if (isTensor(images)) return;
  if (!Array.isArray(images)) refuseArgument(what, "images", images, "a tensor, or a list of tensors");
  checkTensors(what, "images", images);
}

function batchOf(images: Tensor | readonly Tensor[]): Tensor {
  if (!isTensor(images)) {
    if (images.length === 0) throw new ValueError("makeGrid: there are no images");
    const each = images.map((image) => (image.ndim === 2 ? image.unsqueeze(0) : image));
    return batchOf(stack(each, 0));
  }
  const given = images.detach();
  if (given.ndim === 2) return given.reshape(1, 1, ...given.shape);
  // As in torchvision, three dimensions with 1 or 3 in front are one image.
  if (given.ndim === 3) {
    const one = given.shape[0] === 1 || given.shape[0] === 3;
    return given.unsqueeze(one ? 0 : 1);
  }
  if (given.ndim !== 4) throw new ShapeError(`makeGrid: (${given.shape.join(", ")}) is no list of images`);
  if (given.shape[0] === 0) throw new ValueError("makeGrid: there are no images");
  return given;
}

const colours = (images: Tensor): Tensor => (images.shape[1] === 1 ? cat([images, images, images], 1) : images);

function normalised(images: Tensor, { normalize, valueRange, scaleEach }: GridOptions): Tensor {
  if (!normalize) return images;
  const scale = (part: Tensor): Tensor => {
    const [low, high] = valueRange ?? [part.min().item(), part.max().item()];
    return part
      .clamp(low, high)
      .sub(low)
      .div(Math.max(high - low, 1e-5));
  };
  const floats = images.float();
  return scaleEach ? stack(floats.unbind(0).map(scale), 0) : scale(floats);
}
