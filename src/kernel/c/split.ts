/**
 * The schedule of long folds: the folded axis is cut into parts that run apart, so that all threads have work where there are few
 * outputs. Which parts there are depends on sizes alone, so that results do not depend on threads. The folds themselves, and the
 * stores, are those of `rows.ts` and `columns.ts`, over a part.
 *
 * A split kernel runs in phases: for each stage of reductions the partial folds of every part (units: parts × folds, or ×
 * outer units but the vector axis), then their fold (units: outputs); at last the stores (units as for partial folds).
 */
import type { Expr, LoopKernel } from "../ir.js";
import { isSerial, stagesOf } from "../stages.js";
import { columnBlocks, foldColumns, storeColumns } from "./columns.js";
import { cType } from "./expression.js";
import { combine } from "./fold.js";
import type { LoopNest, Range } from "./nest.js";
import { foldRow, storeRow } from "./rows.js";

/** These arguments follow the others. */
const splitArguments = ["scratch", "phase", "parts", "length", "outputs"] as const;

/** Only folds over one axis are cut; scans and scatters run in order. */
export function splits(kernel: LoopKernel): boolean {
  const stages = stagesOf(kernel);
  return kernel.inner === 1 && stages.reductions.length > 0 && stages.scan === null && !isSerial(kernel);
}
/** Bytes of scratch that a split kernel needs. */
export const splitScratch = (kernel: LoopKernel, parts: number, outputs: number): number =>
  stagesOf(kernel).reductions.flat().length * (parts + 1) * outputs * 8;
export const splitPhases = (kernel: LoopKernel): number => 2 * stagesOf(kernel).reductions.length + 1;

export function renderSplit(nest: LoopNest): void {
  const { reductions } = nest.stages;
  declareScratch(nest);
  const finished: Expr[] = [];
  reductions.forEach((stage, s) => {
    nest.open(`if (phase == ${2 * s})`);
    eachPart(nest, finished, () => foldPart(nest, stage));
    nest.close();
    nest.open(`if (phase == ${2 * s + 1})`);
    foldParts(nest, stage);
    nest.close();
    finished.push(...stage);
  });
  nest.open(`if (phase == ${2 * reductions.length})`);
  eachPart(nest, finished, () => storePart(nest));
  nest.close();
}

/** For each fold r, `r_parts` of every part, and `r_whole` of the whole axis. */
function declareScratch(nest: LoopNest): void {
  splitArguments.forEach((name, i) => {
    const argument = `A[${nest.argumentsEnd + i}]`;
    nest.line(
      name === "scratch"
        ? `char* const scratch = (char*)(unsigned long)${argument};`
        : `const long ${name} = (long)${argument};`,
    );
  });
  [...nest.folds].forEach(([e, r], f) => {
    const t = cType[e.type];
    nest.line(`${t}* const ${r}_parts = (${t}*)(scratch + ${f} * (parts + 1) * outputs * 8);`);
    nest.line(`${t}* const ${r}_whole = (${t}*)(scratch + (${f} * (parts + 1) + parts) * outputs * 8);`);
  });
}

const partRange: Range = { from: "lower", to: "upper" };

/** Runs `body` for every part, whose ends are `lower` and `upper`; the folds that are finished have their names there. */
function eachPart(nest: LoopNest, finished: readonly Expr[], body: () => void): void {
  const { outer } = nest.kernel;
  nest.open("for (long unit = begin; unit < end; unit++)");
  nest.line("const long u = unit / parts, part = unit % parts;");
  nest.line(`const long lower = part * length, upper = n${outer} - lower < length ? n${outer} : lower + length;`);
  nest.unit(nest.axis);
  if (nest.lane) {
    nest.line(`const long from = 0, to = n${nest.axis}, column = u * n${nest.axis};`);
    columnBlocks(nest, () => {
      for (const e of finished) {
        const r = nest.fold(e);
        nest.line(`const ${cType[e.type]}* const ${r} = ${r}_whole + column + base;`);
      }
      body();
    });
  } else {
    for (const e of finished) nest.line(`const ${cType[e.type]} ${nest.fold(e)} = ${nest.fold(e)}_whole[u];`);
    body();
  }
  nest.close();
}

function foldPart(nest: LoopNest, stage: readonly Expr[]): void {
  if (nest.lane) foldColumns(nest, stage, partRange);
  else foldRow(nest, stage, partRange);
  for (const e of stage) {
    const r = nest.fold(e);
    nest.line(
      nest.lane
        ? `for (long l = 0; l < width; l++) ${r}_parts[part * outputs + column + base + l] = ${r}[l];`
        : `${r}_parts[part * outputs + u] = ${r};`,
    );
  }
}

function foldParts(nest: LoopNest, stage: readonly Expr[]): void {
  for (const e of stage) {
    const r = nest.fold(e);
    nest.line(`for (long o = begin; o < end; o++) ${r}_whole[o] = ${r}_parts[o];`);
    nest.open("for (long part = 1; part < parts; part++)");
    nest.line("#pragma GCC ivdep");
    nest.open("for (long o = begin; o < end; o++)");
    nest.line(`const ${cType[e.type]} v = ${r}_parts[part * outputs + o];`);
    nest.line(`${r}_whole[o] = ${combine(e, `${r}_whole[o]`, "v")};`);
    nest.close();
    nest.close();
  }
}

/** Elements are stored by the part that they lie in; what stands once for an output, by the first. */
function storePart(nest: LoopNest): void {
  const once = "if (part == 0)";
  if (nest.lane) {
    storeColumns(nest, partRange, once);
    return;
  }
  storeRow(nest, once);
  if (nest.hasStores("element")) nest.loops([], () => nest.elements(partRange));
}
