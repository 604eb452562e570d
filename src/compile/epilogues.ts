/**
 * Maps over what a matrix product made become part of the product: its epilogue computes them while the sums are in the cache.
 * Products round an epilogue as loops round it, so the results are the same digits.
 */
import { type Expr, type Finish, load, rewrite, scalar, valueTypeOf } from "../kernel/ir.js";
import {
  type Access,
  census,
  type LoopStep,
  loadsOf,
  type Place,
  type ProductStep,
  placesRead,
  placesWritten,
  readsOf,
  type Scalar,
  type Step,
  vectorStep,
} from "./graph.js";
import { fit } from "./inline.js";

/**
 * Operands of an epilogue that are as large as C. More of them, as Adam's state, push out of the cache what the product has packed: on
 * their own they are read faster.
 */
const mostStreams = 2;
const mostExtras = 12;
/** Where the strides of C along batch and rows stand among a product's numbers, and where those of the extras begin. */
const C_b = 10;
const C_m = 11;
const fixedNumbers = 12;

/** The graph with every map in an epilogue that can be there. `needed` are the places that are read after the function has ended. */
export function fuseEpilogues(steps: readonly Step[], needed: ReadonlySet<Place>): Step[] {
  const graph = [...steps];
  for (let p = 0; p < graph.length; ) {
    const product = graph[p] as Step;
    if (product.kind !== "product" || !fuseOne(graph, p, product, needed)) p += 1;
  }
  return graph;
}

/** Joins the product at `p` with one of the maps that read its result. Changes `graph`; whether it did. */
function fuseOne(graph: Step[], p: number, product: ProductStep, needed: ReadonlySet<Place>): boolean {
  const { writers, readers } = census(graph);
  const { place } = product.accesses[2] as Access;
  if (place.kind !== "made" || writers.get(place)?.length !== 1) return false;
  const reading = readers.get(place) ?? [];
  for (const r of reading) {
    const map = graph[r] as Step;
    if (map.kind !== "loop" || r <= p) continue;
    const fused = join(product, map, needed.has(place) || reading.length > 1);
    if (fused === null) continue;
    const between = graph.slice(p + 1, r);
    // Together where the map stood, if the product may wait so long, or else where the product did.
    const late = !between.some((s) => disturbs(s, product));
    if (!late && between.some((s) => disturbs(s, map))) continue;
    graph[late ? r : p] = fused;
    graph.splice(late ? p : r, 1);
    return true;
  }
  return false;
}

/** Whether `moved` would compute something else, or be seen by somebody else, on the other side of `step`. */
function disturbs(step: Step, moved: Step): boolean {
  const [reads, writes] = [placesRead(moved), placesWritten(moved)];
  if (step.kind === "check" && [...writes].some((p) => p.kind !== "made")) return true;
  const touched = placesWritten(step);
  return [...reads, ...writes].some((p) => touched.has(p)) || [...placesRead(step)].some((p) => writes.has(p));
}

/** A map, walked along the axes of a product: batch, rows and columns. */
interface Laid {
  readonly step: LoopStep;
  strides(a: Access): number[];
  /** Whether two operands are the same elements in the same order. */
  same(a: Access, b: Access): boolean;
}

/** Lays the map's axes over the product's; null unless each of the product's is walked by one of the map's, to its end. */
function layOver(product: ProductStep, map: LoopStep): Laid | null {
  const { params, accesses } = product;
  const sizes = sizesOf(product);
  const target = accesses[2] as Access;
  const first = map.accesses.findIndex((a) => a.place === target.place);
  const rows = { ...target, strides: [params[C_b] as number, params[C_m] as number, 1] };
  const fitted = fit(map, first, sizes, rows);
  if (fitted === null) return null;
  const { step, steps } = fitted;
  const walked = sizes.map((n, axis) => steps.findIndex((along, a) => along[axis] === 1 && step.sizes[a] === n));
  if (sizes.some((n, axis) => n > 1 && walked[axis] === -1)) return null;
  if (step.sizes.some((n, a) => n > 1 && !walked.includes(a))) return null;
  const strides = (a: Access): number[] => walked.map((axis, x) => (sizes[x] === 1 ? 0 : (a.strides[axis] as number)));
  const same = (a: Access, b: Access): boolean =>
    a.place === b.place && a.offset === b.offset && strides(a).every((s, i) => s === strides(b)[i]);
  return { step, strides, same };
}

const sizesOf = ({ params }: ProductStep): number[] => Array.from(params.subarray(0, 3));

/** The product with `map` in its epilogue; null where that cannot be. `kept`: somebody else reads the sums too. */
function join(product: ProductStep, map: LoopStep, kept: boolean): ProductStep | null {
  const { type } = product.kernel;
  const { inner, operands, stores } = map.kernel;
  if (inner > 0 || stores.some((s) => s.at !== null || s.value.type !== valueTypeOf[type])) return null;
  if (operands.some((o) => o.type !== type)) return null;
  const { gathers, indexed } = readsOf(map.kernel);
  if (gathers.size > 0 || indexed) return null;
  const laid = layOver(product, map);
  if (laid === null) return null;
  const { step, strides, same } = laid;
  // It must read the sums element by element, and nothing else that the product writes; and write nothing that the product uses.
  const target = product.accesses[2] as Access;
  const sums = step.accesses.filter((a) => a.place === target.place);
  if (sums.some((a) => !same(a, sums[0] as Access))) return null;
  const others = placesWritten(product);
  others.delete(target.place);
  if (step.accesses.some((a) => others.has(a.place))) return null;
  const stored = step.kernel.stores.map((s) => step.accesses[s.operand] as Access);
  const unsafe = (to: Access, i: number): boolean =>
    product.accesses.some((a) => a.place === to.place) ||
    stored.findIndex((s) => s.place === to.place) !== i ||
    step.accesses.some((a) => a.place === to.place && !same(a, to)) ||
    sizesOf(product).some((n, x) => n > 1 && strides(to)[x] === 0);
  if (stored.some(unsafe)) return null;
  const fused = kept ? grown(product, laid) : withoutSums(grown(product, laid));
  return pays(fused) ? fused : null;
}

/** Whether its epilogue pays: few large operands, whose rows lie as those of C do. */
function pays(product: ProductStep): boolean {
  const { extras } = product.kernel;
  const sizes = sizesOf(product);
  const large = extras.filter((_, i) =>
    sizes.every((n, x) => n === 1 || product.params[fixedNumbers + 3 * i + x] !== 0),
  );
  return extras.length <= mostExtras && large.length <= mostStreams && !large.includes("strided");
}

function grown(product: ProductStep, { step, strides, same }: Laid): ProductStep {
  const { kernel, params } = product;
  const extras = [...kernel.extras];
  const accesses = [...product.accesses];
  const moves = Array.from(params.subarray(fixedNumbers, fixedNumbers + 3 * extras.length));
  const slots = new Map<number, number>();
  const firstOwn = accesses.length;
  step.accesses.forEach((a, i) => {
    if (a.place === accesses[2]?.place) return;
    // What is changed in place is one operand of the product, where maps have two.
    const known = accesses.findIndex((b, j) => j >= firstOwn && same(a, b));
    if (known >= 0) {
      slots.set(i, known - 2);
      return;
    }
    extras.push(vectorStep(strides(a)[2] as number));
    accesses.push(a);
    moves.push(...strides(a));
    slots.set(i, extras.length);
  });
  const sum = kernel.epilogue.find((s) => s.operand === 0)?.value ?? load(0, valueTypeOf[kernel.type]);
  const done = new Map<Expr, Expr>();
  const into = (e: Expr): Expr =>
    rewrite(
      e,
      (n) => {
        if (n.op === "load") return slots.has(n.slot) ? load(slots.get(n.slot) as number, n.type) : sum;
        return n.op === "scalar" ? scalar(kernel.scalars.length + n.slot, n.type) : n;
      },
      done,
    );
  const stores = step.kernel.stores.map(
    (s): Finish => ({ operand: slots.get(s.operand) as number, value: into(s.value) }),
  );
  const scalars = [...product.scalars, ...step.scalars];
  const joined = `${kernel.name}+${step.kernel.name}`;
  return {
    ...product,
    kernel: {
      ...kernel,
      name: joined.length <= 60 ? joined : kernel.name,
      extras,
      scalars: [...kernel.scalars, ...step.kernel.scalars],
      epilogue: [...kernel.epilogue, ...stores],
    },
    executable: null,
    accesses,
    written: new Set([...product.written, ...stores.map((s) => s.operand + 2)]),
    params: numbersOf(params, moves, scalars),
    scalars,
  };
}

/** The scalars are set when the launch is prepared. */
const numbersOf = (params: Float64Array, moves: readonly number[], scalars: readonly Scalar[]): Float64Array =>
  Float64Array.from([...params.subarray(0, fixedNumbers), ...moves, ...scalars.map(() => 0)]);

/** With one of the results in the place of the sums, if one lies as C may: rows of unit stride, that the epilogue does not read. */
function withoutSums(product: ProductStep): ProductStep {
  const { kernel, params } = product;
  const epilogue = kernel.epilogue.filter((s) => s.operand !== 0);
  const loads = loadsOf(epilogue.map((s) => s.value));
  const movesOf = (operand: number): Float64Array => {
    const from = fixedNumbers + 3 * (operand - 1);
    return params.subarray(from, from + 3);
  };
  const found = epilogue.find((s) => {
    const { place } = product.accesses[s.operand + 2] as Access;
    const read = [...loads].some((slot) => slot > 0 && product.accesses[slot + 2]?.place === place);
    return !read && (params[2] === 1 || movesOf(s.operand)[2] === 1);
  });
  if (found === undefined) return { ...product, kernel: { ...kernel, epilogue } };
  const gone = found.operand;
  const now = (operand: number): number => (operand === gone ? 0 : operand > gone ? operand - 1 : operand);
  const renumber = (e: Expr): Expr => rewrite(e, (n) => (n.op === "load" ? load(now(n.slot), n.type) : n));
  const moved = Float64Array.from(params);
  moved.set(movesOf(gone).subarray(0, 2), C_b);
  const extras = kernel.extras.filter((_, i) => i + 1 !== gone);
  const moves = kernel.extras.flatMap((_, i) => (i + 1 === gone ? [] : Array.from(movesOf(i + 1))));
  const accesses = product.accesses.filter((_, i) => i !== gone + 2);
  accesses[2] = product.accesses[gone + 2] as Access;
  const stores = epilogue.map((s): Finish => ({ operand: now(s.operand), value: renumber(s.value) }));
  return {
    ...product,
    kernel: { ...kernel, extras, epilogue: stores },
    accesses,
    written: new Set([2, ...stores.map((s) => s.operand + 2)]),
    params: numbersOf(moved, moves, product.scalars),
  };
}
