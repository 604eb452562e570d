/** Lines, points, bars and histograms. Each is a description; Vega draws it (`vega.ts`). */
import { checkObject, checkOptions, refuseArgument } from "../arguments.js";
import { ShapeError, ValueError } from "../errors.js";
import { type AxesOptions, chart, quantitative, sizeOf } from "./axes.js";
import type { Figure } from "./figure.js";
import type { Colours } from "./theme.js";
import { isNumbers, type Numbers, numbersOf, plain } from "./values.js";
import type { Specification } from "./vega.js";

/** One list of numbers, or several by name. */
export type Curves = Numbers | Readonly<Record<string, Numbers>>;

export interface LineOptions extends AxesOptions {
  /** A mark on each point: "." or "o". */
  marker?: "." | "o";
}

interface Row {
  x: number | null;
  y: number | null;
  name: string;
}

function rowsOf(what: string, x: Numbers | undefined, curves: Curves): { rows: Row[]; names: string[] } {
  if (!isNumbers(curves)) checkObject(what, "y", curves, "a list of numbers, a tensor, or an object of them by name");
  const named = isNumbers(curves) ? { "": curves } : curves;
  const xs = x === undefined ? undefined : numbersOf(what, x, "x");
  const rows = Object.entries(named).flatMap(([name, values]) => {
    const ys = numbersOf(what, values, name === "" ? "y" : JSON.stringify(name));
    if (xs !== undefined && xs.length !== ys.length) {
      throw new ShapeError(
        `${what}: ${xs.length} values of x and ${ys.length} of ${name === "" ? "y" : JSON.stringify(name)}`,
      );
    }
    return ys.map((y, i) => ({ x: plain(xs === undefined ? i : (xs[i] as number)), y: plain(y), name }));
  });
  return { rows, names: Object.keys(named) };
}

/** The colours of the names, with a legend where there are several. */
export function colourBy(names: readonly string[], { palette }: Colours, legend: Specification | null): Specification {
  if (names.length === 1 && legend === null) return { value: palette[0] };
  const range = names.map((_, i) => palette[i % palette.length]);
  return { field: "name", type: "nominal", sort: names, scale: { domain: names, range }, legend };
}

/** What lies beyond limits is cut off; without limits everything fits, and marks on the frame stay whole. */
const clipped = ({ xlim, ylim }: AxesOptions): boolean => xlim !== undefined || ylim !== undefined;

const corners = ["top-right", "top-left", "bottom-right", "bottom-left"] as const;

/** A legend in the corner that is emptiest, or beside the chart where none is empty; null where none is wanted. */
function legendFor(
  rows: readonly Row[],
  names: readonly string[],
  options: AxesOptions,
  joined: boolean,
): Specification | null {
  if (!(options.legend ?? names.length > 1)) return null;
  const points = rows.filter((row): row is Row & { x: number; y: number } => row.x !== null && row.y !== null);
  const span = (axis: "x" | "y", limits?: readonly [number, number]): readonly [number, number] =>
    limits ??
    points.reduce(
      ([a, b], p) => [Math.min(a, p[axis]), Math.max(b, p[axis])],
      [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    );
  const [left, right] = span("x", options.xlim);
  const [bottom, top] = span("y", options.ylim);
  const counts = { "top-right": 0, "top-left": 0, "bottom-right": 0, "bottom-left": 0 };
  const count = (x: number, y: number): void => {
    const across = (x - left) / (right - left || 1);
    const up = (y - bottom) / (top - bottom || 1);
    const side = across > 0.7 ? "right" : across < 0.3 ? "left" : null;
    const end = up > 0.7 ? "top" : up < 0.3 ? "bottom" : null;
    if (side !== null && end !== null) counts[`${end}-${side}`]++;
  };
  for (const [i, { x, y, name }] of points.entries()) {
    const next = points[i + 1];
    const steps = joined && next?.name === name && points.length < 1000 ? 10 : 1;
    for (let step = 0; step < steps; step++) {
      count(x + (((next?.x ?? x) - x) * step) / steps, y + (((next?.y ?? y) - y) * step) / steps);
    }
  }
  const orient = corners.reduce((best, corner) => (counts[corner] < counts[best] ? corner : best));
  return { title: null, orient: counts[orient] === 0 ? orient : "right" };
}

function axesOf(options: AxesOptions): Record<string, Specification> {
  const { xlabel, ylabel, xlim, ylim, xticks, yticks, xscale, yscale, grid } = options;
  return {
    x: quantitative("x", xlabel, xlim, xticks, xscale, { grid, nice: false }),
    y: quantitative("y", ylabel, ylim, yticks, yscale, { grid, nice: false }),
  };
}

/**
 * Lines over x, or over 0, 1, 2 … NaN leaves a gap.
 *
 * Errors: ShapeError when x and y differ in length.
 *
 * @example
 * plot.line({ train: [0.9, 0.4, 0.2], test: [0.95, 0.5, 0.4] }, { xlabel: "epoch", ylabel: "loss" });
 */
export function line(y: Curves, options?: LineOptions): Figure;
export function line(x: Numbers, y: Curves, options?: LineOptions): Figure;
export function line(first: Curves, second?: Curves | LineOptions, third?: LineOptions): Figure {
  const { x, y, options } = split<LineOptions>(first, second, third);
  checkOptions("line", options);
  const { rows, names } = rowsOf("line", x, y);
  const { alpha = 1, marker } = options;
  return chart("line", options, (colours) => ({
    data: { values: rows },
    mark: {
      type: "line",
      clip: clipped(options),
      strokeWidth: 1.8,
      opacity: alpha,
      invalid: "break-paths-show-path-domains",
      ...(marker === undefined ? {} : { point: { filled: true, size: marker === "." ? 20 : 45, opacity: alpha } }),
    },
    encoding: { ...axesOf(options), color: colourBy(names, colours, legendFor(rows, names, options, true)) },
  }));
}

/** Labels as text: of a list or a column, one a point or bar. */
function namesOf(what: string, labels: Iterable<string | number>): string[] {
  if (!isNumbers(labels)) refuseArgument(what, "labels", labels, "a list");
  return Array.from(labels as Iterable<string | number>, String);
}

export interface ScatterOptions extends AxesOptions {
  /** What each point belongs to: it gets that colour, and a legend. */
  labels?: Iterable<string | number>;
  /** A point's area in square pixels; 30 by default. */
  s?: number;
}

/**
 * Points.
 *
 * Errors: ShapeError when x, y and labels differ in length.
 *
 * @example
 * plot.scatter(torch.randn([100]), torch.randn([100]), { xlabel: "x", ylabel: "y", alpha: 0.6 });
 */
export function scatter(x: Numbers, y: Numbers, options: ScatterOptions = {}): Figure {
  checkOptions("scatter", options);
  if (options.s !== undefined && !(options.s >= 0 && options.s < 1e6))
    throw new ValueError(`scatter: s is ${options.s}, an area`);
  const { rows } = rowsOf("scatter", x, y);
  const labels = options.labels === undefined ? undefined : namesOf("scatter", options.labels);
  if (labels !== undefined && labels.length !== rows.length) {
    throw new ShapeError(`scatter: ${labels.length} labels for ${rows.length} points`);
  }
  const points = rows.flatMap((row, i) =>
    row.x === null || row.y === null ? [] : [{ ...row, name: labels?.[i] ?? "" }],
  );
  const names = labels === undefined ? [""] : [...new Set(labels)];
  return chart("scatter", options, (colours) => ({
    data: { values: points },
    mark: { type: "point", filled: true, clip: clipped(options), size: options.s ?? 30, opacity: options.alpha ?? 0.8 },
    encoding: {
      ...axesOf(options),
      color: colourBy(names, colours, legendFor(points, names, options, false)),
    },
  }));
}

export interface BarOptions extends Omit<AxesOptions, "xlim" | "xticks" | "xscale"> {
  /** The bars' names; 0, 1, 2 … by default. */
  labels?: Iterable<string | number>;
  /** The bar that is drawn in another colour: the right answer, say. */
  highlight?: number;
}

/**
 * Bars: pandas's `plot(kind="bar")`.
 *
 * @example
 * const output = torch.tensor([0.01, 0.02, 0.93]);
 * plot.bar(output, { ylim: [0, 1], title: "answer" });
 */
export function bar(values: Numbers, options: BarOptions = {}): Figure {
  checkOptions("bar", options);
  const heights = numbersOf("bar", values);
  const labels = options.labels === undefined ? heights.map((_, i) => String(i)) : namesOf("bar", options.labels);
  if (labels.length !== heights.length) throw new ShapeError(`bar: ${labels.length} labels for ${heights.length} bars`);
  const rows = heights.map((y, i) => ({ i, y: plain(y), marked: i === options.highlight }));
  // A letter is about 7 pixels wide; what would run into its neighbour is turned.
  const room = (sizeOf("bar", options.figsize).width - 80) / Math.max(1, labels.length);
  const long = Math.max(0, ...labels.map((label) => label.length)) * 7 > room;
  return chart("bar", options, ({ palette }) => ({
    data: { values: rows },
    mark: { type: "bar", clip: clipped(options), opacity: options.alpha ?? 1 },
    encoding: {
      x: {
        field: "i",
        type: "ordinal",
        title: options.xlabel ?? null,
        axis: { labelAngle: long ? -40 : 0, grid: false, labelExpr: `${JSON.stringify(labels)}[datum.value]` },
        scale: { domain: heights.map((_, i) => i), paddingInner: 0.35, paddingOuter: 0.25 },
      },
      y: quantitative("y", options.ylabel, options.ylim, options.yticks, options.yscale, {
        grid: options.grid,
        zero: true,
      }),
      color: { condition: { test: "datum.marked", value: palette[1] }, value: palette[0] },
    },
  }));
}

export interface HistOptions extends AxesOptions {
  /** How many bins of equal width; 30 by default. */
  bins?: number;
}

/**
 * How often values fall into bins of equal width. NaN and infinities are left out.
 *
 * @example
 * plot.hist(torch.randn([1000]), { bins: 40, xlabel: "weight" });
 */
export function hist(values: Numbers, options: HistOptions = {}): Figure {
  checkOptions("hist", options);
  const { bins = 30 } = options;
  if (!(Number.isInteger(bins) && bins > 0 && bins <= 10_000)) throw new ValueError(`hist: bins is ${bins}`);
  const numbers = numbersOf("hist", values).filter(Number.isFinite);
  let low = numbers.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  let high = numbers.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (numbers.length === 0) [low, high] = [0, 1];
  // One value has a bin of width 1 around it, as in numpy.
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const width = (high - low) / bins;
  const counts = new Array<number>(bins).fill(0);
  for (const value of numbers) {
    const bin = Math.min(bins - 1, Math.floor((value - low) / width));
    counts[bin] = (counts[bin] as number) + 1;
  }
  const rows = counts.map((y, i) => ({ x: low + i * width, x2: low + (i + 1) * width, y }));
  return chart("hist", options, ({ background, palette }) => ({
    data: { values: rows },
    mark: {
      type: "bar",
      clip: clipped(options),
      opacity: options.alpha ?? 1,
      stroke: background,
      strokeWidth: bins > 60 ? 0 : 0.7,
    },
    encoding: {
      x: {
        ...quantitative("x", options.xlabel, options.xlim, options.xticks, options.xscale, { grid: false }),
        bin: { binned: true },
      },
      x2: { field: "x2" },
      y: quantitative("y", options.ylabel ?? "count", options.ylim, options.yticks, options.yscale, {
        grid: options.grid,
        zero: true,
      }),
      color: { value: palette[0] },
    },
  }));
}

function split<O>(
  first: Curves,
  second: Curves | O | undefined,
  third: O | undefined,
): { x?: Numbers; y: Curves; options: O } {
  const values = (given: unknown): given is Curves =>
    isNumbers(given) ||
    (typeof given === "object" &&
      given !== null &&
      Object.values(given).length > 0 &&
      Object.values(given).every(isNumbers) &&
      !("figsize" in given || "xlim" in given || "ylim" in given));
  if (second !== undefined && isNumbers(first) && (third !== undefined || values(second))) {
    return { x: first, y: second as Curves, options: third ?? ({} as O) };
  }
  return { y: first, options: (second as O | undefined) ?? ({} as O) };
}
