/** What charts with two axes have in common: matplotlib's options, and how they read in Vega-Lite's terms. */
import { checkList, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { Figure } from "./figure.js";
import type { Colours } from "./theme.js";
import { drawVega, type Specification } from "./vega.js";

export interface FigureOptions {
  title?: string;
  /** Width and height in inches, of 72 pixels each: [7.5, 5] by default. */
  figsize?: readonly [number, number];
}

/** Named as in matplotlib and pandas. */
export interface AxesOptions extends FigureOptions {
  xlabel?: string;
  ylabel?: string;
  /** The first and last value of an axis. What lies outside is cut off. */
  xlim?: readonly [number, number];
  ylim?: readonly [number, number];
  /** The values that have a tick and a line of the grid. */
  xticks?: readonly number[];
  yticks?: readonly number[];
  xscale?: "linear" | "log";
  yscale?: "linear" | "log";
  grid?: boolean;
  legend?: boolean;
  /** Opacity, 0 to 1. */
  alpha?: number;
}

const inch = 72;
/** Pixels between the first and last point and the frame, so that marks are whole. */
const margin = 10;

export function sizeOf(what: string, figsize: readonly [number, number] = [7.5, 5]): { width: number; height: number } {
  checkList(what, "figsize", figsize);
  const [width, height] = figsize;
  if (!(width > 0 && height > 0 && width <= 200 && height <= 200)) {
    throw new ValueError(`${what}: figsize is ${width} × ${height} inches; each must be above 0 and at most 200`);
  }
  return { width: Math.round(width * inch), height: Math.round(height * inch) };
}

/** Least and greatest of the finite values; on a logarithmic axis of those above 0. Null where there is none. */
export function extentOf(values: Iterable<number | null>, scale: "linear" | "log" | undefined): Extent | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value === null || !Number.isFinite(value) || (scale === "log" && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}
export type Extent = readonly [number, number];

/** What an axis shows of values that are all the same: the value in the middle. */
function around(value: number, scale: "linear" | "log" | undefined): Extent {
  if (scale === "log") return [value / 10, value * 10];
  const room = value === 0 ? 0.5 : Math.abs(value) * 0.1;
  return [value - room, value + room];
}

/** Very large and very small numbers, unless only their last digits differ. */
function isExponential([low, high]: Extent): boolean {
  const most = Math.max(Math.abs(low), Math.abs(high));
  return most > 0 && (most < 1e-3 || most >= 1e7) && high - low > most * 1e-3;
}

/** One axis of numbers; `extent` is what they reach over. */
export function quantitative(
  field: string,
  title: string | undefined,
  limits: readonly [number, number] | undefined,
  ticks: readonly number[] | undefined,
  scale: "linear" | "log" | undefined,
  extent: Extent | null,
  { grid = true, zero = false, nice = true }: { grid?: boolean; zero?: boolean; nice?: boolean } = {},
): Specification {
  const same = extent !== null && extent[0] === extent[1];
  // Bars begin at 0, and all bars of no height still have an axis.
  const shown = !same ? null : !zero ? around(extent[0], scale) : extent[0] === 0 ? ([0, 1] as const) : null;
  const domain = limits ?? shown ?? (scale === "log" && extent === null ? ([1, 10] as const) : null);
  return {
    field,
    type: "quantitative",
    title: title ?? null,
    scale: {
      type: scale ?? "linear",
      ...(domain === null
        ? { zero: scale === "log" ? undefined : zero, nice, ...(nice || zero ? {} : { padding: margin }) }
        : { domain, nice: false }),
    },
    // Ticks that were asked for are written out: the axis would round 0.25 to the digits of its own.
    axis: {
      grid,
      labelOverlap: true,
      tickCount: 6,
      ...(scale !== "log" && isExponential(domain ?? extent ?? [0, 0]) ? { format: ".3~e" } : {}),
      ...(ticks === undefined ? {} : { values: ticks, labelExpr: "format(datum.value, ',~g')" }),
    },
  };
}

export function checkAxes(what: string, options: AxesOptions): void {
  const { xlim, ylim, xticks, yticks, xscale, yscale, alpha, figsize } = options;
  sizeOf(what, figsize);
  for (const [name, text] of Object.entries({ title: options.title, xlabel: options.xlabel, ylabel: options.ylabel })) {
    if (text !== undefined && typeof text !== "string") refuseArgument(what, name, text, "a string");
  }
  for (const [name, flag] of Object.entries({ grid: options.grid, legend: options.legend })) {
    if (flag !== undefined && typeof flag !== "boolean") refuseArgument(what, name, flag, "true or false");
  }
  for (const [name, scale] of Object.entries({ xscale, yscale })) {
    if (scale !== undefined && scale !== "linear" && scale !== "log")
      refuseArgument(what, name, scale, '"linear" or "log"');
  }
  for (const [name, ticks] of Object.entries({ xticks, yticks })) {
    if (ticks === undefined) continue;
    checkList(what, name, ticks);
    if (!ticks.every(Number.isFinite)) throw new ValueError(`${what}: ${name} are ${ticks.join(", ")}`);
  }
  for (const [name, limits, scale] of [
    ["xlim", xlim, xscale],
    ["ylim", ylim, yscale],
  ] as const) {
    if (limits === undefined) continue;
    checkList(what, name, limits);
    if (
      limits.length !== 2 ||
      !limits.every(Number.isFinite) ||
      limits[0] === limits[1] ||
      (scale === "log" && Math.min(...limits) <= 0)
    ) {
      throw new ValueError(`${what}: ${name} is ${limits.join(" to ")}`);
    }
  }
  if (alpha !== undefined && !(alpha >= 0 && alpha <= 1))
    throw new ValueError(`${what}: alpha is ${alpha}, not in 0 … 1`);
}

/** Of `count` places along `length` pixels those that have room for a name, `size` pixels each. */
export function named(count: number, length: number, size: number): number[] {
  const step = Math.max(1, Math.ceil((count * size) / Math.max(1, length)));
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
}

/** A figure of a chart; `body` gives all but size, title and colours. */
export function chart(what: string, options: AxesOptions, body: (colours: Colours) => Specification): Figure {
  checkAxes(what, options);
  return new Figure(options.title ?? what, (colours) =>
    drawVega(
      {
        ...sizeOf(what, options.figsize),
        autosize: { type: "fit", contains: "padding" },
        ...(options.title === undefined
          ? {}
          : { title: { text: options.title, limit: sizeOf(what, options.figsize).width - 24 } }),
        ...body(colours),
      },
      colours,
    ),
  );
}
