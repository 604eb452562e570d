/** What charts with two axes have in common: matplotlib's options, and how they read in Vega-Lite's terms. */
import { checkList, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { Figure } from "./figure.js";
import { type Colours, type Theme, themes } from "./theme.js";
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

/** One axis of numbers. */
export function quantitative(
  field: string,
  title: string | undefined,
  limits: readonly [number, number] | undefined,
  ticks: readonly number[] | undefined,
  scale: "linear" | "log" | undefined,
  { grid = true, zero = false, nice = true }: { grid?: boolean; zero?: boolean; nice?: boolean } = {},
): Specification {
  return {
    field,
    type: "quantitative",
    title: title ?? null,
    scale: {
      type: scale ?? "linear",
      ...(limits === undefined
        ? { zero: scale === "log" ? undefined : zero, nice, ...(nice || zero ? {} : { padding: margin }) }
        : { domain: limits, nice: false }),
    },
    // Ticks that were asked for are written out: the axis would round 0.25 to the digits of its own.
    axis: {
      grid,
      labelOverlap: true,
      tickCount: 6,
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

/** A figure of a chart; `body` gives all but size, title and colours. */
export function chart(what: string, options: AxesOptions, body: (colours: Colours) => Specification): Figure {
  checkAxes(what, options);
  return new Figure(options.title ?? what, (theme: Theme) =>
    drawVega(
      {
        ...sizeOf(what, options.figsize),
        autosize: { type: "fit", contains: "padding" },
        ...(options.title === undefined ? {} : { title: options.title }),
        ...body(themes[theme]),
      },
      theme,
    ),
  );
}
