/**
 * Renders a loop kernel as one C function of plain loops that compilers vectorise: `#pragma omp simd` on reductions,
 * `ivdep` on maps. What does not move with the vector axis is computed before the loop. Threads are the engine's matter:
 * the function runs units `begin` to `end`.
 */
import type { Expr, Fold, LoopKernel, ValueType } from "../ir.js";
import { topological } from "../ir.js";
import { isSerial, layoutOf, stagesOf } from "../stages.js";
import { cConstant, cStorage, cType, emitExpr, emitPlace, type Names } from "./expression.js";

/** Float sums longer than this are summed in blocks, so that rounding grows with the number of blocks instead. */
const sumBlock = 4096;
/** Outputs folded side by side when the vector axis is an outer one: long runs of each row, accumulators in the L1 cache. */
const lanes = 2048;
/** Elements computed into a block before they are streamed out. */
const streamBlock = 1024;
/** A strided operand is read by tiles of so many units and elements, so that each cache line is fetched once. */
const tileRows = 64;
const tileColumns = 64;
/** Values of a row that a later stage needs again lie on the stack up to here. */
const keptOnStack = 2048;

/**
 * How a kernel is written out:
 * - `plain`: as the kernel language says;
 * - `stream`: element stores bypass the cache, for results so large that they would only push other data out of it;
 * - `split`: the folded axis is cut into parts that run apart, see `splitArguments`.
 */
export type Schedule = "plain" | "stream" | "split";

/**
 * A split kernel runs in phases: for each stage of reductions the partial folds of every part (units: parts × folds, or ×
 * outer units but the vector axis), then their fold (units: outputs); at last the stores (units as for partial folds). These
 * arguments follow the others. Which parts there are depends on sizes alone, so that results do not depend on threads.
 */
export const splitArguments = ["scratch", "phase", "parts", "length", "outputs"] as const;

/** Only folds over one axis split; scans and scatters run in order. */
export function splits(kernel: LoopKernel): boolean {
  const stages = stagesOf(kernel);
  return kernel.inner === 1 && stages.reductions.length > 0 && stages.scan === null && !isSerial(kernel);
}
/** Bytes of scratch that a split kernel needs. */
export const splitScratch = (kernel: LoopKernel, parts: number, outputs: number): number =>
  stagesOf(kernel).reductions.flat().length * (parts + 1) * outputs * 8;
export const splitPhases = (kernel: LoopKernel): number => 2 * stagesOf(kernel).reductions.length + 1;

/**
 * Maps whose results all lie in order and are not read. (What a fold along rows stores is soon read again, most often by its
 * gradient: streaming it was slower.)
 */
export function streams(kernel: LoopKernel): boolean {
  if (kernel.inner > 0 || isSerial(kernel)) return false;
  const written = new Set(kernel.stores.map((s) => s.operand));
  return (
    kernel.stores.every((s) => kernel.operands[s.operand]?.step === "unit") &&
    !topological(kernel.stores.map((s) => s.value)).some(
      (e) => (e.op === "load" || e.op === "gather") && written.has(e.slot),
    )
  );
}

export function renderLoop(kernel: LoopKernel, schedule: Schedule = "plain"): string {
  return new LoopRenderer(kernel, schedule).render();
}

class LoopRenderer {
  private readonly out: string[] = [];
  private depth = 1;
  private readonly layout;
  private readonly stages;
  private readonly folds = new Map<Expr, string>();
  private readonly serial: boolean;
  private readonly moving = new Map<Expr, boolean>();
  private readonly lane: boolean;

  constructor(
    private readonly kernel: LoopKernel,
    private readonly schedule: Schedule,
  ) {
    this.layout = layoutOf(kernel);
    this.stages = stagesOf(kernel);
    this.serial = isSerial(kernel) || this.stages.scan !== null;
    this.lane = kernel.vector === "outer" && kernel.inner > 0;
    let n = 0;
    for (const stage of this.stages.reductions) for (const e of stage) this.folds.set(e, `r${n++}`);
  }

  private line(text: string): void {
    this.out.push("  ".repeat(this.depth) + text);
  }
  private open(text: string): void {
    this.line(`${text} {`);
    this.depth += 1;
  }
  private close(): void {
    this.depth -= 1;
    this.line("}");
  }

  private pointer(operand: number): string {
    const t = cStorage[(this.kernel.operands[operand] as { type: keyof typeof cStorage }).type];
    const stored = this.kernel.stores.some((s) => s.operand === operand);
    return stored ? `${t}*` : `const ${t}*`;
  }

  render(): string {
    const { kernel, layout } = this;
    if (this.schedule === "stream") this.out.push(streamFunction);
    if (this.schedule === "plain" && kernel.vector === "inner") this.findKept();
    if (this.kept.size > 0) this.out.push(memoryFunctions);
    this.out.push(`void run(const double* A, long begin, long end) {`);
    kernel.operands.forEach((_, i) => {
      this.line(`${this.pointer(i)} const p${i} = (${this.pointer(i)})(unsigned long)A[${i}];`);
    });
    for (let a = 0; a < layout.axes; a++) this.line(`const long n${a} = (long)A[${layout.size(a)}];`);
    kernel.operands.forEach((_, i) => {
      for (let a = 0; a < layout.axes; a++) {
        if (!this.isVector(a)) this.line(`const long s${i}_${a} = (long)A[${layout.stride(i, a)}];`);
        else if (kernel.operands[i]?.step === "strided") {
          this.line(`const long s${i}_${a} = (long)A[${layout.stride(i, a)}];`);
        }
      }
    });
    kernel.scalars.forEach((type, i) => {
      const wide = type === "u32" ? "(unsigned)(long long)" : `(${cType[type]})`;
      this.line(`const ${cType[type]} c${i} = ${wide}A[${layout.scalar(i)}];`);
    });
    if (this.schedule === "split") this.renderSplit();
    else if (kernel.vector === "inner") this.renderRows();
    else this.renderColumns();
    if (this.schedule === "stream") this.line("stream_end();");
    this.out.push("}");
    return this.out.join("\n");
  }

  private isVector(axis: number): boolean {
    const { outer, inner, vector } = this.kernel;
    return axis === (vector === "inner" ? outer + inner - 1 : outer - 1);
  }

  /** Declares the index of each axis in `axes` from the flat `u`, and the operand pointers there. */
  private decompose(axes: number, name: string, from: string): void {
    if (axes > 0) {
      if (axes === 1) this.line("const long i0 = u;");
      else {
        this.line("long rest = u;");
        for (let a = axes - 1; a > 0; a--) this.line(`const long i${a} = rest % n${a}; rest /= n${a};`);
        this.line("const long i0 = rest;");
      }
    }
    this.move(
      name,
      from,
      Array.from({ length: axes }, (_, a) => a),
    );
  }

  private move(name: string, from: string, axes: readonly number[]): void {
    this.kernel.operands.forEach((_, i) => {
      const terms = axes.map((a) => ` + i${a} * s${i}_${a}`).join("");
      this.line(`${this.pointer(i)} const ${name}${i} = ${from}${i}${terms};`);
    });
  }

  /** vector = "outer": maps, and folds down columns. */
  private renderColumns(): void {
    const { outer, inner } = this.kernel;
    const last = outer - 1;
    if (inner === 0 && outer > 1 && this.tiled.size > 0) {
      this.renderTiles(last);
      return;
    }
    if (outer > 1) {
      this.open("for (long u = begin; u < end; u++)");
      this.decompose(last, "q", "p");
      this.line(`const long from = 0, to = n${last};`);
    } else {
      this.move("q", "p", []);
      this.line("const long from = begin, to = end;");
    }
    if (inner > 0) this.renderColumnFolds(last);
    else this.elements(last, "from", "to");
    if (outer > 1) this.close();
  }

  private elementLoop(last: number, from: string, to: string): void {
    const elements = this.kernel.stores.filter((s) => s.per === "element");
    this.vectorLoop(
      last,
      from,
      to,
      elements.map((s) => [s.value, s.at]),
      (body) => this.store("element", body),
    );
  }

  /** The element stores from `from` to `to`; a streamed result by way of a block in the cache. */
  private elements(last: number, from: string, to: string): void {
    if (this.schedule !== "stream") {
      this.elementLoop(last, from, to);
      return;
    }
    this.open(`for (long block = ${from}; block < ${to}; block += ${streamBlock})`);
    this.line(`const long stop = ${to} - block < ${streamBlock} ? ${to} : block + ${streamBlock};`);
    const stored = new Set(this.kernel.stores.map((s) => s.operand));
    for (const o of stored) {
      const type = cStorage[this.kernel.operands[o]?.type ?? "float32"];
      this.line(`${type} block${o}[${streamBlock}] __attribute__((aligned(64)));`);
      this.staged.set(o, `block${o}[${this.vectorVariable(last)} - block]`);
    }
    this.elementLoop(last, "block", "stop");
    for (const o of stored) {
      this.line(`stream(${this.cursor}${o} + block, block${o}, (stop - block) * sizeof *block${o});`);
      this.staged.delete(o);
    }
    this.close();
  }

  /** Operands read with a stride along the vector axis, where another axis may be the one they lie in order along. */
  private get tiled(): ReadonlySet<number> {
    const found = new Set<number>();
    if (this.serial) return found;
    for (const e of topological(this.kernel.stores.map((s) => s.value))) {
      if (e.op === "load" && this.kernel.operands[e.slot]?.step === "strided") found.add(e.slot);
    }
    for (const s of this.kernel.stores) found.delete(s.operand);
    return found;
  }

  /** A map over two axes or more with strided operands: tiles of them are turned in the cache. */
  private renderTiles(last: number): void {
    const tiled = [...this.tiled];
    const row = last - 1;
    for (const o of tiled) {
      const type = cStorage[this.kernel.operands[o]?.type ?? "float32"];
      this.line(`${type} tile${o}[${tileRows}][${tileColumns}] __attribute__((aligned(64)));`);
    }
    this.line("long group;");
    this.open("for (long u = begin; u < end; u += group)");
    this.decompose(last, "q", "p");
    this.line(`group = n${row} - i${row} < ${tileRows} ? n${row} - i${row} : ${tileRows};`);
    this.line("if (group > end - u) group = end - u;");
    this.open(`for (long left = 0; left < n${last}; left += ${tileColumns})`);
    this.line(`const long right = n${last} - left < ${tileColumns} ? n${last} : left + ${tileColumns};`);
    for (const o of tiled) {
      const source = `q${o}[g * s${o}_${row} + j * s${o}_${last}]`;
      // The full tile apart: with a known number of rows the loop over them is unrolled.
      this.line(`if (group == ${tileRows}) for (long j = left; j < right; j++) for (long g = 0; g < ${tileRows}; g++)`);
      this.line(`  tile${o}[g][j - left] = ${source};`);
      this.line("else for (long j = left; j < right; j++) for (long g = 0; g < group; g++)");
      this.line(`  tile${o}[g][j - left] = ${source};`);
    }
    this.open("for (long g = 0; g < group; g++)");
    this.line(`const long first = i${row};`);
    this.open("");
    this.line(`const long i${row} = first + g;`);
    this.kernel.operands.forEach((_, i) => {
      this.line(`${this.pointer(i)} const w${i} = q${i} + g * s${i}_${row};`);
    });
    this.cursor = "w";
    const variable = this.vectorVariable(last);
    for (const o of tiled) this.staged.set(o, `tile${o}[g][${variable} - left]`);
    this.elements(last, "left", "right");
    this.staged.clear();
    this.cursor = "q";
    for (let i = 0; i < 4; i++) this.close();
  }

  private renderColumnFolds(last: number): void {
    this.openLanes();
    for (const stage of this.stages.reductions) {
      for (const e of stage) this.line(`${cType[e.type]} ${this.folds.get(e)}[${lanes}];`);
      this.foldColumns(stage, last);
    }
    this.storeColumns(last);
    this.close();
  }

  private openLanes(): void {
    this.open(`for (long base = from; base < to; base += ${lanes})`);
    this.line(`const long width = to - base < ${lanes} ? to - base : ${lanes};`);
  }

  private get innerAxes(): number[] {
    return Array.from({ length: this.kernel.inner }, (_, j) => this.kernel.outer + j);
  }

  private foldColumns(stage: readonly Expr[], last: number): void {
    for (const e of stage) this.line(`for (long l = 0; l < width; l++) ${this.folds.get(e)}[l] = ${identity(e)};`);
    this.nest(this.innerAxes, () => {
      this.vectorLoop(
        last,
        "0",
        "width",
        stage.map((e) => [e.args[0] as Expr, null]),
        (body) => {
          for (const e of stage) {
            const name = `${this.folds.get(e)}[l]`;
            body.push(`${name} = ${combine(e, name, this.value(e.args[0] as Expr, body))};`);
          }
        },
      );
    });
  }

  private storeColumns(last: number, rowsIf = ""): void {
    const rows = this.kernel.stores.filter((s) => s.per === "row");
    if (rows.length > 0) {
      if (rowsIf !== "") this.line(rowsIf);
      this.vectorLoop(
        last,
        "0",
        "width",
        rows.map((s) => [s.value, s.at]),
        (body) => this.store("row", body),
      );
    }
    if (rows.length < this.kernel.stores.length) this.nest(this.innerAxes, () => this.elementLoop(last, "0", "width"));
  }

  /** vector = "inner": a row at a time. */
  private renderRows(): void {
    const { outer, inner, stores } = this.kernel;
    const last = outer + inner - 1;
    const before = Array.from({ length: inner - 1 }, (_, j) => outer + j);
    for (const [e, name] of this.kept) {
      this.line(`${cType[e.type]} ${name}_near[${keptOnStack}];`);
      this.line(
        `${cType[e.type]}* const ${name} = n${last} > ${keptOnStack} ? malloc(n${last} * sizeof(${cType[e.type]})) : ${name}_near;`,
      );
    }
    this.open("for (long u = begin; u < end; u++)");
    this.decompose(outer, "q", "p");
    for (const stage of this.stages.reductions) {
      this.declareFolds(stage);
      this.nest(before, () => this.foldRow(stage, last, "0", `n${last}`));
      this.finishFolds(stage);
    }
    this.storeRow();
    const elements = stores.filter((s) => s.per === "element");
    const { scan } = this.stages;
    if (scan !== null) {
      this.line(`${cType[scan.type]} running = ${identity(scan)};`);
      this.nest(before, () =>
        this.vectorLoop(
          last,
          "0",
          `n${last}`,
          elements.map((s) => [s.value, s.at]),
          (body) => {
            const v = this.value(scan.args[0] as Expr, body);
            body.push(`running = ${combine(scan, "running", v)};`);
            this.folds.set(scan, "running");
            this.store("element", body);
          },
        ),
      );
    } else if (elements.length > 0) this.nest(before, () => this.elementLoop(last, "0", `n${last}`));
    this.close();
    for (const name of this.kept.values()) this.line(`if (${name} != ${name}_near) free(${name});`);
  }

  private declareFolds(stage: readonly Expr[]): void {
    for (const e of stage) {
      this.line(`${cType[e.type]} ${this.folds.get(e)} = ${identity(e)};`);
      if (watchesNaN(e)) this.line(`int ${this.folds.get(e)}_nan = 0;`);
    }
  }

  private finishFolds(stage: readonly Expr[]): void {
    for (const e of stage) {
      const r = this.folds.get(e) as string;
      if (watchesNaN(e)) this.line(`if (${r}_nan) ${r} = ${cConstant(Number.NaN, e.type)};`);
    }
  }

  private storeRow(condition = ""): void {
    if (!this.kernel.stores.some((s) => s.per === "row")) return;
    this.open(condition);
    const body: string[] = [];
    this.done = new Map();
    this.vector = null;
    this.store("row", body);
    for (const text of body) this.line(text);
    this.close();
  }

  /** What a stage folds and a later one needs again is kept for the row, if computing it costs more than reading it back. */
  private findKept(): void {
    if (this.kernel.inner !== 1 || this.serial) return;
    const later = (from: number): Set<Expr> => {
      const roots = this.stages.reductions.slice(from).flatMap((stage) => stage.map((e) => e.args[0] as Expr));
      for (const s of this.kernel.stores) if (s.per === "element") roots.push(s.value);
      return below(roots);
    };
    this.stages.reductions.forEach((stage, s) => {
      const needed = later(s + 1);
      for (const e of stage) {
        const value = e.args[0] as Expr;
        if (needed.has(value) && below([value]).size > 12) this.kept.set(value, `kept${this.kept.size}`);
      }
    });
  }

  /** Phases of a split kernel, see `splitArguments`. */
  private renderSplit(): void {
    const { kernel, lane } = this;
    const { outer } = kernel;
    const last = lane ? outer - 1 : outer;
    const at = this.layout.scalar(kernel.scalars.length);
    splitArguments.forEach((name, i) => {
      this.line(
        name === "scratch"
          ? `char* const scratch = (char*)(unsigned long)A[${at + i}];`
          : `const long ${name} = (long)A[${at + i}];`,
      );
    });
    const all = [...this.folds.keys()];
    all.forEach((e, f) => {
      const t = cType[e.type];
      const r = this.folds.get(e) as string;
      this.line(`${t}* const ${r}_parts = (${t}*)(scratch + ${f} * (parts + 1) * outputs * 8);`);
      this.line(`${t}* const ${r}_whole = (${t}*)(scratch + (${f} * (parts + 1) + parts) * outputs * 8);`);
    });
    const [output, element] = lane ? ["column + base + l", "[l]"] : ["u", ""];
    const eachPart = (finished: readonly Expr[], body: () => void): void => {
      this.open("for (long unit = begin; unit < end; unit++)");
      this.line("const long u = unit / parts, part = unit % parts;");
      this.line(`const long lower = part * length, upper = n${outer} - lower < length ? n${outer} : lower + length;`);
      this.decompose(lane ? last : outer, "q", "p");
      if (lane) {
        this.line(`const long from = 0, to = n${last}, column = u * n${last};`);
        this.openLanes();
      }
      for (const e of finished) {
        const r = this.folds.get(e) as string;
        if (!lane) this.line(`const ${cType[e.type]} ${r} = ${r}_whole[u];`);
        else this.line(`const ${cType[e.type]}* const ${r} = ${r}_whole + column + base;`);
      }
      body();
      if (lane) this.close();
      this.close();
    };
    const finished: Expr[] = [];
    this.stages.reductions.forEach((stage, s) => {
      this.open(`if (phase == ${2 * s})`);
      eachPart(finished, () => {
        if (lane) {
          for (const e of stage) this.line(`${cType[e.type]} ${this.folds.get(e)}[${lanes}];`);
          this.foldColumns(stage, last);
        } else {
          this.declareFolds(stage);
          this.nest([], () => this.foldRow(stage, last, "lower", "upper"));
          this.finishFolds(stage);
        }
        for (const e of stage) {
          const r = this.folds.get(e) as string;
          const loop = lane ? "for (long l = 0; l < width; l++) " : "";
          this.line(`${loop}${r}_parts[part * outputs + ${output}] = ${r}${element};`);
        }
      });
      this.close();
      this.open(`if (phase == ${2 * s + 1})`);
      for (const e of stage) {
        const r = this.folds.get(e) as string;
        this.line(`for (long o = begin; o < end; o++) ${r}_whole[o] = ${r}_parts[o];`);
        this.open("for (long part = 1; part < parts; part++)");
        this.line("#pragma GCC ivdep");
        this.open("for (long o = begin; o < end; o++)");
        this.line(`const ${cType[e.type]} v = ${r}_parts[part * outputs + o];`);
        this.line(`${r}_whole[o] = ${combine(e, `${r}_whole[o]`, "v")};`);
        this.close();
        this.close();
      }
      this.close();
      finished.push(...stage);
    });
    this.open(`if (phase == ${2 * this.stages.reductions.length})`);
    eachPart(finished, () => {
      if (lane) this.storeColumns(last, "if (part == 0)");
      else {
        this.storeRow("if (part == 0)");
        if (kernel.stores.some((s) => s.per === "element"))
          this.nest([], () => this.elementLoop(last, "lower", "upper"));
      }
    });
    this.close();
  }

  private foldRow(stage: readonly Expr[], last: number, from: string, to: string): void {
    const blocked = stage.filter((e) => e.fold === "sum" && (e.type === "f32" || e.type === "f64"));
    const roots: [Expr, Expr | null][] = stage.map((e) => [e.args[0] as Expr, null]);
    const clauses: string[] = [];
    for (const e of stage) {
      const r = this.folds.get(e) as string;
      const sign = { sum: "+", prod: "*", max: "max", min: "min" }[e.fold as Fold];
      clauses.push(`reduction(${sign}:${blocked.includes(e) ? `${r}_part` : r})`);
      if (watchesNaN(e)) clauses.push(`reduction(|:${r}_nan)`);
    }
    const body = (lines: string[]): void => {
      for (const e of stage) {
        const r = this.folds.get(e) as string;
        const target = blocked.includes(e) ? `${r}_part` : r;
        const v = this.value(e.args[0] as Expr, lines);
        const kept = this.kept.get(e.args[0] as Expr);
        if (kept !== undefined && !v.startsWith(kept)) {
          lines.push(`${kept}[i${last}] = ${v};`);
        }
        if (watchesNaN(e)) {
          lines.push(`${target} = ${v} ${e.fold === "max" ? ">" : "<"} ${target} ? ${v} : ${target};`);
          lines.push(`${r}_nan |= ${v} != ${v};`);
        } else lines.push(`${target} = ${combine(e, target, v)};`);
      }
    };
    if (blocked.length === 0) {
      this.vectorLoop(last, from, to, roots, body, clauses.join(" "));
      this.keepFrom(stage);
      return;
    }
    this.open(`for (long block = ${from}; block < ${to}; block += ${sumBlock})`);
    this.line(`const long stop = ${to} - block < ${sumBlock} ? ${to} : block + ${sumBlock};`);
    for (const e of blocked) this.line(`${cType[e.type]} ${this.folds.get(e)}_part = 0;`);
    this.vectorLoop(last, "block", "stop", roots, body, clauses.join(" "));
    for (const e of blocked) this.line(`${this.folds.get(e)} += ${this.folds.get(e)}_part;`);
    this.close();
    this.keepFrom(stage);
  }

  /** From the next stage on, what this one kept is read back. */
  private keepFrom(stage: readonly Expr[]): void {
    for (const e of stage) {
      const value = e.args[0] as Expr;
      const name = this.kept.get(value);
      if (name !== undefined) this.readBack.set(value, name);
    }
  }

  /** Loops over `axes`, inside which the operands stand at `w…` (they stand at `q…` outside). */
  private nest(axes: readonly number[], body: () => void): void {
    if (axes.length === 0) this.open("");
    const [lower, upper] = this.schedule === "split" ? ["lower", "upper"] : ["0", ""];
    for (const a of axes) this.open(`for (long i${a} = ${lower}; i${a} < ${upper || `n${a}`}; i${a}++)`);
    this.move("w", "q", axes);
    this.cursor = "w";
    body();
    this.cursor = "q";
    for (let i = 0; i < Math.max(1, axes.length); i++) this.close();
  }

  private done = new Map<Expr, string>();
  private vector: { axis: number; variable: string } | null = null;
  private cursor = "q";
  /** Operands that stand for their view in a block or tile. */
  private readonly staged = new Map<number, string>();
  private readonly kept = new Map<Expr, string>();
  private readonly readBack = new Map<Expr, string>();

  private vectorVariable(axis: number): string {
    return this.lane ? "l" : `i${axis}`;
  }

  /** The loop over the vector axis: `roots` says what the body will ask for, so that what stands still is hoisted. */
  private vectorLoop(
    axis: number,
    from: string,
    to: string,
    roots: readonly (readonly [Expr, Expr | null])[],
    body: (lines: string[]) => void,
    simd = "",
  ): void {
    this.open("");
    this.vector = { axis, variable: this.vectorVariable(axis) };
    this.done = new Map();
    for (const [e, name] of this.readBack) this.done.set(e, `${name}[${this.vector.variable}]`);
    this.moving.clear();
    const hoisted: string[] = [];
    for (const e of below(roots.flatMap(([v, at]) => (at === null ? [v] : [v, at])))) {
      if (!this.moves(e, axis)) this.value(e, hoisted);
    }
    for (const text of hoisted) this.line(text);
    const lines: string[] = [];
    body(lines);
    if (!this.serial) this.line(simd === "" ? "#pragma GCC ivdep" : `#pragma omp simd ${simd}`);
    const v = this.vector.variable;
    this.open(`for (long ${v} = ${from}; ${v} < ${to}; ${v}++)`);
    for (const text of lines) this.line(text);
    this.close();
    this.close();
    this.vector = null;
  }

  private moves(e: Expr, axis: number): boolean {
    const known = this.moving.get(e);
    if (known !== undefined) return known;
    let result: boolean;
    if (this.readBack.has(e)) result = true;
    else if (e.op === "load") result = this.kernel.operands[e.slot]?.step !== "uniform";
    else if (e.op === "gather") result = true;
    else if (e.op === "index") result = e.slot === axis;
    else if (e.op === "reduce") result = this.lane;
    else if (e.op === "scan") result = true;
    else result = e.args.some((a) => this.moves(a, axis));
    // A serial kernel may read what it has written: nothing but constants may leave its loop.
    if (this.serial && e.op !== "const" && e.op !== "scalar") result = true;
    this.moving.set(e, result);
    return result;
  }

  private value(e: Expr, lines: string[]): string {
    return emitExpr(e, this.done, lines, this.names);
  }

  private address(slot: number): string {
    const staged = this.staged.get(slot);
    if (staged !== undefined) return staged;
    const { step } = this.kernel.operands[slot] as { step: string };
    const v = this.vector;
    if (v === null || step === "uniform") return `${this.cursor}${slot}[0]`;
    const i = this.lane ? "(base + l)" : v.variable;
    return step === "unit" ? `${this.cursor}${slot}[${i}]` : `${this.cursor}${slot}[${i} * s${slot}_${v.axis}]`;
  }

  private readonly names: Names = {
    load: (slot) => {
      const text = this.address(slot);
      return this.kernel.operands[slot]?.type === "bool" ? `${text} != 0` : text;
    },
    gather: (slot, at) => {
      const text = `p${slot}[${at}]`;
      return this.kernel.operands[slot]?.type === "bool" ? `${text} != 0` : text;
    },
    scalar: (slot) => `c${slot}`,
    index: (axis) => (this.lane && this.vector?.axis === axis ? "(base + l)" : `i${axis}`),
    fold: (e) => {
      const r = this.folds.get(e) as string;
      return this.lane && e.op === "reduce" ? `${r}[l]` : r;
    },
  };

  private store(per: "row" | "element", lines: string[]): void {
    for (const s of this.kernel.stores) {
      if (s.per !== per) continue;
      const value = this.value(s.value, lines);
      const type = cStorage[this.kernel.operands[s.operand]?.type ?? "float32"];
      const target =
        s.at === null ? this.address(s.operand) : `p${s.operand}[${emitPlace(s.at, this.done, lines, this.names)}]`;
      lines.push(`${target} ${s.accumulate ? "+=" : "="} (${type})${value};`);
    }
  }
}

/** The nodes of `roots`, arguments first, that are evaluated where the roots are: what a fold folds is not. */
function below(roots: readonly Expr[]): Set<Expr> {
  const found = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (found.has(e)) return;
    if (e.op !== "reduce") for (const a of e.args) visit(a);
    found.add(e);
  };
  for (const r of roots) visit(r);
  return found;
}

const memoryFunctions = "void* malloc(unsigned long);\nvoid free(void*);";

/**
 * Stores that go past the cache, where the compiler knows how; elsewhere a plain copy. Whoever reads the result must find
 * it complete: `stream_end`.
 */
const streamFunction = `#if defined(__AVX512F__)
typedef long long wide __attribute__((vector_size(64), aligned(1), may_alias));
typedef long long wide_aligned __attribute__((vector_size(64), may_alias));
#define STORE_WIDE(to, v) __builtin_ia32_movntdq512((wide_aligned*)(to), v)
#elif defined(__AVX__)
typedef long long wide __attribute__((vector_size(32), aligned(1), may_alias));
typedef long long wide_aligned __attribute__((vector_size(32), may_alias));
#define STORE_WIDE(to, v) __builtin_ia32_movntdq256((wide_aligned*)(to), v)
#elif defined(__SSE2__)
typedef long long wide __attribute__((vector_size(16), aligned(1), may_alias));
typedef long long wide_aligned __attribute__((vector_size(16), may_alias));
#define STORE_WIDE(to, v) __builtin_ia32_movntdq((wide_aligned*)(to), v)
#endif
#ifdef __clang__
#undef STORE_WIDE
#if defined(__SSE2__)
#define STORE_WIDE(to, v) __builtin_nontemporal_store(v, (wide_aligned*)(to))
#endif
#endif
static inline void stream(void* target, const void* source, long bytes) {
  char* to = target;
  const char* from = source;
#ifdef STORE_WIDE
  for (; bytes > 0 && (unsigned long)to % sizeof(wide); bytes--) *to++ = *from++;
  for (; bytes >= (long)sizeof(wide); bytes -= sizeof(wide), to += sizeof(wide), from += sizeof(wide)) {
    const wide_aligned v = *(const wide*)from;
    STORE_WIDE(to, v);
  }
#endif
  for (; bytes > 0; bytes--) *to++ = *from++;
}
static inline void stream_end(void) {
#ifdef STORE_WIDE
  __builtin_ia32_sfence();
#endif
}`;

/** Folds of floats by max or min keep a flag beside them: the SIMD reduction itself would lose NaN. */
const watchesNaN = (e: Expr): boolean =>
  (e.fold === "max" || e.fold === "min") && (e.type === "f32" || e.type === "f64");

const lowest: Partial<Record<ValueType, [number | bigint, number | bigint]>> = {
  f32: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  f64: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
  u32: [0, 2 ** 32 - 1],
  bool: [0, 1],
};

function identity(e: Expr): string {
  if (e.fold === "sum") return cConstant(e.type === "i64" ? 0n : 0, e.type);
  if (e.fold === "prod") return cConstant(e.type === "i64" ? 1n : 1, e.type);
  const [low, high] = lowest[e.type] as [number | bigint, number | bigint];
  return cConstant(e.fold === "max" ? low : high, e.type);
}

function combine(e: Expr, acc: string, v: string): string {
  switch (e.fold as Fold) {
    case "sum":
      return `${acc} + ${v}`;
    case "prod":
      return `${acc} * ${v}`;
    default: {
      const nan = watchesNaN(e) ? ` || ${v} != ${v}` : "";
      return `${v} ${e.fold === "max" ? ">" : "<"} ${acc}${nan} ? ${v} : ${acc}`;
    }
  }
}
