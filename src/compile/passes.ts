/** What makes a recording smaller: work done twice is done once, maps move into whoever reads them, and what nobody reads goes. */
import {
  bytesOf,
  type Expr,
  type LoopKernel,
  type MatmulKernel,
  type Operand,
  type Store,
  topological,
} from "../kernel/ir.js";
import { fuseEpilogues } from "./epilogues.js";
import {
  type Access,
  census,
  type LoopStep,
  type Place,
  placesRead,
  placesWritten,
  readsOf,
  type Step,
} from "./graph.js";
import { inline } from "./inline.js";

/** All of it. `needed` are the places that are read after the function has ended. */
export function optimise(steps: readonly Step[], needed: ReadonlySet<Place>): Step[] {
  let graph = eliminateDead(eliminateCommon([...steps], needed), needed);
  for (let changed = true; changed; ) {
    changed = inlineMaps(graph, needed);
    graph = eliminateDead(graph, needed);
  }
  return fuseEpilogues(graph, needed);
}

/** Drops what is written but never read, a store at a time. */
function eliminateDead(steps: readonly Step[], needed: ReadonlySet<Place>): Step[] {
  let graph = [...steps];
  for (;;) {
    const read = new Set<Place>();
    for (const step of graph) for (const p of placesRead(step)) read.add(p);
    const live = (p: Place): boolean => p.kind !== "made" || needed.has(p) || read.has(p);
    const next: Step[] = [];
    for (const step of graph) {
      if (step.kind !== "loop") {
        if (step.kind === "check" || [...placesWritten(step)].some(live)) next.push(step);
        continue;
      }
      const stores = step.kernel.stores.filter((s) => live((step.accesses[s.operand] as Access).place));
      if (stores.length === step.kernel.stores.length) next.push(step);
      else if (stores.length > 0) next.push(withStores(step, stores));
    }
    const same = next.length === graph.length && next.every((s, i) => s === graph[i]);
    graph = next;
    if (same) return graph;
  }
}

/** The step with fewer stores, and without the operands that nobody uses any more. */
function withStores(step: LoopStep, stores: readonly Store[]): LoopStep {
  const kernel = { ...step.kernel, stores };
  const { loads, gathers } = readsOf(kernel);
  const used = step.accesses.map((_, i) => loads.has(i) || gathers.has(i) || stores.some((s) => s.operand === i));
  // An operand that is not used stays in the list: renumbering would change the expressions. It costs an address.
  const anywhere = step.accesses[(stores[0] as Store).operand] as Access;
  const accesses = step.accesses.map((a, i) => (used[i] === true ? a : { ...anywhere, strides: a.strides }));
  return { ...step, kernel, accesses };
}

const structure = new WeakMap<Expr, number>();
let numbered = 0;
const numberOf = (e: Expr): number => {
  let n = structure.get(e);
  if (n === undefined) {
    n = numbered++;
    structure.set(e, n);
  }
  return n;
};

/** Names a kernel's structure: equal keys compile to equal code. */
export function kernelKey(kernel: LoopKernel | MatmulKernel): string {
  if (kernel.kind === "matmul") {
    const stores = kernel.epilogue.map((s) => `${s.operand}=${numberOf(s.value)}`);
    return `product|${kernel.type}|${kernel.extras}|${kernel.scalars}|${stores}`;
  }
  const operands = kernel.operands.map((o) => `${o.type}/${o.step}`).join(",");
  const stores = kernel.stores
    .map((s) => `${s.operand}=${numberOf(s.value)}${s.per}${s.at === null ? "" : `@${numberOf(s.at)}`}${s.accumulate}`)
    .join(",");
  return `${kernel.outer}|${kernel.inner}|${kernel.vector}|${operands}|${kernel.scalars.join(",")}|${stores}`;
}

/** Of two loops that compute the same from the same, the second is left out and its results are read from the first. */
function eliminateCommon(steps: readonly Step[], needed: ReadonlySet<Place>): Step[] {
  const { writers } = census(steps);
  const versions = new Map<Place, number>();
  const renamed = new Map<Place, Place>();
  const seen = new Map<string, LoopStep>();
  const out: Step[] = [];
  const once = (p: Place): boolean => p.kind === "made" && !needed.has(p) && writers.get(p)?.length === 1;
  const now = (a: Access): Access => {
    const place = renamed.get(a.place);
    return place === undefined ? a : { ...a, place };
  };
  for (const original of steps) {
    const step =
      original.kind === "check"
        ? { ...original, values: original.values.map((v) => ({ ...v, place: renamed.get(v.place) ?? v.place })) }
        : { ...original, accesses: original.accesses.map(now) };
    const targets = step.kind === "loop" ? step.kernel.stores.map((s) => step.accesses[s.operand] as Access) : [];
    const pure = step.kind === "loop" && targets.every((a) => once(a.place) && a.offset === 0);
    if (step.kind === "loop" && pure) {
      const stored = new Set(step.kernel.stores.map((s) => s.operand));
      const operands = step.accesses
        .map(
          (a, i) =>
            `${stored.has(i) ? `=${a.place.bytes}` : `${a.place.id}.${versions.get(a.place) ?? 0}+${a.offset}`}:${a.strides}`,
        )
        .join(";");
      const scalars = step.scalars.map((s) => (typeof s === "number" ? s : Number.NaN));
      const key = `${kernelKey(step.kernel)}#${step.sizes}#${operands}#${scalars}`;
      const first = scalars.some(Number.isNaN) ? undefined : seen.get(key);
      if (first !== undefined) {
        step.kernel.stores.forEach((s, i) => {
          const from = first.accesses[(first.kernel.stores[i] as Store).operand] as Access;
          renamed.set((step.accesses[s.operand] as Access).place, from.place);
        });
        continue;
      }
      seen.set(key, step);
    }
    for (const p of placesWritten(step)) versions.set(p, (versions.get(p) ?? 0) + 1);
    out.push(step);
  }
  return out;
}

/** Operations that cost more than moving a number to memory and back. */
const dear = new Set<Expr["op"]>(["div", "sqrt", "rem", "mulhi"]);
function effort(e: Expr): number {
  let n = 0;
  for (const node of topological([e])) {
    if (node.op === "load" || node.op === "const" || node.op === "scalar") continue;
    n += dear.has(node.op) ? 4 : 1;
  }
  return n;
}

/** Moves each map into its reader where that saves more than it repeats. Changes `steps`. */
function inlineMaps(steps: Step[], needed: ReadonlySet<Place>): boolean {
  const { writers, readers } = census(steps);
  for (let r = 0; r < steps.length; r++) {
    const reader = steps[r] as Step;
    if (reader.kind !== "loop") continue;
    const { loads, gathers } = readsOf(reader.kernel);
    const stored = new Set(reader.kernel.stores.map((s) => s.operand));
    for (const at of loads) {
      if (gathers.has(at) || stored.has(at)) continue;
      const place = (reader.accesses[at] as Access).place;
      const [w, ...others] = writers.get(place) ?? [];
      if (place.kind !== "made" || needed.has(place) || w === undefined || others.length > 0 || w >= r) continue;
      const writer = steps[w] as Step;
      if (writer.kind !== "loop") continue;
      const made = writer.kernel.stores.find((s) => (writer.accesses[s.operand] as Access).place === place) as Store;
      if (
        writer.kernel.stores.some((s) => s.at !== null) ||
        !worthwhile(reader, at, writer, made, readers.get(place) ?? [])
      ) {
        continue;
      }
      const fused = inline(reader, at, writer, made);
      if (fused === null || !undisturbed(steps, w, r, writer, fused)) continue;
      steps[r] = fused;
      return true;
    }
  }
  return false;
}

/**
 * Whether a fold of what `writer` makes could do with numbers of another size in its loop: their vectors have another length, and
 * the fold would be added up in another order.
 */
function keepsLanes({ kernel }: LoopStep, made: Store): boolean {
  const size = bytesOf[(kernel.operands[made.operand] as Operand).type];
  const bytes = { f32: 4, i32: 4, u32: 4, f64: 8, i64: 8, bool: size };
  return topological([made.value]).every(
    (e) => bytes[e.type] === size && (e.op !== "load" || bytesOf[(kernel.operands[e.slot] as Operand).type] === size),
  );
}

function worthwhile(reader: LoopStep, at: number, writer: LoopStep, made: Store, readers: readonly number[]): boolean {
  if (reader.kernel.inner > 0 && !keepsLanes(writer, made)) return false;
  const work = effort(made.value);
  if (work <= 1) return true;
  if (readers.length > 1) return false;
  const product = (sizes: readonly number[]): number => sizes.reduce((n, s) => n * s, 1);
  // What stands still along the vector axis is computed once a row.
  const vector = reader.sizes[reader.sizes.length - 1] as number;
  const still = ((reader.accesses[at] as Access).strides[reader.sizes.length - 1] ?? 0) === 0;
  const times = product(reader.sizes) / (still ? Math.max(1, vector) : 1) / product(writer.sizes);
  return times <= 1 || (times <= 4 && work <= 4);
}

/** Nobody may change what the writer reads before the reader has run; nor may the reader, except element by element. */
function undisturbed(steps: readonly Step[], w: number, r: number, writer: LoopStep, fused: LoopStep): boolean {
  const inputs = placesRead(writer);
  for (let i = w + 1; i < r; i++) {
    for (const p of placesWritten(steps[i] as Step)) if (inputs.has(p)) return false;
  }
  const { loads } = readsOf(fused.kernel);
  return fused.kernel.stores.every((s) => {
    const target = fused.accesses[s.operand] as Access;
    if (!inputs.has(target.place)) return true;
    if (fused.kernel.inner > 0 || s.at !== null) return false;
    return [...loads].every((i) => {
      const a = fused.accesses[i] as Access;
      return (
        a.place !== target.place || (a.offset === target.offset && a.strides.every((n, j) => n === target.strides[j]))
      );
    });
  });
}
