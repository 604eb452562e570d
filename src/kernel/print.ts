/**
 * Prints a kernel as indented pseudo-code: the loop nest, its passes in the order a renderer runs them, common subexpressions
 * as numbered temporaries. For people who debug (`CRESSET_DEBUG=kernels`); nothing reads it back.
 */
import type { ConvolutionKernel, Expr, Fold, Kernel, LoopKernel, MatmulKernel, Store } from "./ir.js";

const infix: Readonly<Partial<Record<Expr["op"], string>>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  and: "&",
  or: "|",
  xor: "^",
  shl: "<<",
  shr: ">>",
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
};

const foldSign: Readonly<Record<Fold, string>> = { sum: "+=", prod: "*=", max: "max=", min: "min=" };

export function printKernel(kernel: Kernel): string {
  if (kernel.kind === "loop") return printLoop(kernel);
  return kernel.kind === "matmul" ? printMatmul(kernel) : printConvolution(kernel);
}

function printConvolution({ name, type, pass, bias }: ConvolutionKernel): string {
  const x = "X[b, g, c, o * stride + tap(t) - pad]";
  const lines =
    pass === "correlate"
      ? ["for b, g, m, o:", `  Y[b, g, m, o] = ${bias ? "bias[g, m] + " : ""}sum over c, t of W[g, m, c, t] * ${x}`]
      : ["for g, m, c, t:", `  W[g, m, c, t] = sum over b, o of Y[b, g, m, o] * ${x}`];
  return [`convolution ${name}: ${type}`, ...lines.map((line) => `  ${line}`)].join("\n");
}

const letter = (axis: number): string => (axis < 6 ? "ijklmn"[axis] : `i${axis}`);

function printMatmul(kernel: MatmulKernel): string {
  const lines = [
    `matmul ${kernel.name}: ${kernel.type}`,
    "  for b, m, n:",
    "    load0 = sum over k of A[b, m, k] * B[b, k, n]",
  ];
  kernel.extras.forEach((step, i) => lines.push(`    load${i + 1} = X${i + 1}[b, m, n], ${step} along n`));
  const writer = new Writer(() => "");
  const roots = kernel.epilogue.map((s) => s.value);
  for (const { operand, value } of kernel.epilogue) {
    const to = operand === 0 ? "C" : `X${operand}`;
    writer.lines.push(`    ${to}[b, m, n] = ${writer.value(value, "    ", roots)}`);
  }
  if (!kernel.epilogue.some((s) => s.operand === 0)) writer.lines.push("    C[b, m, n] = load0");
  return [...lines, ...writer.lines].join("\n");
}

function printLoop(kernel: LoopKernel): string {
  const { operands, outer, inner, stores } = kernel;
  const axes = (from: number, count: number): string =>
    Array.from({ length: count }, (_, a) => letter(from + a)).join(", ");
  const lines = [`loop ${kernel.name}: ${outer} outer, ${inner} inner, vectors along the ${kernel.vector} axis`];
  operands.forEach((o, n) => lines.push(`  p${n}: ${o.type} ${o.step}`));
  kernel.scalars.forEach((type, n) => lines.push(`  s${n}: ${type}`));
  const names = new Map<Expr, string>();
  const all = `[${axes(0, outer + inner)}]`;
  let indent = "  ";
  if (outer > 0) {
    lines.push(`  for ${axes(0, outer)}:`);
    indent += "  ";
  }
  const loop = inner > 0 ? `${indent}for ${axes(outer, inner)}:` : null;
  const depth = inner > 0 ? `${indent}  ` : indent;
  for (const stage of stagesOf(stores)) {
    for (const r of stage) {
      names.set(r, `r${names.size}`);
      lines.push(`${indent}${names.get(r)}: ${r.type} = empty ${r.fold}`);
    }
    if (loop !== null) lines.push(loop);
    const writer = new Writer(() => all, names);
    const roots = stage.map((r) => r.args[0]);
    for (const r of stage) {
      const value = writer.value(r.args[0], depth, roots);
      writer.lines.push(`${depth}${names.get(r)} ${foldSign[r.fold ?? "sum"]} ${value}`);
    }
    lines.push(...writer.lines);
  }
  const write = (list: readonly Store[], at: string, where: string): void => {
    const writer = new Writer(() => at, names);
    const roots = list.flatMap((s) => (s.at === null ? [s.value] : [s.at, s.value]));
    for (const s of list) {
      const place = s.at === null ? at : `[${writer.value(s.at, where, roots)}]`;
      const value = writer.value(s.value, where, roots);
      writer.lines.push(`${where}p${s.operand}${place} ${s.accumulate ? "+=" : "="} ${value}`);
    }
    lines.push(...writer.lines);
  };
  const element = stores.filter((s) => s.per === "element");
  if (element.length > 0) {
    if (loop !== null) lines.push(loop);
    write(element, all, depth);
  }
  write(
    stores.filter((s) => s.per === "row"),
    `[${[axes(0, outer), ...new Array<string>(inner).fill("0")].filter((t) => t !== "").join(", ")}]`,
    indent,
  );
  return lines.join("\n");
}

/** The reductions by nesting depth, innermost first. */
function stagesOf(stores: readonly Store[]): Expr[][] {
  const stages: Expr[][] = [];
  const depths = new Map<Expr, number>();
  const visit = (e: Expr): number => {
    const known = depths.get(e);
    if (known !== undefined) return known;
    let depth = 0;
    for (const a of e.args) depth = Math.max(depth, visit(a));
    if (e.op === "reduce") {
      stages[depth] ??= [];
      stages[depth].push(e);
      depth++;
    }
    depths.set(e, depth);
    return depth;
  };
  for (const s of stores) {
    if (s.at !== null) visit(s.at);
    visit(s.value);
  }
  return stages;
}

/** Writes expressions of one place in the nest; what is used twice there gets a name. */
class Writer {
  readonly lines: string[] = [];
  private readonly temporaries = new Map<Expr, string>();
  private uses: Map<Expr, number> | null = null;

  constructor(
    private readonly at: () => string,
    private readonly names: ReadonlyMap<Expr, string> = new Map(),
  ) {}

  /** `roots` are all the expressions that will be written here. */
  value(e: Expr, indent: string, roots: readonly Expr[]): string {
    this.uses ??= this.count(roots);
    return this.text(e, indent, this.uses);
  }

  private count(roots: readonly Expr[]): Map<Expr, number> {
    const uses = new Map<Expr, number>();
    const visit = (e: Expr): void => {
      const n = (uses.get(e) ?? 0) + 1;
      uses.set(e, n);
      if (n === 1 && !this.names.has(e)) for (const a of e.args) visit(a);
    };
    for (const r of roots) visit(r);
    return uses;
  }

  private text(e: Expr, indent: string, uses: ReadonlyMap<Expr, number>): string {
    const known = this.names.get(e) ?? this.temporaries.get(e);
    if (known !== undefined) return known;
    const text = this.write(e, (a) => this.text(a, indent, uses));
    if ((uses.get(e) ?? 0) < 2 || e.op === "const" || e.op === "scalar" || e.op === "index") return text;
    const name = `t${this.temporaries.size}`;
    this.lines.push(`${indent}${name}: ${e.type} = ${text}`);
    this.temporaries.set(e, name);
    return name;
  }

  private write(e: Expr, arg: (e: Expr) => string): string {
    const args = e.args.map(arg);
    const sign = infix[e.op];
    if (sign !== undefined) return `(${args[0]} ${sign} ${args[1]})`;
    switch (e.op) {
      case "const":
        return Object.is(e.value, -0) ? "-0" : `${e.value}`;
      case "scalar":
        return `s${e.slot}`;
      case "load":
        return this.at() === "" ? `load${e.slot}` : `p${e.slot}${this.at()}`;
      case "index":
        return letter(e.slot);
      case "gather":
        return `p${e.slot}{${args[0]}}`;
      case "select":
        return `(${args[0]} ? ${args[1]} : ${args[2]})`;
      case "cast":
        return `${e.type}(${args[0]})`;
      case "bitcast":
        return `bits<${e.type}>(${args[0]})`;
      case "reduce":
      case "scan":
        return `${e.op}.${e.fold}(${args[0]})`;
      default:
        return `${e.op}(${args.join(", ")})`;
    }
  }
}
