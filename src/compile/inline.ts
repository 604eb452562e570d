/**
 * Inlining: a loop that reads what another loop made computes it on the spot. The reader's index is translated into the
 * writer's axes; since both are affine, so are the operands' strides that come out.
 */
import {
  type Expr,
  gather,
  type LoopKernel,
  load,
  rewrite,
  type StorageType,
  type Store,
  scalar,
} from "../kernel/ir.js";
import { type Access, type LoopStep, readsOf, type Scalar, vectorAxis, vectorStep } from "./graph.js";

/** Storage that keeps what was computed: reading it back gives the same number. */
const faithful: ReadonlySet<StorageType> = new Set(["float32", "float64", "int32", "int64", "bool"]);

const mostOperands = 16;

/** `reader` with its loads of operand `at` replaced by what `writer`'s store `made` computes; null where that cannot be. */
export function inline(reader: LoopStep, at: number, writer: LoopStep, made: Store): LoopStep | null {
  const type = writer.kernel.operands[made.operand]?.type as StorageType;
  if (!faithful.has(type) || reader.kernel.operands[at]?.type !== type) return null;
  if (writer.kernel.inner > 0 || readsOf(writer.kernel).gathers.size > 0 || readsOf(writer.kernel).indexed) return null;
  const target = writer.accesses[made.operand] as Access;
  const fitted = fit(reader, at, writer.sizes, target);
  if (fitted === null) return null;
  const { step, steps, base } = fitted;
  // A fold along a cut axis would be added up in another order.
  if (step.kernel.inner !== reader.kernel.inner) return null;
  return substitute(step, at, writer, made, (a) => ({
    place: a.place,
    offset: a.offset + dot(base, a.strides),
    strides: steps.map((along) => dot(along, a.strides)),
  }));
}

const dot = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, v, i) => sum + v * (y[i] as number), 0);

export interface Fit {
  /** The reader, perhaps with axes cut. */
  readonly step: LoopStep;
  /** For each axis of the reader, how far one step of it goes along each axis of the writer. */
  readonly steps: readonly (readonly number[])[];
  /** Where the reader starts among the writer's axes. */
  readonly base: readonly number[];
}

/** Lays the reader's axes over the writer's, cutting those of the reader that cover several of the writer's. */
export function fit(reader: LoopStep, at: number, sizes: readonly number[], target: Access): Fit | null {
  // The writer's axes by falling stride. One of size 1 is never moved along.
  const axes = sizes.map((n, axis) => ({ axis, n, stride: target.strides[axis] as number })).filter((x) => x.n > 1);
  axes.sort((x, y) => y.stride - x.stride);
  for (let i = 0; i < axes.length; i++) {
    const below = axes[i + 1];
    const span = below === undefined ? 1 : below.n * below.stride;
    if ((axes[i]?.stride as number) < span) return null;
  }
  let step = reader;
  for (let attempt = 0; attempt < 6; attempt++) {
    const access = step.accesses[at] as Access;
    const base = new Array<number>(sizes.length).fill(0);
    let rest = access.offset - target.offset;
    for (const { axis, stride } of axes) {
      base[axis] = Math.floor(rest / stride);
      rest -= (base[axis] as number) * stride;
    }
    if (rest !== 0) return null;
    const reach = [...base];
    let cut: { axis: number; inner: number } | null = null;
    const steps = step.sizes.map((n, a) => {
      const along = new Array<number>(sizes.length).fill(0);
      const s = access.strides[a] as number;
      if (n === 1 || s === 0) return along;
      const on = axes.find((x) => x.stride <= s);
      if (on === undefined || s % on.stride !== 0) {
        cut = { axis: -1, inner: 0 };
        return along;
      }
      const m = s / on.stride;
      along[on.axis] = m;
      if ((reach[on.axis] as number) + m * (n - 1) >= on.n) {
        const inner = on.n / m;
        const possible = Number.isInteger(inner) && inner > 1 && n % inner === 0 && n > inner;
        cut = possible ? { axis: a, inner } : { axis: -1, inner: 0 };
      } else reach[on.axis] = (reach[on.axis] as number) + m * (n - 1);
      return along;
    });
    const needed = cut as { axis: number; inner: number } | null;
    if (needed === null) return base.some((b) => b < 0) ? null : { step, steps, base };
    if (needed.axis < 0 || readsOf(step.kernel).indexed) return null;
    step = cutAxis(step, needed.axis, needed.inner);
  }
  return null;
}

/** One axis as two: n = (n / inner) · inner. */
function cutAxis(step: LoopStep, axis: number, inner: number): LoopStep {
  const { kernel } = step;
  const n = step.sizes[axis] as number;
  const sizes = [...step.sizes.slice(0, axis), n / inner, inner, ...step.sizes.slice(axis + 1)];
  const accesses = step.accesses.map((a) => {
    const s = a.strides[axis] as number;
    return { ...a, strides: [...a.strides.slice(0, axis), s * inner, s, ...a.strides.slice(axis + 1)] };
  });
  const grown = axis < kernel.outer ? { ...kernel, outer: kernel.outer + 1 } : { ...kernel, inner: kernel.inner + 1 };
  return { ...step, kernel: grown, sizes, accesses };
}

function substitute(
  reader: LoopStep,
  at: number,
  writer: LoopStep,
  made: Store,
  translate: (a: Access) => Access,
): LoopStep | null {
  const { kernel } = reader;
  const vector = vectorAxis(kernel);
  const accesses: Access[] = [];
  const operands: { type: StorageType; step: ReturnType<typeof vectorStep> }[] = [];
  const add = (a: Access, type: StorageType, shared: boolean): number => {
    if (shared) {
      const known = accesses.findIndex(
        (b, i) =>
          operands[i]?.type === type &&
          !stored.has(i) &&
          b.place === a.place &&
          b.offset === a.offset &&
          b.strides.every((s, j) => s === a.strides[j]),
      );
      if (known >= 0) return known;
    }
    accesses.push(a);
    operands.push({ type, step: vector < 0 ? "uniform" : vectorStep(a.strides[vector] as number) });
    return accesses.length - 1;
  };
  const scalars: Scalar[] = [...reader.scalars];
  const scalarTypes = [...kernel.scalars];
  const stored = new Set<number>();
  const targets = new Set(kernel.stores.map((s) => s.operand));
  const place = new Map<number, number>();
  kernel.operands.forEach((o, i) => {
    if (i === at) return;
    const to = add(reader.accesses[i] as Access, o.type, false);
    place.set(i, to);
    if (targets.has(i)) stored.add(to);
  });
  const value = rewrite(made.value, (e) => {
    if (e.op === "load") {
      const type = writer.kernel.operands[e.slot]?.type as StorageType;
      return load(add(translate(writer.accesses[e.slot] as Access), type, true), e.type);
    }
    if (e.op === "scalar") {
      scalars.push(writer.scalars[e.slot] as Scalar);
      scalarTypes.push(e.type);
      return scalar(scalars.length - 1, e.type);
    }
    return e;
  });
  if (accesses.length > mostOperands) return null;
  const done = new Map<Expr, Expr>();
  const into = (e: Expr): Expr =>
    rewrite(
      e,
      (n) => {
        if (n.op === "load") return n.slot === at ? value : load(place.get(n.slot) as number, n.type);
        if (n.op === "gather") return gather(place.get(n.slot) as number, n.type, n.args[0] as Expr);
        return n;
      },
      done,
    );
  const stores = kernel.stores.map((s) => ({
    ...s,
    operand: place.get(s.operand) as number,
    value: into(s.value),
    at: s.at === null ? null : into(s.at),
  }));
  const joined = `${writer.kernel.name}+${kernel.name}`;
  const name = joined.length <= 60 ? joined : kernel.name;
  const fused: LoopKernel = { ...kernel, name, operands, scalars: scalarTypes, stores };
  return { ...reader, kernel: fused, accesses, scalars };
}
