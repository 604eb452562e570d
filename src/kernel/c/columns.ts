/**
 * The schedule of kernels whose vector axis is the last outer one: maps, and folds and scans down columns. Folds run over blocks of columns
 * side by side, each with an accumulator of its own. `split.ts` uses the same blocks for parts of the columns; maps with strided
 * operands are left to `tiles.ts`.
 */
import type { Expr } from "../ir.js";
import { cType } from "./expression.js";
import { combine, identity } from "./fold.js";
import type { LoopNest, Range } from "./nest.js";
import { renderTiles, turned } from "./tiles.js";

/** Outputs folded side by side: long runs of each row, accumulators in the L1 cache. */
const lanes = 2048;
const width: Range = { from: "0", to: "width" };

/** `elements` writes the stores of a map from one index of the vector axis to another. */
export function renderColumns(nest: LoopNest, elements: (range: Range) => void): void {
  const { outer, inner } = nest.kernel;
  if (inner === 0 && outer > 1 && turned(nest).size > 0) {
    renderTiles(nest, elements);
    return;
  }
  if (outer > 1) {
    nest.open("for (long u = begin; u < end; u++)");
    nest.unit(nest.axis);
    nest.line(`const long from = 0, to = n${nest.axis};`);
  } else {
    nest.move("q", "p", []);
    nest.line("const long from = begin, to = end;");
  }
  if (inner === 0) elements({ from: "from", to: "to" });
  else {
    columnBlocks(nest, () => {
      for (const stage of nest.stages.reductions) foldColumns(nest, stage);
      storeColumns(nest);
    });
  }
  if (outer > 1) nest.close();
}

/** Runs `body` for `width` columns at a time, from `base`. */
export function columnBlocks(nest: LoopNest, body: () => void): void {
  nest.open(`for (long base = from; base < to; base += ${lanes})`);
  nest.line(`const long width = to - base < ${lanes} ? to - base : ${lanes};`);
  body();
  nest.close();
}

/** Folds a stage down the columns of a block, or down a part of them. */
export function foldColumns(nest: LoopNest, stage: readonly Expr[], part?: Range): void {
  for (const e of stage) nest.line(`${cType[e.type]} ${nest.fold(e)}[${lanes}];`);
  for (const e of stage) nest.line(`for (long l = 0; l < width; l++) ${nest.fold(e)}[l] = ${identity(e)};`);
  const values = stage.map((e) => e.args[0] as Expr);
  nest.loops(
    nest.innerAxes,
    () =>
      nest.vectorLoop(width, values, (lines) => {
        for (const e of stage) {
          const name = `${nest.fold(e)}[l]`;
          lines.push(`${name} = ${combine(e, name, nest.value(e.args[0] as Expr, lines))};`);
        }
      }),
    part,
  );
}

/** The stores of a block; of each column's own under `condition`, of its elements in the part. */
export function storeColumns(nest: LoopNest, part?: Range, condition = ""): void {
  if (nest.hasStores("row")) {
    if (condition !== "") nest.line(condition);
    nest.vectorLoop(width, nest.storeRoots("row"), (lines) => nest.store("row", lines));
  }
  const { scan } = nest.stages;
  if (scan !== null) scanColumns(nest, scan);
  else if (nest.hasStores("element")) nest.loops(nest.innerAxes, () => nest.elements(width), part);
}

function scanColumns(nest: LoopNest, scan: Expr): void {
  nest.line(`${cType[scan.type]} running[${lanes}];`);
  nest.line(`for (long l = 0; l < width; l++) running[l] = ${identity(scan)};`);
  nest.folds.set(scan, "running[l]");
  nest.loops(nest.innerAxes, () =>
    nest.vectorLoop(width, nest.storeRoots("element"), (lines) => {
      lines.push(`running[l] = ${combine(scan, "running[l]", nest.value(scan.args[0] as Expr, lines))};`);
      nest.store("element", lines);
    }),
  );
}
