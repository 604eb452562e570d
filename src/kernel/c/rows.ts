/**
 * The schedule of kernels whose vector axis is the last inner one: a row at a time, its folds stage by stage, then its stores.
 * What a stage folds and a later one needs again, as softmax its exponentials, is kept for the row. `split.ts` uses the fold of a
 * part of a row and the row's stores.
 */
import type { Expr, Fold } from "../ir.js";
import { below, foldBlock, isFloatSum, isHurriedSum, loadsAlone } from "../stages.js";
import { cConstant, cType } from "./expression.js";
import { combine, identity, watchesNaN } from "./fold.js";
import type { LoopNest, Range } from "./nest.js";

/** Blocks of a row that a fold which only loads reads side by side. */
const sideBySide = 4;
/** Rows shorter than so many chunks are not worth joining a chunk's accumulators. */
const leastChunks = 8;
/** Numbers that are summed at a time, each into an accumulator of its own: two vectors of float32. */
const chunkOf = (nest: LoopNest): number => Math.max(16, nest.vectors.bytes / 2);
/** Values of a row that a later stage needs again lie on the stack up to here. */
const keptOnStack = 2048;

const memoryFunctions = "void* malloc(unsigned long);\nvoid free(void*);";

export function renderRows(nest: LoopNest): void {
  const { outer } = nest.kernel;
  const { reductions, scan } = nest.stages;
  const whole = { from: "0", to: `n${nest.axis}` };
  const before = nest.innerAxes.slice(0, -1);
  const kept = keptValues(nest);
  if (kept.size > 0) nest.declare(memoryFunctions);
  for (const [e, name] of kept) {
    const type = cType[e.type];
    nest.line(`${type} ${name}_near[${keptOnStack}];`);
    nest.line(
      `${type}* const ${name} = ${whole.to} > ${keptOnStack} ? malloc(${whole.to} * sizeof(${type})) : ${name}_near;`,
    );
  }
  nest.open("for (long u = begin; u < end; u++)");
  nest.unit(outer);
  for (const stage of reductions) foldRow(nest, stage, whole, before, kept);
  storeRow(nest);
  if (scan !== null) scanRow(nest, scan, whole, before);
  else if (nest.hasStores("element")) nest.loops(before, () => nest.elements(whole));
  nest.close();
  for (const name of kept.values()) nest.line(`if (${name} != ${name}_near) free(${name});`);
}

/** What is folded in one stage and needed in a later one, if computing it costs more than reading it back; and its name. */
function keptValues(nest: LoopNest): ReadonlyMap<Expr, string> {
  const kept = new Map<Expr, string>();
  if (nest.kernel.inner !== 1 || nest.serial) return kept;
  const { reductions } = nest.stages;
  reductions.forEach((stage, s) => {
    const later = reductions.slice(s + 1).flatMap((next) => next.map((e) => e.args[0] as Expr));
    const needed = below([...later, ...nest.storeRoots("element")]);
    for (const e of stage) {
      const value = e.args[0] as Expr;
      if (needed.has(value) && below([value]).size > 12) kept.set(value, `kept${kept.size}`);
    }
  });
  return kept;
}

/** Folds a stage over `range` of the vector axis and all of the axes `before` it. */
export function foldRow(
  nest: LoopNest,
  stage: readonly Expr[],
  range: Range,
  before: readonly number[] = [],
  kept: ReadonlyMap<Expr, string> = new Map(),
): void {
  for (const e of stage) {
    nest.line(`${cType[e.type]} ${nest.fold(e)} = ${identity(e)};`);
    if (watchesNaN(e)) nest.line(`int ${nest.fold(e)}_nan = 0;`);
  }
  nest.loops(before, () => foldLoop(nest, stage, range, kept));
  for (const e of stage) {
    const r = nest.fold(e);
    if (watchesNaN(e)) nest.line(`if (${r}_nan) ${r} = ${cConstant(Number.NaN, e.type)};`);
  }
}

/** Folds a range, and with it the `count − 1` blocks after it; `apart` are folded by themselves before they join the row's. */
function foldBlocks(
  nest: LoopNest,
  stage: readonly Expr[],
  range: Range,
  apart: readonly Expr[],
  kept: ReadonlyMap<Expr, string>,
  count = 1,
): void {
  const accumulator = (e: Expr, at: number): string => nest.fold(e) + (apart.includes(e) ? `_${at}` : "");
  const parts = Array.from({ length: count }, (_, at) => at);
  for (const e of apart) for (const at of parts) nest.line(`${cType[e.type]} ${accumulator(e, at)} = ${identity(e)};`);
  /* What the loop is at, into what `target` names. */
  const take = (lines: string[], target: (e: Expr, at: number) => string): void => {
    const takeAll = (at: number): void => {
      for (const e of stage) {
        const t = target(e, at);
        const v = nest.value(e.args[0] as Expr, lines);
        const array = kept.get(e.args[0] as Expr);
        if (array !== undefined && !v.startsWith(array)) lines.push(`${array}[${nest.variable}] = ${v};`);
        if (watchesNaN(e)) {
          lines.push(`${t} = ${v} ${e.fold === "max" ? ">" : "<"} ${t} ? ${v} : ${t};`);
          lines.push(`${nest.fold(e)}_nan |= ${v} != ${v};`);
        } else lines.push(`${t} = ${combine(e, t, v)};`);
      }
    };
    if (count === 1) takeAll(0);
    else for (const at of parts) nest.shifted(at * foldBlock, lines, () => takeAll(at));
  };
  const roots = stage.map((e) => e.args[0] as Expr);
  const chunk = chunkOf(nest);
  const inChunks = !nest.serial && stage.every(isHurriedSum);
  if (inChunks) {
    nest.line(`long rest = ${range.from};`);
    nest.open(`if (${range.to} - rest >= ${leastChunks * chunk})`);
    foldChunks(nest, stage, parts, chunk, accumulator, (lanes) =>
      nest.chunkLoop("rest", range.to, chunk, roots, (lines) => take(lines, lanes)),
    );
    nest.close();
  }
  // Several blocks are whole chunks.
  if (!inChunks || count === 1) {
    const clauses = stage.flatMap((e) => {
      const sign = { sum: "+", prod: "*", max: "max", min: "min" }[e.fold as Fold];
      const clause = `reduction(${sign}:${parts.map((at) => accumulator(e, at)).join(", ")})`;
      return watchesNaN(e) ? [clause, `reduction(|:${nest.fold(e)}_nan)`] : [clause];
    });
    const rest = { from: inChunks ? "rest" : range.from, to: range.to };
    nest.vectorLoop(rest, roots, (lines) => take(lines, accumulator), clauses.join(" "));
  }
  for (const e of apart) {
    for (const at of parts) nest.line(`${nest.fold(e)} = ${combine(e, nest.fold(e), accumulator(e, at))};`);
  }
}

/**
 * Sums with an accumulator for each element of a chunk, which `loop` runs over: one vector of sums would wait for each addition.
 * They join by halves.
 */
function foldChunks(
  nest: LoopNest,
  stage: readonly Expr[],
  parts: readonly number[],
  chunk: number,
  accumulator: (e: Expr, at: number) => string,
  loop: (lanes: (e: Expr, at: number) => string) => void,
): void {
  const array = (e: Expr, at: number): string => `${nest.fold(e)}_lanes${at}`;
  const each = (f: (e: Expr, at: number) => void): void => {
    for (const e of stage) for (const at of parts) f(e, at);
  };
  each((e, at) => {
    nest.line(`${cType[e.type]} ${array(e, at)}[${chunk}] = {0};`);
  });
  loop((e, at) => `${array(e, at)}[chunk]`);
  // Written out, since loops of known length become vectors.
  for (let half = chunk / 2; half >= 1; half /= 2) {
    each((e, at) => {
      nest.line(`for (long c = 0; c < ${half}; c++) ${array(e, at)}[c] += ${array(e, at)}[c + ${half}];`);
    });
  }
  each((e, at) => {
    nest.line(`${accumulator(e, at)} += ${array(e, at)}[0];`);
  });
}

function foldLoop(nest: LoopNest, stage: readonly Expr[], range: Range, kept: ReadonlyMap<Expr, string>): void {
  // Float sums are summed in blocks, so that rounding grows with the number of blocks instead of the row's length.
  const blocked = stage.filter(isFloatSum);
  const folded = stage.map((e) => e.args[0] as Expr);
  const wide = !nest.serial && kept.size === 0 && loadsAlone(nest.kernel, folded);
  const { from, to } = range;
  if (blocked.length === 0 && !wide) foldBlocks(nest, stage, range, [], kept);
  else {
    nest.line(`long block = ${from};`);
    if (wide) {
      const whole = sideBySide * foldBlock;
      nest.open(`for (; ${to} - block >= ${whole}; block += ${whole})`);
      nest.line(`const long stop = block + ${foldBlock};`);
      foldBlocks(nest, stage, { from: "block", to: "stop" }, stage, kept, sideBySide);
      nest.close();
    }
    nest.open(`for (; block < ${to}; block += ${foldBlock})`);
    nest.line(`const long stop = ${to} - block < ${foldBlock} ? ${to} : block + ${foldBlock};`);
    foldBlocks(nest, stage, { from: "block", to: "stop" }, blocked, kept);
    nest.close();
  }
  // From the next stage on, what this one kept is read back.
  for (const e of stage) {
    const value = e.args[0] as Expr;
    const array = kept.get(value);
    if (array !== undefined) nest.readBack.set(value, array);
  }
}

function scanRow(nest: LoopNest, scan: Expr, whole: Range, before: readonly number[]): void {
  nest.line(`${cType[scan.type]} running = ${identity(scan)};`);
  nest.folds.set(scan, "running");
  nest.loops(before, () =>
    nest.vectorLoop(whole, nest.storeRoots("element"), (lines) => {
      const v = nest.value(scan.args[0] as Expr, lines);
      lines.push(`running = ${combine(scan, "running", v)};`);
      nest.store("element", lines);
    }),
  );
}

/** The stores of the row, `condition` before them. */
export function storeRow(nest: LoopNest, condition = ""): void {
  if (!nest.hasStores("row")) return;
  nest.open(condition);
  nest.straight((lines) => nest.store("row", lines));
  nest.close();
}
