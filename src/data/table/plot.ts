/** `DataFrame.plot`: which chart of `cresset/plot` pandas's words mean. */
import { checkStrings, refuseArgument } from "../../arguments.js";
import { ValueError } from "../../errors.js";
import { bar, hist, type LineOptions, line, scatter } from "../../plot/charts.js";
import type { Figure } from "../../plot/figure.js";
import type { DataFrame } from "./data-frame.js";

/** pandas's names. Figures' sizes are in inches. */
export interface FramePlotOptions extends LineOptions {
  /** "bar" and "hist" draw one column. */
  kind?: "line" | "bar" | "hist" | "scatter";
  /** The column along x; rows' numbers by default. */
  x?: string;
  /** The columns drawn; all of numbers by default. */
  y?: string | readonly string[];
  /** How many bins a histogram has. */
  bins?: number;
}

export function plotFrame(frame: DataFrame, { kind = "line", x, y, bins, ...axes }: FramePlotOptions): Figure {
  if (!["line", "bar", "hist", "scatter"].includes(kind))
    refuseArgument("DataFrame.plot", "kind", kind, '"line", "bar", "hist" or "scatter"');
  if (x !== undefined && typeof x !== "string") refuseArgument("DataFrame.plot", "x", x, "a column's name");
  if (y !== undefined && typeof y !== "string") checkStrings("DataFrame.plot", "y", y);
  const numeric = frame.columns.filter((name) => frame.dtypes[name] !== "string" && name !== x);
  const names = y === undefined ? numeric : typeof y === "string" ? [y] : [...y];
  const [first] = names;
  if (first === undefined) throw new ValueError("DataFrame.plot: there is no column of numbers");
  if (kind === "line") {
    // One unnamed column needs no legend.
    const curves = Object.fromEntries(names.map((name) => [name, frame.column(name)]));
    const options = { legend: names.length > 1, ...axes };
    return x === undefined ? line(curves, options) : line(frame.column(x), curves, options);
  }
  if (kind === "scatter") {
    if (x === undefined) throw new ValueError("DataFrame.plot: a scatter needs x and y, names of columns");
    return scatter(frame.column(x), frame.column(first), { xlabel: x, ylabel: first, ...axes });
  }
  if (names.length > 1)
    throw new ValueError(`DataFrame.plot: kind "${kind}" draws one column, not ${names.join(", ")}`);
  if (kind === "hist") return hist(frame.column(first), { bins, ...axes });
  const labels = x === undefined ? undefined : [...frame.column(x)].map(String);
  return bar(frame.column(first), { labels, ...axes });
}
