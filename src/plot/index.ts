/**
 * `cresset/plot`: pictures of tensors and of training, with matplotlib's names. A figure is described when it is made
 * and drawn when it is saved or shown; only then are the libraries loaded that draw.
 *
 * ```ts
 * // fragment
 * import * as plot from "cresset/plot";
 * const figure = plot.imshow(image, { cmap: "Blues", title: "label = 5" });
 * await figure.save("digit.png");
 * ```
 *
 * @module
 */
export type { AxesOptions, FigureOptions } from "./axes.js";
export {
  type BarOptions,
  bar,
  type Curves,
  type HistOptions,
  hist,
  type LineOptions,
  line,
  type ScatterOptions,
  scatter,
} from "./charts.js";
export type { ColorMap } from "./colormap.js";
export { type ConfusionOptions, confusionMatrix } from "./confusion.js";
export { display, type Figure, type RenderOptions, type SaveOptions, type ShowOptions } from "./figure.js";
export { type GraphOptions, graph } from "./graph.js";
export { type GridOptions, grid } from "./grid.js";
export { type ImshowOptions, imshow } from "./imshow.js";
export { type ProgressOptions, plotProgress } from "./progress.js";
export type { Protocol } from "./terminal.js";
export type { Theme } from "./theme.js";
export type { Numbers } from "./values.js";
