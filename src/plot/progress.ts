/** The seed's `plot_progress`: every loss as a faint point, and a line that shows where they go. */
import { checkOptions, inWords } from "../arguments.js";
import { ValueError } from "../errors.js";
import { type AxesOptions, chart, quantitative } from "./axes.js";
import type { Figure } from "./figure.js";
import { type Numbers, numbersOf, plain } from "./values.js";

export interface ProgressOptions extends AxesOptions {
  /** Steps between two losses, for the numbers on the axis; 1 by default. */
  every?: number;
  /** How many losses the line is the mean of; a fiftieth of all by default. */
  window?: number;
}

/**
 * Losses over training, as the seed draws them: ylim (0, 1), 16 × 8 inches, alpha 0.1, a dot each, a grid, ticks at 0,
 * 0.25 and 0.5; and the running mean.
 *
 * Where there are few losses their points are less faint.
 *
 * @example
 * const figure = plot.plotProgress(Array.from({ length: 500 }, (_, i) => Math.exp(-i / 200)), { every: 10 });
 */
export function plotProgress(losses: Numbers, options: ProgressOptions = {}): Figure {
  checkOptions("plotProgress", options);
  const values = numbersOf("plotProgress", losses, "losses");
  const { every = 1, window = Math.max(1, Math.round(values.length / 50)) } = options;
  if (!(Number.isFinite(every) && every > 0)) throw new ValueError(`plotProgress: every is ${inWords(every)}`);
  if (!(Number.isInteger(window) && window > 0)) throw new ValueError(`plotProgress: window is ${inWords(window)}`);
  const { alpha = Math.min(0.6, Math.max(0.1, 200 / values.length)) } = options;
  const given: ProgressOptions = { figsize: [16, 8], ylim: [0, 1], yticks: [0, 0.25, 0.5], ...options };
  const points = values.map((y, i) => ({ x: (i + 1) * every, y: plain(y) })).filter(({ y }) => y !== null);
  const means = runningMean(values, window).map((y, i) => ({ x: (i + 1) * every, y: plain(y) }));
  const names = ["loss", window === 1 ? "loss, as a line" : `mean of ${window}`];
  return chart("plotProgress", given, ({ palette }) => {
    const encoding = {
      x: quantitative("x", given.xlabel ?? "step", given.xlim, given.xticks, given.xscale, {
        grid: given.grid,
        nice: false,
      }),
      y: quantitative("y", given.ylabel ?? "loss", given.ylim, given.yticks, given.yscale, { grid: given.grid }),
      color: {
        field: "name",
        type: "nominal",
        scale: { domain: names, range: [palette[0], palette[1]] },
        legend: given.legend === false ? null : { title: null },
      },
    };
    const named = (name: string | undefined) => [{ calculate: JSON.stringify(name), as: "name" }];
    return {
      layer: [
        {
          data: { values: points },
          transform: named(names[0]),
          mark: { type: "point", filled: true, clip: true, size: 14, opacity: alpha },
          encoding,
        },
        {
          data: { values: means },
          transform: named(names[1]),
          mark: { type: "line", clip: true, strokeWidth: 2 },
          encoding,
        },
      ],
    };
  });
}

/** The mean of each value and those before it, at most `window`. NaN where all are. */
function runningMean(values: readonly number[], window: number): number[] {
  let sum = 0;
  let count = 0;
  return values.map((value, i) => {
    if (Number.isFinite(value)) {
      sum += value;
      count++;
    }
    const old = values[i - window];
    if (old !== undefined && Number.isFinite(old)) {
      sum -= old;
      count--;
    }
    return count === 0 ? Number.NaN : sum / count;
  });
}
