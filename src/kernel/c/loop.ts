/**
 * Renders a loop kernel as one C function of plain loops that compilers vectorise: `#pragma omp simd` on reductions,
 * `ivdep` on maps. What does not move with the vector axis is computed before the loop. Threads are the engine's matter:
 * the function runs units `begin` to `end`.
 */
import type { Expr, Fold, LoopKernel, ValueType } from "../ir.js";
import { topological } from "../ir.js";
import { isSerial, layoutOf, stagesOf } from "../stages.js";
import { cConstant, cStorage, cType, emitExpr, type Names } from "./expression.js";

/** Float sums longer than this are summed in blocks, so that rounding grows with the number of blocks instead. */
const sumBlock = 4096;
/** Outputs folded side by side when the vector axis is an outer one. */
const lanes = 128;

export function renderLoop(kernel: LoopKernel): string {
  return new LoopRenderer(kernel).render();
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

  constructor(private readonly kernel: LoopKernel) {
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
    if (kernel.vector === "inner") this.renderRows();
    else this.renderColumns();
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
    if (outer > 1) {
      this.open("for (long u = begin; u < end; u++)");
      this.decompose(last, "q", "p");
      this.line(`const long from = 0, to = n${last};`);
    } else {
      this.move("q", "p", []);
      this.line("const long from = begin, to = end;");
    }
    if (inner === 0) {
      this.vectorLoop(
        last,
        "from",
        "to",
        this.kernel.stores.map((s) => [s.value, s.at]),
        (body) => this.store("element", body),
      );
    } else this.renderColumnFolds(last);
    if (outer > 1) this.close();
  }

  private renderColumnFolds(last: number): void {
    const { outer, inner, stores } = this.kernel;
    this.open(`for (long base = from; base < to; base += ${lanes})`);
    this.line(`const long width = to - base < ${lanes} ? to - base : ${lanes};`);
    const innerAxes = Array.from({ length: inner }, (_, j) => outer + j);
    for (const stage of this.stages.reductions) {
      for (const e of stage) {
        const name = this.folds.get(e) as string;
        this.line(`${cType[e.type]} ${name}[${lanes}];`);
        this.line(`for (long l = 0; l < ${lanes}; l++) ${name}[l] = ${identity(e)};`);
      }
      this.nest(innerAxes, () => {
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
    const rows = stores.filter((s) => s.per === "row");
    if (rows.length > 0) {
      this.vectorLoop(
        last,
        "0",
        "width",
        rows.map((s) => [s.value, s.at]),
        (body) => this.store("row", body),
      );
    }
    if (rows.length < stores.length) {
      this.nest(innerAxes, () => {
        const elements = stores.filter((s) => s.per === "element");
        this.vectorLoop(
          last,
          "0",
          "width",
          elements.map((s) => [s.value, s.at]),
          (body) => this.store("element", body),
        );
      });
    }
    this.close();
  }

  /** vector = "inner": a row at a time. */
  private renderRows(): void {
    const { outer, inner, stores } = this.kernel;
    const last = outer + inner - 1;
    const before = Array.from({ length: inner - 1 }, (_, j) => outer + j);
    this.open("for (long u = begin; u < end; u++)");
    this.decompose(outer, "q", "p");
    for (const stage of this.stages.reductions) {
      for (const e of stage) {
        this.line(`${cType[e.type]} ${this.folds.get(e)} = ${identity(e)};`);
        if (watchesNaN(e)) this.line(`int ${this.folds.get(e)}_nan = 0;`);
      }
      this.nest(before, () => this.foldRow(stage, last));
      for (const e of stage) {
        const r = this.folds.get(e) as string;
        if (watchesNaN(e)) this.line(`if (${r}_nan) ${r} = ${cConstant(Number.NaN, e.type)};`);
      }
    }
    const rows = stores.filter((s) => s.per === "row");
    if (rows.length > 0) {
      this.open("");
      const body: string[] = [];
      this.done = new Map();
      this.vector = null;
      this.store("row", body);
      for (const text of body) this.line(text);
      this.close();
    }
    const elements = stores.filter((s) => s.per === "element");
    if (elements.length > 0) {
      const scan = this.stages.scan;
      if (scan !== null) this.line(`${cType[scan.type]} running = ${identity(scan)};`);
      this.nest(before, () =>
        this.vectorLoop(
          last,
          "0",
          `n${last}`,
          elements.map((s) => [s.value, s.at]),
          (body) => {
            if (scan !== null) {
              const v = this.value(scan.args[0] as Expr, body);
              body.push(`running = ${combine(scan, "running", v)};`);
              this.folds.set(scan, "running");
            }
            this.store("element", body);
          },
        ),
      );
    }
    this.close();
  }

  private foldRow(stage: readonly Expr[], last: number): void {
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
        if (watchesNaN(e)) {
          lines.push(`${target} = ${v} ${e.fold === "max" ? ">" : "<"} ${target} ? ${v} : ${target};`);
          lines.push(`${r}_nan |= ${v} != ${v};`);
        } else lines.push(`${target} = ${combine(e, target, v)};`);
      }
    };
    if (blocked.length === 0) {
      this.vectorLoop(last, "0", `n${last}`, roots, body, clauses.join(" "));
      return;
    }
    this.open(`for (long block = 0; block < n${last}; block += ${sumBlock})`);
    this.line(`const long stop = block + ${sumBlock} < n${last} ? block + ${sumBlock} : n${last};`);
    for (const e of blocked) this.line(`${cType[e.type]} ${this.folds.get(e)}_part = 0;`);
    this.vectorLoop(last, "block", "stop", roots, body, clauses.join(" "));
    for (const e of blocked) this.line(`${this.folds.get(e)} += ${this.folds.get(e)}_part;`);
    this.close();
  }

  /** Loops over `axes`, inside which the operands stand at `w…` (they stand at `q…` outside). */
  private nest(axes: readonly number[], body: () => void): void {
    if (axes.length === 0) this.open("");
    for (const a of axes) this.open(`for (long i${a} = 0; i${a} < n${a}; i${a}++)`);
    this.move("w", "q", axes);
    this.cursor = "w";
    body();
    this.cursor = "q";
    for (let i = 0; i < Math.max(1, axes.length); i++) this.close();
  }

  private done = new Map<Expr, string>();
  private vector: { axis: number; variable: string } | null = null;
  private cursor = "q";

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
    this.vector = { axis, variable: this.lane ? "l" : `i${axis}` };
    this.done = new Map();
    this.moving.clear();
    const hoisted: string[] = [];
    const all = topological(roots.flatMap(([v, at]) => (at === null ? [v] : [v, at])));
    for (const e of all) {
      if (!this.moves(e, axis) && !this.insideFold(e)) this.value(e, hoisted);
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

  /** Nodes below a finished fold are not part of this loop; `topological` still lists them. */
  private insideFold(e: Expr): boolean {
    return e.op === "scan" || (e.op === "reduce" && this.folds.get(e) === undefined);
  }

  private moves(e: Expr, axis: number): boolean {
    const known = this.moving.get(e);
    if (known !== undefined) return known;
    let result: boolean;
    if (e.op === "load") result = this.kernel.operands[e.slot]?.step !== "uniform";
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
      const target = s.at === null ? this.address(s.operand) : `p${s.operand}[${this.value(s.at, lines)}]`;
      lines.push(`${target} ${s.accumulate ? "+=" : "="} (${type})${value};`);
    }
  }
}

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
