/**
 * The loop nest of one kernel as C text: what every schedule writes. Indices and the pointers that move with them, the loop
 * over the vector axis with what stands still hoisted out of it, and the stores. Which loops there are, and in what order,
 * is for the schedules to say (`rows.ts`, `columns.ts`, `tiles.ts`, `split.ts`).
 *
 * Operands stand at `p…` (their first element), `q…` (a unit) and `w…` (inside the loops of a unit); axis a has the index
 * `i…`, the size `n…` and, for each operand, the stride `s…`.
 */
import type { Expr, LoopKernel, StorageType } from "../ir.js";
import { below, isSerial, layoutOf, type Stages, stagesOf } from "../stages.js";
import { cScalar, cStorage, cType, declarationsFor, emitExpr, emitPlace, type Names } from "./expression.js";
import type { Vectors } from "./micro.js";

/** Ends of a loop, as C. */
export interface Range {
  readonly from: string;
  readonly to: string;
}

export class LoopNest {
  readonly stages: Stages;
  /** The axis that vectors lie along, and its loop variable. */
  readonly axis: number;
  readonly variable: string;
  /** Folds down columns: the variable counts from `base`, and each fold has one accumulator for each column. */
  readonly lane: boolean;
  /** Iterations run one after another. */
  readonly serial: boolean;
  /** What folds, and a scan, are called. */
  readonly folds = new Map<Expr, string>();
  /** Which of its pointers an operand is read through. */
  cursor: "q" | "w" = "q";
  /** Operands that stand for their view in a block or tile: the element there. */
  readonly staged = new Map<number, string>();
  /** Values that lie in an array along the vector axis, from where they are read back. */
  readonly readBack = new Map<Expr, string>();

  private readonly layout;
  private readonly declarations: string[] = [];
  private readonly lines: string[] = [];
  private depth = 1;
  /** What has a name at this point of the text. */
  private done = new Map<Expr, string>();
  private readonly moving = new Map<Expr, boolean>();
  /** Whether what is written now stands in the loop over the vector axis. */
  private looping = false;
  /** How far from the loop's variable it stands. */
  private shift = "";

  constructor(
    readonly kernel: LoopKernel,
    readonly vectors: Vectors,
  ) {
    const { outer, inner, vector } = kernel;
    this.layout = layoutOf(kernel);
    this.stages = stagesOf(kernel);
    this.axis = vector === "inner" ? outer + inner - 1 : outer - 1;
    this.lane = vector === "outer" && inner > 0;
    this.serial = isSerial(kernel) || (this.stages.scan !== null && !this.lane);
    this.variable = this.lane ? "l" : `i${this.axis}`;
    let n = 0;
    for (const stage of this.stages.reductions) for (const e of stage) this.folds.set(e, `r${n++}`);
    this.readArguments();
  }

  /** The whole text: declarations, then the function. */
  text(): string {
    const needed = declarationsFor(this.kernel.stores.map((s) => s.value));
    return [
      ...needed,
      ...this.declarations,
      "void run(const double* A, long begin, long end) {",
      ...this.lines,
      "}",
    ].join("\n");
  }

  /** What stands before the function. */
  declare(text: string): void {
    this.declarations.push(text);
  }
  line(text: string): void {
    this.lines.push("  ".repeat(this.depth) + text);
  }
  open(text: string): void {
    this.line(`${text} {`);
    this.depth += 1;
  }
  close(): void {
    this.depth -= 1;
    this.line("}");
  }

  private readArguments(): void {
    const { kernel, layout } = this;
    kernel.operands.forEach((_, i) => {
      this.line(`${this.pointer(i)} const p${i} = (${this.pointer(i)})(unsigned long)A[${i}];`);
    });
    for (let a = 0; a < layout.axes; a++) this.line(`const long n${a} = (long)A[${layout.size(a)}];`);
    kernel.operands.forEach(({ step }, i) => {
      for (let a = 0; a < layout.axes; a++) {
        if (a === this.axis && step !== "strided") continue;
        this.line(`const long s${i}_${a} = (long)A[${layout.stride(i, a)}];`);
      }
    });
    kernel.scalars.forEach((type, i) => {
      this.line(`const ${cType[type]} c${i} = ${cScalar(type, `A[${layout.scalar(i)}]`)};`);
    });
  }

  /** Where in the argument block the arguments end that every schedule has. */
  get argumentsEnd(): number {
    return this.layout.scalar(this.kernel.scalars.length);
  }

  fold(e: Expr): string {
    return this.folds.get(e) as string;
  }

  storage(operand: number): string {
    return cStorage[(this.kernel.operands[operand] as { type: StorageType }).type];
  }

  pointer(operand: number): string {
    const stored = this.kernel.stores.some((s) => s.operand === operand);
    return stored ? `${this.storage(operand)}*` : `const ${this.storage(operand)}*`;
  }

  get innerAxes(): number[] {
    return Array.from({ length: this.kernel.inner }, (_, j) => this.kernel.outer + j);
  }

  /** Declares the index on each of the first `axes` axes from the flat `u`, and the pointers there. */
  unit(axes: number): void {
    if (axes === 1) this.line("const long i0 = u;");
    else if (axes > 1) {
      this.line("long rest = u;");
      for (let a = axes - 1; a > 0; a--) this.line(`const long i${a} = rest % n${a}; rest /= n${a};`);
      this.line("const long i0 = rest;");
    }
    this.move(
      "q",
      "p",
      Array.from({ length: axes }, (_, a) => a),
    );
  }

  move(name: string, from: string, axes: readonly number[]): void {
    this.kernel.operands.forEach((_, i) => {
      const terms = axes.map((a) => ` + i${a} * s${i}_${a}`).join("");
      this.line(`${this.pointer(i)} const ${name}${i} = ${from}${i}${terms};`);
    });
  }

  /** Loops over `axes`, or over a part of each, inside which the operands stand at `w…`. */
  loops(axes: readonly number[], body: () => void, part?: Range): void {
    if (axes.length === 0) this.open("");
    for (const a of axes) this.open(`for (long i${a} = ${part?.from ?? "0"}; i${a} < ${part?.to ?? `n${a}`}; i${a}++)`);
    this.move("w", "q", axes);
    this.cursor = "w";
    body();
    this.cursor = "q";
    for (let i = 0; i < Math.max(1, axes.length); i++) this.close();
  }

  /** The loop over the vector axis: `roots` says what the body will ask for, so that what stands still is hoisted. */
  vectorLoop({ from, to }: Range, roots: readonly Expr[], body: (lines: string[]) => void, simd = ""): void {
    const lines = this.loopBody(roots, body);
    const v = this.variable;
    if (!this.serial) this.line(simd === "" ? "#pragma GCC ivdep" : `#pragma omp simd ${simd}`);
    this.open(`for (long ${v} = ${from}; ${v} < ${to}; ${v}++)`);
    this.endLoop(lines);
  }

  /** The same in chunks of `length` elements, as long as they fit: a loop over chunks from the variable `at`, and one over `chunk`. */
  chunkLoop(at: string, to: string, length: number, roots: readonly Expr[], body: (lines: string[]) => void): void {
    const lines = this.loopBody(roots, body);
    this.open(`for (; ${to} - ${at} >= ${length}; ${at} += ${length})`);
    this.line("#pragma omp simd");
    this.open(`for (long chunk = 0; chunk < ${length}; chunk++)`);
    this.line(`const long ${this.variable} = ${at} + chunk;`);
    this.endLoop(lines);
    this.close();
  }

  /** Begins a loop: writes what stands still in it, gives what moves. */
  private loopBody(roots: readonly Expr[], body: (lines: string[]) => void): string[] {
    this.open("");
    this.looping = true;
    this.done = new Map();
    for (const [e, name] of this.readBack) this.done.set(e, `${name}[${this.variable}]`);
    this.moving.clear();
    const hoisted: string[] = [];
    for (const e of below(roots)) if (!this.moves(e)) this.value(e, hoisted);
    for (const text of hoisted) this.line(text);
    const lines: string[] = [];
    body(lines);
    return lines;
  }

  private endLoop(lines: readonly string[]): void {
    for (const text of lines) this.line(text);
    this.close();
    this.close();
    this.looping = false;
  }

  /** What `body` writes stands for elements `by` further along the vector axis than the loop is. */
  shifted(by: number, lines: string[], body: () => void): void {
    const known = this.done;
    this.done = new Map(known);
    this.shift = by === 0 ? "" : ` + ${by}`;
    lines.push("{");
    body();
    lines.push("}");
    this.shift = "";
    this.done = known;
  }

  /** Statements outside every loop over the vector axis. */
  straight(body: (lines: string[]) => void): void {
    this.done = new Map();
    const lines: string[] = [];
    body(lines);
    for (const text of lines) this.line(text);
  }

  /** Emits what `e` needs and gives the name of its value. */
  value(e: Expr, lines: string[]): string {
    return emitExpr(e, this.done, lines, this.names);
  }

  hasStores(per: "row" | "element"): boolean {
    return this.kernel.stores.some((s) => s.per === per);
  }

  /** What the stores of a kind ask for. */
  storeRoots(per: "row" | "element"): Expr[] {
    const stores = this.kernel.stores.filter((s) => s.per === per);
    return stores.flatMap((s) => (s.at === null ? [s.value] : [s.value, s.at]));
  }

  store(per: "row" | "element", lines: string[]): void {
    for (const s of this.kernel.stores) {
      if (s.per !== per) continue;
      const value = this.value(s.value, lines);
      const target =
        s.at === null ? this.address(s.operand) : `p${s.operand}[${emitPlace(s.at, this.done, lines, this.names)}]`;
      lines.push(`${target} ${s.accumulate ? "+=" : "="} (${this.storage(s.operand)})${value};`);
    }
  }

  /** The loop of the element stores. */
  elements(range: Range): void {
    this.vectorLoop(range, this.storeRoots("element"), (lines) => this.store("element", lines));
  }

  private moves(e: Expr): boolean {
    const known = this.moving.get(e);
    if (known !== undefined) return known;
    let result: boolean;
    if (this.readBack.has(e)) result = true;
    else if (e.op === "load") result = this.kernel.operands[e.slot]?.step !== "uniform";
    else if (e.op === "gather") result = true;
    else if (e.op === "index") result = e.slot === this.axis;
    else if (e.op === "reduce") result = this.lane;
    else if (e.op === "scan") result = true;
    else result = e.args.some((a) => this.moves(a));
    // A serial kernel may read what it has written: nothing but constants may leave its loop.
    if (this.serial && e.op !== "const" && e.op !== "scalar") result = true;
    this.moving.set(e, result);
    return result;
  }

  private address(slot: number): string {
    const staged = this.staged.get(slot);
    if (staged !== undefined) return staged;
    const { step } = this.kernel.operands[slot] as { step: string };
    if (!this.looping || step === "uniform") return `${this.cursor}${slot}[0]`;
    const i = this.lane ? "(base + l)" : this.variable + this.shift;
    return step === "unit" ? `${this.cursor}${slot}[${i}]` : `${this.cursor}${slot}[(${i}) * s${slot}_${this.axis}]`;
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
    index: (axis) => {
      if (!this.looping || axis !== this.axis) return `i${axis}`;
      return this.lane ? "(base + l)" : `(i${axis}${this.shift})`;
    },
    fold: (e) => (this.lane && e.op === "reduce" ? `${this.fold(e)}[l]` : this.fold(e)),
  };
}
