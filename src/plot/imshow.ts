/** Tensors as pictures: matplotlib's `imshow`, one or many. */
import { checkOptions, checkStrings, checkTensors, refuseArgument } from "../arguments.js";
import { ShapeError, ValueError } from "../errors.js";
import { isTensor, type Tensor } from "../tensor/index.js";
import { type FigureOptions, sizeOf } from "./axes.js";
import { type ColorMap, checkColorMap, paletteOf } from "./colormap.js";
import { Figure } from "./figure.js";
import { grid } from "./grid.js";
import { checkRange, colour, type Image, imageOf, rangeOf } from "./image.js";
import { optional } from "./optional.js";
import { base64 } from "./page.js";
import type { Theme } from "./theme.js";
import { drawVega } from "./vega.js";

export interface ImshowOptions extends FigureOptions {
  /** The colours of an image of one channel: "viridis" by default, "Blues" in the seed. */
  cmap?: ColorMap;
  /** The values that have the first and the last colour; the image's least and greatest by default. */
  vmin?: number;
  vmax?: number;
  /** Pixels are never blended. */
  interpolation?: "none" | "nearest";
  /** Pixel numbers along the edges; on for one image, off for many. */
  axis?: boolean;
  /** A title for each of many images. */
  titles?: readonly string[];
  /** How many of many images stand in a row; by default about as many as there are rows. */
  columns?: number;
}

/**
 * An image of shape (H, W), (H, W, C) or (C, H, W); or many: a list of them, or a tensor (N, H, W), (N, H, W, C) or
 * (N, C, H, W). One channel is coloured by `cmap`; three are red, green and blue, four have opacity: 0 … 255 for
 * integers, 0 … 1 for floats.
 *
 * Errors: ShapeError for other shapes, ValueError for an unknown colour map.
 * Source: https://matplotlib.org/stable/api/_as_gen/matplotlib.pyplot.imshow.html
 *
 * @example
 * const figure = plot.imshow(torch.rand([28, 28]), { cmap: "Blues", interpolation: "none", title: "label = 5" });
 */
export function imshow(image: Tensor | readonly Tensor[], options: ImshowOptions = {}): Figure {
  checkOptions("imshow", options);
  const { cmap = "viridis", interpolation = "none" } = options;
  checkColorMap("imshow", cmap);
  if (interpolation !== "none" && interpolation !== "nearest") {
    throw new ValueError(
      `imshow: interpolation is ${JSON.stringify(interpolation)}; pixels are shown as they are: "none"`,
    );
  }
  if (!isTensor(image)) {
    if (!Array.isArray(image)) refuseArgument("imshow", "image", image, "a tensor, or a list of tensors");
    checkTensors("imshow", "image", image);
    return many(image, options);
  }
  if (image.ndim === 4 || (image.ndim === 3 && !isColour(image))) return many([...image], options);
  return one(imageOf("imshow", image), options);
}

const isColour = ({ shape }: Tensor): boolean =>
  [shape[0], shape[2]].some((size) => size === 1 || size === 3 || size === 4);

function many(images: readonly Tensor[], options: ImshowOptions): Figure {
  if (images.length === 0) throw new ShapeError("imshow: a list of no images");
  if (images.length > 1000) throw new ShapeError(`imshow: ${images.length} images; at most 1,000 fit a figure`);
  const { titles, columns = Math.ceil(Math.sqrt(images.length * 1.6)), title, figsize, ...rest } = options;
  if (titles !== undefined) checkStrings("imshow", "titles", titles);
  if (titles !== undefined && titles.length !== images.length) {
    throw new ShapeError(`imshow: ${titles.length} titles for ${images.length} images`);
  }
  if (!(Number.isInteger(columns) && columns > 0)) throw new ValueError(`imshow: columns is ${columns}`);
  const across = Math.min(columns, images.length);
  const side = sizeOf("imshow", figsize ?? [Math.min(12, Math.max(3, across * 1.3)), 1]).width / 72 / across;
  const figures = images.map((image, i) =>
    one(imageOf("imshow", image), { axis: false, ...rest, title: titles?.[i], figsize: [side, side] }),
  );
  return grid(figures, { columns: across, title });
}

function one(image: Image, options: ImshowOptions): Figure {
  const { cmap = "viridis", axis = true, title } = options;
  const [low, high] = rangeOf(image);
  const { vmin = low, vmax = high } = options;
  checkRange("imshow", vmin, vmax);
  const size = sizeOf("imshow", options.figsize ?? [5, 5]);
  const margin = axis ? 60 : 24;
  const scale = Math.max(8, Math.min(size.width, size.height) - margin) / Math.max(image.width, image.height);
  return new Figure(title ?? "imshow", async (theme: Theme) => {
    const { encode } = await optional("images", "fast-png", () => import("fast-png"));
    const data = colour(image, await paletteOf(cmap), vmin, vmax);
    const url = `data:image/png;base64,${base64(encode({ width: image.width, height: image.height, data, channels: 4 }))}`;
    const place = (field: string, length: number, reverse: boolean) => ({
      datum: length / 2 - 0.5,
      type: "quantitative",
      title: null,
      scale: { domain: [-0.5, length - 0.5], nice: false, zero: false, reverse },
      axis: axis ? { grid: false, tickCount: Math.min(6, length), tickMinStep: 1, format: "d" } : null,
      ...(field === "" ? {} : { field }),
    });
    const width = image.width * scale;
    const height = image.height * scale;
    return drawVega(
      {
        width,
        height,
        autosize: { type: "pad", contains: "padding" },
        ...(title === undefined
          ? {}
          : { title: axis ? title : { text: title, fontSize: 11, fontWeight: "normal", offset: 4 } }),
        data: { values: [{}] },
        ...(axis ? {} : { padding: 6 }),
        mark: { type: "image", url, width, height, aspect: false, smooth: false, align: "center", baseline: "middle" },
        encoding: { x: place("", image.width, false), y: place("", image.height, true) },
      },
      theme,
    );
  });
}
