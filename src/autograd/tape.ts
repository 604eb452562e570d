/**
 * The tape: what an operation leaves behind so that its gradient can be found later, and the pass that finds it. It knows
 * no operation; the one it needs, addition, is handed to it.
 */

import type { Buffer } from "../device/engine.js";
import { AutogradError } from "../errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { isAnomalyEnabled, isGradEnabled, setGradEnabled } from "./mode.js";
import { outlive, type Region, withRegion } from "./region.js";

/**
 * A gradient that is known but not yet computed. A leaf may keep it so: whoever reads `.grad` has it computed then, and an
 * optimiser may fold the computation into its update, which spares writing the gradient and reading it back.
 */
export interface Deferred {
  readonly deferred: true;
  /** It cannot be computed any more: `compute` throws. */
  readonly lost?: true;
  compute(): Tensor;
  /** Copies what it will be computed from, so that nobody can change that in the meantime, and says which memory it holds. */
  keep(): readonly Buffer[];
  release(): void;
}
export type Gradient = Tensor | Deferred;
export const isDeferred = (g: Gradient): g is Deferred => (g as Deferred).deferred === true;

/** Gradients of a node's outputs to gradients of its inputs; null where there is none. */
export type Backward = (grads: (Tensor | null)[], node: Node) => (Gradient | null)[];

/** Where a gradient goes next: output `index` of `node`. */
export interface Edge {
  readonly node: Node;
  readonly index: number;
}

let sequence = 0;
const needsNothing: readonly never[] = [];

/** Transient buffers of the nodes released by the pass now running. */
const transients: Buffer[] = [];
function releaseTransients(): void {
  for (const b of transients) {
    if (b.claimed) continue;
    b.release();
  }
}

/**
 * Notes that `x`, which `y` was computed from, is held by nobody outside the library: it is released with the graph, or at
 * once if the graph does not need it. The caller has seen both made and let neither out.
 */
export function passing(x: Tensor, y: Tensor): void {
  const b = x.buffer;
  if (b === y.buffer || b.claimed || x.numel() * x.elementSize() !== b.bytes) return;
  if (x.gradFn === null && y.gradFn === null && !x.isView) {
    b.release();
    return;
  }
  if (x.gradFn === null) return;
  // A view's own node does not tell who else saved the memory.
  const direct = !x.isView && y.gradFn?.edges[0]?.node === x.gradFn;
  if (direct && !x.gradFn.saves(b) && y.gradFn?.saves(b) === false) b.release();
  else b.transient = true;
}

const freed: Backward = () => [];

export class Node {
  /** Nodes made later depend on nodes made earlier, never the other way round. */
  readonly order = sequence++;
  /** Where the operation was called, in anomaly mode. */
  readonly trace: string | null;
  /** For leaves: the tensor whose `.grad` collects. */
  leaf: Tensor | null = null;
  outputs = 1;
  released = false;
  /** The user's own code runs in this node, and may keep what it sees. */
  foreign = false;
  hooks: ((grad: Tensor) => Tensor | null | undefined | void)[][] | null = null;
  private versions: number[] | null;
  /** Gradients that have arrived in the pass now running. */
  pending: (Tensor | null)[] | null = null;
  visited = 0;

  constructor(
    readonly name: string,
    readonly edges: readonly (Edge | null)[],
    private saved: readonly (Tensor | null)[],
    public backward: Backward,
  ) {
    const n = saved.length;
    this.versions = n === 0 ? null : new Array<number>(n);
    for (let i = 0; i < n; i++) (this.versions as number[])[i] = saved[i]?.buffer.version ?? 0;
    this.trace = isAnomalyEnabled() ? (new Error().stack ?? null) : null;
  }

  /** A saved tensor, proven to hold what it held when it was saved. */
  input(i: number): Tensor {
    if (this.released) {
      throw new AutogradError(
        `backward: the values saved by ${this.name} were freed by an earlier backward; pass { retainGraph: true } to it`,
      );
    }
    const t = this.saved[i] as Tensor;
    const version = this.versions?.[i];
    if (t.buffer.version !== version) {
      throw new AutogradError(
        `backward: a tensor of shape (${t.shape.join(", ")}) that ${this.name} needs was changed in place ` +
          `(it is at version ${t.buffer.version}, saved at ${version}); clone it before changing it`,
      );
    }
    return t;
  }

  saves(b: Buffer): boolean {
    for (let i = 0; i < this.saved.length; i++) if (this.saved[i]?.buffer === b) return true;
    return false;
  }

  release(): void {
    for (let i = 0; i < this.saved.length; i++) {
      const b = this.saved[i]?.buffer;
      if (b?.transient === true) transients.push(b);
    }
    this.saved = needsNothing;
    this.versions = null;
    // A gradient's function may see more of the operation than was saved: a loss that is kept must not keep all that led to it.
    this.backward = freed;
    this.released = true;
  }
}

/** The edge along which a tensor's gradient flows, or null if it needs none. */
export function edgeOf(t: Tensor): Edge | null {
  if (!t.requiresGrad) return null;
  if (t.gradFn !== null) return { node: t.gradFn, index: t.outputIndex };
  let node = t.accumulator;
  if (node === null) {
    node = new Node("AccumulateGrad", needsNothing, needsNothing, () => []);
    node.leaf = t;
    t.accumulator = node;
  }
  return { node, index: 0 };
}

/** True if an operation on these inputs must be recorded. */
export function records(inputs: readonly (Tensor | number | null)[]): boolean {
  if (!isGradEnabled()) return false;
  for (let i = 0; i < inputs.length; i++) {
    const t = inputs[i];
    if (t !== null && typeof t === "object" && t.requiresGrad) return true;
  }
  return false;
}

/** Records `outputs` as made from `inputs`. */
export function record(
  name: string,
  inputs: readonly (Tensor | null)[],
  outputs: readonly Tensor[],
  saved: readonly (Tensor | null)[],
  backward: Backward,
): Node {
  const edges = new Array<Edge | null>(inputs.length);
  for (let i = 0; i < inputs.length; i++) {
    const t = inputs[i];
    edges[i] = t === null || t === undefined ? null : edgeOf(t);
  }
  const node = new Node(name, edges, saved, backward);
  node.outputs = outputs.length;
  for (let i = 0; i < outputs.length; i++) {
    const o = outputs[i] as Tensor;
    o.gradFn = node;
    o.outputIndex = i;
  }
  return node;
}

export interface BackwardOptions {
  retainGraph: boolean;
  createGraph: boolean;
  add: (a: Tensor, b: Tensor) => Tensor;
  hasNaN: (t: Tensor) => boolean;
  /** Gives the gradient a leaf may keep: the tensor itself, or a copy if somebody else has it. */
  claim: (t: Tensor) => Tensor;
}

let pass = 0;

/**
 * Propagates `grads` of `roots` to the leaves. With `targets` nothing is accumulated: their gradients come back instead.
 */
export function propagate(
  roots: readonly Tensor[],
  grads: readonly Tensor[],
  targets: readonly Tensor[] | null,
  options: BackwardOptions,
): (Tensor | null)[] {
  const wanted = targets === null ? null : targets.map((t) => edgeOf(t));
  const found: (Tensor | null)[] = targets === null ? [] : targets.map(() => null);
  const nodes = reachable(roots);
  const before = isGradEnabled();
  // Temporaries of a plain backward never reach the user, unless the user's own code runs in it.
  const exposed = options.createGraph || nodes.some((n) => n.foreign || n.hooks !== null);
  setGradEnabled(options.createGraph);
  try {
    withRegion(!exposed, (region) => {
      roots.forEach((r, i) => {
        const e = edgeOf(r) as Edge;
        arrive(e, grads[i] as Tensor, options);
      });
      for (const node of nodes) {
        if (node.pending !== null) step(node, wanted, found, options, region);
      }
      if (region !== null) for (const f of found) if (f !== null) region.keep(f.buffer);
    });
    // What was saved may be saved again by the graph of the backward pass.
    if (!options.createGraph) releaseTransients();
  } finally {
    setGradEnabled(before);
    transients.length = 0;
    for (const n of nodes) n.pending = null;
  }
  // The leaves' gradients have a graph of their own.
  if (options.createGraph && targets === null) outlive();
  return found;
}

function step(
  node: Node,
  wanted: readonly (Edge | null)[] | null,
  found: (Tensor | null)[],
  options: BackwardOptions,
  region: Region | null,
): void {
  const pending = node.pending as (Tensor | null)[];
  node.pending = null;
  if (node.hooks !== null) runHooks(node, pending);
  wanted?.forEach((e, i) => {
    if (e !== null && e.node === node) found[i] = pending[e.index] ?? null;
  });
  if (node.leaf !== null) {
    if (wanted === null) accumulate(node.leaf, pending[0] as Tensor, options, region);
    return;
  }
  if (wanted !== null && node.edges.length === 0) return;
  if (node.released) {
    throw new AutogradError(
      `backward: the graph below ${node.name} was freed by an earlier backward; pass { retainGraph: true } to that one`,
    );
  }
  const out = node.backward(pending, node);
  if (node.trace !== null) {
    for (const g of out) {
      if (g !== null && options.hasNaN(isDeferred(g) ? g.compute() : g)) {
        throw new AutogradError(`backward: ${node.name} gave NaN; its forward call was\n${userLines(node.trace)}`);
      }
    }
  }
  if (!options.retainGraph) node.release();
  for (let i = 0; i < node.edges.length; i++) {
    const e = node.edges[i];
    const g = out[i];
    if (e === null || e === undefined || g === null || g === undefined) continue;
    if (!isDeferred(g)) arrive(e, g, options);
    else if (
      region !== null &&
      wanted === null &&
      e.node.leaf !== null &&
      e.node.hooks === null &&
      e.node.pending === null &&
      e.node.leaf.gradOrDeferred === null
    ) {
      for (const b of g.keep()) region.keep(b);
      e.node.leaf.setDeferred(g);
    } else arrive(e, g.compute(), options);
  }
}

function arrive(e: Edge, g: Tensor, options: BackwardOptions): void {
  let pending = e.node.pending;
  if (pending === null) {
    pending = e.node.outputs === 1 ? [null] : new Array<Tensor | null>(e.node.outputs).fill(null);
    e.node.pending = pending;
  }
  const known = pending[e.index];
  pending[e.index] = known === null || known === undefined ? g : options.add(known, g);
}

function accumulate(leaf: Tensor, g: Tensor, options: BackwardOptions, region: Region | null): void {
  const old = leaf.gradUnseen;
  const next = old === null ? options.claim(g) : options.add(old, g);
  region?.keep(next.buffer);
  next.buffer.claimed = true;
  leaf.setGrad(next, region === null);
}

function runHooks(node: Node, pending: (Tensor | null)[]): void {
  node.hooks?.forEach((hooks, i) => {
    for (const hook of hooks) {
      const g = pending[i];
      if (g === null || g === undefined) continue;
      // The hook may keep what it sees and what it gives, so no leaf may take them over.
      g.buffer.claimed = true;
      const replaced = hook(g);
      if (replaced === null || replaced === undefined) continue;
      replaced.buffer.claimed = true;
      pending[i] = replaced;
    }
  });
}

/** The leaves whose gradients depend on the roots. */
export const leavesBelow = (roots: readonly Tensor[]): Tensor[] =>
  reachable(roots).flatMap((n) => (n.leaf === null ? [] : [n.leaf]));

/** Nodes below the roots, users before what they use: operations, the latest first, then the leaves. */
function reachable(roots: readonly Tensor[]): Node[] {
  pass += 1;
  const nodes: Node[] = [];
  const leaves: Node[] = [];
  let inOrder = true;
  const visit = (n: Node): void => {
    if (n.visited === pass) return;
    n.visited = pass;
    if (n.leaf !== null) {
      leaves.push(n);
      return;
    }
    if (nodes.length > 0 && (nodes[nodes.length - 1] as Node).order < n.order) inOrder = false;
    nodes.push(n);
  };
  for (const r of roots) visit((edgeOf(r) as Edge).node);
  for (let i = 0; i < nodes.length; i++) {
    const { edges } = nodes[i] as Node;
    for (let j = 0; j < edges.length; j++) {
      const e = edges[j];
      if (e !== null && e !== undefined) visit(e.node);
    }
  }
  if (!inOrder) nodes.sort((a, b) => b.order - a.order);
  for (const leaf of leaves) nodes.push(leaf);
  return nodes;
}

/** The user's lines of a stack: those outside this library. */
export function userLines(stack: string): string {
  const lines = stack.split("\n").slice(1);
  const own = lines.filter((l) => !/\/(src|dist)\/(autograd|compile|data|nn|ops|optim|tensor)\//.test(l));
  return (own.length > 0 ? own : lines).slice(0, 4).join("\n");
}
