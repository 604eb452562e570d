/** The computation graph as data and as a picture: what the seed draws as x → y → z. */
import { show } from "../ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { edgeOf, type Node } from "./tape.js";

export interface GraphNode {
  readonly id: number;
  /** The operation, or "leaf" for a tensor that requires a gradient. */
  readonly name: string;
  /** The leaf's shape. */
  readonly shape: readonly number[] | null;
}
export interface GraphEdge {
  readonly from: number;
  readonly to: number;
}
export interface ComputationGraph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** Graphviz source. */
  toDot(): string;
}

/**
 * The graph below `root`: an edge from what was computed to what it was computed into. `names` labels leaves.
 *
 * ```ts
 * const x = torch.tensor(3.5, { requiresGrad: true });
 * console.log(torch.autograd.graph(x.mul(x), { x }).toDot());
 * ```
 */
export function graph(root: Tensor, names: Readonly<Record<string, Tensor>> = {}): ComputationGraph {
  const ids = new Map<Node, number>();
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  const labels = new Map<Node, string>();
  for (const [name, t] of Object.entries(names)) {
    const e = edgeOf(t);
    if (e !== null) labels.set(e.node, name);
  }
  // Numbered when first seen; a stack of our own, since graphs are deeper than JavaScript's.
  const waiting: Node[] = [];
  const number = (node: Node): number => {
    let id = ids.get(node);
    if (id === undefined) {
      id = ids.size;
      ids.set(node, id);
      const leaf = node.leaf;
      nodes.push({ id, name: labels.get(node) ?? (leaf === null ? node.name : "leaf"), shape: leaf?.shape ?? null });
      waiting.push(node);
    }
    return id;
  };
  const start = edgeOf(root);
  if (start !== null) number(start.node);
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const to = number(node);
    for (const e of node.edges) if (e !== null) edges.push({ from: number(e.node), to });
  }
  const quoted = (s: string): string => `"${s.replace(/[\\"]/g, "\\$&")}"`;
  return {
    nodes,
    edges,
    toDot(): string {
      const lines = nodes.map((n) =>
        n.shape === null
          ? `  n${n.id} [label=${quoted(n.name)}, shape=box];`
          : `  n${n.id} [label=${quoted(`${n.name} ${show(n.shape)}`)}, shape=ellipse];`,
      );
      return `digraph {\n${[...lines, ...edges.map((e) => `  n${e.from} -> n${e.to};`)].join("\n")}\n}\n`;
    },
  };
}
