/**
 * What can be known of a loop kernel before any code is written: how many lanes it may use, in which passes over the inner
 * axes it runs, and at which depth of the loop nest each expression starts to vary. `loop.ts` writes the code.
 *
 * Depths ("levels"): 0 is the launch, 1 a unit. Vector "inner": inner axis j is level 2 + j, and the last of them carries the
 * vectors. Vector "outer": the vector axis is level 2 and inner axis j is level 3 + j.
 */
import { bytesOf, type Expr, type LoopKernel, type Store, topological } from "../ir.js";
import { below, foldBlock, isFloatSum, isHurriedSum, loadsAlone } from "../stages.js";
import type { Lanes } from "./ops.js";

/** One run over the inner axes: reductions that need no other of this or a later pass, or the stores per element. */
export interface Pass {
  readonly reduces: readonly Expr[];
  readonly stores: readonly Store[];
  readonly scans: readonly Expr[];
  /** The expressions evaluated for every element. */
  readonly roots: readonly Expr[];
  /** The operands read or written through their views. */
  readonly slots: readonly number[];
}

/** `copies` vectors of `lanes` elements are in flight in one iteration along the vector axis, each `apart` elements from the last. */
export interface Variant {
  readonly copies: number;
  readonly lanes: Lanes;
  readonly apart: number;
}

/** Vectors side by side. */
const sideBySide = (copies: number, lanes: Lanes): Variant => ({ copies, lanes, apart: lanes });
export const single = sideBySide(1, 1);

function passOf(
  kernel: LoopKernel,
  reduces: readonly Expr[],
  stores: readonly Store[],
  kept: ReadonlyMap<Expr, number> = new Map(),
): Pass {
  const roots = [
    ...reduces.map((r) => r.args[0]),
    ...stores.flatMap((s) => (s.at === null ? [s.value] : [s.at, s.value])),
  ];
  const nodes = [...below(roots)];
  const slots = new Set<number>();
  for (const e of nodes) if (e.op === "load") slots.add(e.slot);
  for (const s of stores) if (s.at === null) slots.add(s.operand);
  for (const e of nodes) if (kept.has(e)) slots.add(kept.get(e) as number);
  for (const s of slots) if (s >= kernel.operands.length) throw new Error(`${kernel.name}: no operand ${s}`);
  return { reduces, stores, roots, slots: [...slots], scans: nodes.filter((e) => e.op === "scan") };
}

/** An expression of more nodes than this costs more to compute again than to read back. */
const cheap = 12;

/**
 * What a fold along rows computes and the element stores need again (softmax's exponentials) is stored in the row of a result,
 * which is written over at the end. So the row must be float32, lie in order, and nobody may read it.
 */
function keptIn(
  kernel: LoopKernel,
  stages: readonly (readonly Expr[])[],
  element: readonly Store[],
): Map<Expr, number> {
  const kept = new Map<Expr, number>();
  if (kernel.vector !== "inner" || kernel.inner !== 1 || kernel.stores.some((s) => s.at !== null)) return kept;
  const all = topological(kernel.stores.map((s) => s.value));
  if (all.some((e) => e.op === "scan")) return kept;
  const read = new Set(all.filter((e) => e.op === "load" || e.op === "gather").map((e) => e.slot));
  const rows = element.map((s) => s.operand).filter((o) => !read.has(o) && kernel.operands[o].type === "float32");
  const needed = below(element.map((s) => s.value));
  for (const { args } of stages.flat()) {
    const [value] = args;
    if (value.type !== "f32" || kept.has(value) || !needed.has(value) || below([value]).size <= cheap) continue;
    const row = rows.find((o) => kernel.operands[o].step === "unit" && ![...kept.values()].includes(o));
    if (row !== undefined) kept.set(value, row);
  }
  return kept;
}

export class Plan {
  readonly passes: readonly Pass[];
  /** Stores once a row, evaluated after all passes; empty where there are no inner axes (then all are per element). */
  readonly row: Pass;
  readonly variants: readonly Variant[];
  /** The widest vector in use. */
  readonly lanes: Lanes;
  /** Its axis, −1 if none. */
  readonly axis: number;
  /** A map that reads an operand across the vector axis, which may lie in order along another. */
  readonly tiled: boolean;
  /** The level of the innermost loop. */
  readonly depth: number;
  readonly uses = new Map<Expr, number>();
  /** What a pass folds and a later one needs again, and the result in whose row it lies until then. */
  readonly kept: ReadonlyMap<Expr, number>;
  private readonly levels = new Map<Expr, number>();

  constructor(readonly kernel: LoopKernel) {
    const { outer, inner, vector, stores } = kernel;
    this.axis = vector === "inner" ? (inner > 0 ? outer + inner - 1 : -1) : outer - 1;
    this.depth = (vector === "inner" ? 1 : 2) + inner;
    const element = stores.filter((s) => inner === 0 || s.per === "element");
    const stages: Expr[][] = [];
    const depths = new Map<Expr, number>();
    const all = topological(stores.flatMap((s) => (s.at === null ? [s.value] : [s.at, s.value])));
    for (const e of all) {
      let depth = 0;
      for (const a of e.args) {
        depth = Math.max(depth, depths.get(a) ?? 0);
        this.uses.set(a, (this.uses.get(a) ?? 0) + 1);
      }
      if (e.op === "reduce") {
        stages[depth] ??= [];
        stages[depth].push(e);
        depth++;
      }
      depths.set(e, depth);
    }
    this.kept = keptIn(kernel, stages, element);
    const passes = stages.map((reduces) => passOf(kernel, reduces, [], this.kept));
    if (element.length > 0) passes.push(passOf(kernel, [], element));
    this.passes = passes;
    this.row = passOf(
      kernel,
      [],
      stores.filter((s) => inner > 0 && s.per === "row"),
    );
    for (const pass of [...passes, this.row]) for (const r of pass.roots) this.uses.set(r, (this.uses.get(r) ?? 0) + 1);

    const scans = all.some((e) => e.op === "scan");
    const serial = this.axis < 0 || stores.some((s) => s.at !== null) || (scans && vector === "inner");
    this.lanes = serial ? 1 : lanesOf(kernel, all);
    this.tiled =
      !serial &&
      vector === "outer" &&
      inner === 0 &&
      all.some((e) => e.op === "load" && kernel.operands[e.slot].step === "strided");
    const size = all.reduce((n, e) => n + (e.args.length > 0 ? 1 : 0), 0);
    // A row's sums have as many accumulators whatever is summed: a map that joins them must not change their digits.
    const rows = stages.length > 0 && vector === "inner";
    const copies = serial ? 1 : rows || size <= 24 ? 4 : size <= 48 && stages.length > 0 ? 2 : 1;
    const variants = [sideBySide(copies, this.lanes)];
    if (copies > 1) variants.push(sideBySide(1, this.lanes));
    if (this.lanes > 1) variants.push(single);
    this.variants = variants;
  }

  /**
   * How a pass that folds goes through blocks of a row, if it does: for sums that is not to depend on how much the pass computes, since
   * it shows in their digits.
   */
  blocks({ reduces, roots }: Pass): Variant | null {
    const { copies, lanes } = this.variants[0];
    if (copies === 1 || reduces.length === 0) return null;
    const wanted = reduces.some(isFloatSum)
      ? reduces.every(isHurriedSum)
      : this.kept.size === 0 && loadsAlone(this.kernel, roots);
    return wanted ? { copies, lanes, apart: foldBlock } : null;
  }

  /** The level at which `e`, evaluated for every element of a pass, starts to vary. */
  levelOf(e: Expr): number {
    const known = this.levels.get(e);
    if (known !== undefined) return known;
    const level = this.find(e);
    this.levels.set(e, level);
    return level;
  }

  private find(e: Expr): number {
    const { outer, inner, vector, operands } = this.kernel;
    switch (e.op) {
      case "const":
      case "scalar":
        return 0;
      case "index":
        if (e.slot >= outer) return (vector === "inner" ? 2 : 3) + e.slot - outer;
        return e.slot === this.axis ? 2 : 1;
      case "load":
        // strides are known at launch only, so a load varies with every loop that its step does not exclude
        if (this.axis >= 0 && operands[e.slot].step === "uniform" && (vector === "inner" || inner === 0))
          return this.depth - 1;
        return this.depth;
      case "gather": // not hoisted: its index may be rubbish where the loop runs no iteration
      case "scan":
        return this.depth;
      case "reduce":
        return vector === "inner" ? 1 : 2;
      default:
        return e.args.reduce((level, a) => Math.max(level, this.levelOf(a)), 0);
    }
  }
}

/** 4 lanes if every register has 32 bits, otherwise 2. */
function lanesOf(kernel: LoopKernel, nodes: readonly Expr[]): Lanes {
  const wide =
    nodes.some((e) => e.type === "f64" || e.type === "i64") || kernel.operands.some((o) => bytesOf[o.type] === 8);
  return wide ? 2 : 4;
}
