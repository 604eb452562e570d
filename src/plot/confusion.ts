/** What a classifier takes for what: a row a class, a column an answer. */
import { checkOptions, checkStrings } from "../arguments.js";
import { ShapeError, ValueError } from "../errors.js";
import { chart, type FigureOptions } from "./axes.js";
import type { Figure } from "./figure.js";
import { type Numbers, numbersOf } from "./values.js";

export interface ConfusionOptions extends FigureOptions {
  /** The classes' names; 0, 1, 2 … by default. */
  classes?: readonly string[];
  /** Shares of each row instead of counts. */
  normalize?: boolean;
  xlabel?: string;
  ylabel?: string;
}

/**
 * The confusion matrix of labels and predictions: whole numbers from 0.
 *
 * Errors: ShapeError when they differ in length, ValueError for what is no class.
 *
 * @example
 * plot.confusionMatrix([0, 1, 1, 2], [0, 1, 2, 2]);
 */
export function confusionMatrix(labels: Numbers, predictions: Numbers, options: ConfusionOptions = {}): Figure {
  checkOptions("confusionMatrix", options);
  const truth = numbersOf("confusionMatrix", labels, "labels");
  const answers = numbersOf("confusionMatrix", predictions, "predictions");
  if (truth.length !== answers.length) {
    throw new ShapeError(`confusionMatrix: ${truth.length} labels and ${answers.length} predictions`);
  }
  const odd = [...truth, ...answers].find((value) => !(Number.isInteger(value) && value >= 0 && value < 1000));
  if (odd !== undefined) throw new ValueError(`confusionMatrix: ${odd} is no class; classes are 0, 1, 2 …`);
  const highest = [...truth, ...answers].reduce((a, b) => Math.max(a, b), -1) + 1;
  const { classes = Array.from({ length: highest }, (_, i) => String(i)), normalize = false } = options;
  checkStrings("confusionMatrix", "classes", classes);
  if (classes.length < highest)
    throw new ValueError(`confusionMatrix: ${classes.length} classes, and one is ${highest - 1}`);
  const n = classes.length;
  const counts = new Array<number>(n * n).fill(0);
  for (const [i, row] of truth.entries()) {
    const at = row * n + (answers[i] as number);
    counts[at] = (counts[at] as number) + 1;
  }
  const cells = counts.map((count, at) => {
    const row = Math.floor(at / n);
    const total = counts.slice(row * n, row * n + n).reduce((a, b) => a + b, 0);
    const share = total === 0 ? 0 : count / total;
    return { row, column: at % n, share, text: count === 0 ? "" : normalize ? share.toFixed(2) : String(count) };
  });
  const side = Math.min(10, Math.max(4.2, 1.6 + n * 0.5));
  const long = Math.max(0, ...classes.map((name) => name.length)) > 3;
  const position = (field: string, title: string, labelAngle: number) => ({
    field,
    type: "ordinal",
    title,
    axis: {
      labelAngle,
      ticks: false,
      domain: false,
      grid: false,
      labelExpr: `${JSON.stringify(classes)}[datum.value]`,
    },
    scale: { padding: 0 },
  });
  return chart("confusionMatrix", { figsize: [side, side], ...options }, ({ background, text, grid }) => {
    const dark = background !== "#ffffff";
    const shades = dark ? [grid, "#2f81f7"] : ["#f6f8fa", "#0a4a8f"];
    const encoding = {
      x: position("column", options.xlabel ?? "predicted", long ? -40 : 0),
      y: position("row", options.ylabel ?? "label", 0),
    };
    return {
      data: { values: cells },
      layer: [
        {
          mark: { type: "rect", stroke: background, strokeWidth: 1 },
          encoding: {
            ...encoding,
            color: { field: "share", type: "quantitative", scale: { domain: [0, 1], range: shades }, legend: null },
          },
        },
        {
          mark: { type: "text", fontSize: n > 12 ? 8 : 11 },
          encoding: {
            ...encoding,
            text: { field: "text" },
            color: { condition: { test: "datum.share > 0.45", value: "#ffffff" }, value: text },
          },
        },
      ],
    };
  });
}
