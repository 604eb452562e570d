/** The computation graph, drawn: Graphviz lays it out, from the source that `autograd.graph` writes. */
import { checkNamedTensors, checkOptions, refuseArgument } from "../arguments.js";
import { type ComputationGraph, graph as graphOf } from "../autograd/graph.js";
import { isTensor, type Tensor } from "../tensor/index.js";
import { Figure } from "./figure.js";
import { optional } from "./optional.js";
import { type Theme, themes } from "./theme.js";

export interface GraphOptions {
  /** Names of leaves: `{ x, w }`. */
  names?: Readonly<Record<string, Tensor>>;
  title?: string;
  /** Which way the computation goes: "LR", to the right, by default; "TB" downwards. */
  rankdir?: "LR" | "TB";
}

/**
 * How a tensor was computed: leaves in ellipses, operations in boxes. Needs `@viz-js/viz`.
 *
 * @example
 * const x = torch.tensor(3.5, { requiresGrad: true });
 * const figure = plot.graph(x.mul(x).mul(2).add(3), { names: { x }, title: "x → y → z" });
 */
export function graph(root: Tensor | ComputationGraph, options: GraphOptions = {}): Figure {
  checkOptions("graph", options);
  if (!isTensor(root) && typeof (root as ComputationGraph | null)?.toDot !== "function") {
    refuseArgument("graph", "root", root, "a tensor, or what autograd.graph gives");
  }
  if (options.names !== undefined) checkNamedTensors("graph", "names", options.names);
  const computation = isTensor(root) ? graphOf(root, options.names) : root;
  // A leaf of one number has the shape (), which says nothing.
  const dot = computation.toDot().replaceAll(' ()"', '"');
  const { title, rankdir = "LR" } = options;
  if (rankdir !== "LR" && rankdir !== "TB") refuseArgument("graph", "rankdir", rankdir, '"LR" or "TB"');
  return new Figure(title ?? "graph", async (theme: Theme) => {
    const { instance } = await optional("graphs are drawn by Graphviz", "@viz-js/viz", () => import("@viz-js/viz"));
    const { background, text, line, palette } = themes[theme];
    const type = { fontname: "Helvetica,Arial,sans-serif", fontsize: 12, fontcolor: text };
    const label: Record<string, string | number> =
      title === undefined ? {} : { label: title, labelloc: "t", fontsize: 14 };
    return (await instance()).renderString(dot, {
      format: "svg",
      graphAttributes: { ...type, ...label, rankdir, bgcolor: background, pad: 0.2, nodesep: 0.25, ranksep: 0.35 },
      nodeAttributes: { ...type, color: palette[0] as string, penwidth: 1.2, height: 0.35, margin: "0.12,0.05" },
      edgeAttributes: { color: line, arrowsize: 0.7 },
    });
  });
}
