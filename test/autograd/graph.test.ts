/** The computation graph of the seed's three programs, as data and as Graphviz source. */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";

const { tensor } = torch;
const { graph } = torch.autograd;
const leaf = (x: number | number[]): torch.Tensor => tensor(x, { requiresGrad: true });

/** Edges by name, which do not depend on the order of numbering. */
function named(g: torch.autograd.ComputationGraph): string[] {
  const name = (id: number): string => g.nodes.find((n) => n.id === id)!.name;
  return g.edges.map((e) => `${name(e.from)} → ${name(e.to)}`).sort();
}

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  it("(x − 1)(x − 2)(x − 3)", () => {
    const x = leaf(3.5);
    const g = graph(x.sub(1).mul(x.sub(2)).mul(x.sub(3)), { x });
    expect(g.nodes.map((n) => n.name).sort()).toEqual(["mul", "mul", "sub", "sub", "sub", "x"]);
    expect(named(g)).toEqual(["mul → mul", "sub → mul", "sub → mul", "sub → mul", "x → sub", "x → sub", "x → sub"]);
    expect(g.nodes.find((n) => n.name === "x")!.shape).toEqual([]);
    expect(g.nodes.find((n) => n.name === "mul")!.shape).toBeNull();
  });

  it("y = x², z = 2y + 3", () => {
    const x = leaf(3.5);
    const z = x.mul(x).mul(2).add(3);
    expect(graph(z, { x }).toDot()).toBe(
      [
        "digraph {",
        '  n0 [label="add", shape=box];',
        '  n1 [label="mul", shape=box];',
        '  n2 [label="mul", shape=box];',
        '  n3 [label="x ()", shape=ellipse];',
        "  n1 -> n0;",
        "  n2 -> n1;",
        "  n3 -> n2;",
        "  n3 -> n2;",
        "}",
        "",
      ].join("\n"),
    );
  });

  it("x = 2a + 3b, y = 5a² + 3b³, z = 2x + 3y", () => {
    const a = leaf(2);
    const b = leaf(1);
    const x = a.mul(2).add(b.mul(3));
    const y = a.mul(a).mul(5).add(b.pow(3).mul(3));
    const g = graph(x.mul(2).add(y.mul(3)), { a, b });
    expect(g.nodes.length).toBe(13);
    expect(named(g)).toEqual(
      [
        ...["a → mul", "a → mul", "a → mul", "b → mul", "b → pow"],
        ...["mul → add", "mul → add", "mul → add", "mul → add", "mul → add", "mul → add"],
        ...["mul → mul", "pow → mul", "add → mul", "add → mul"],
      ].sort(),
    );
    const ids = g.nodes.map((n) => n.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const e of g.edges) expect(ids.includes(e.from) && ids.includes(e.to)).toBe(true);
  });

  it("leaves without a name are leaves with a shape; labels are quoted", () => {
    const w = leaf([1, 2]);
    const g = graph(w.mul(tensor([3, 4])).sum());
    expect(g.nodes.find((n) => n.name === "leaf")!.shape).toEqual([2]);
    expect(graph(w.sum(), { 'my "w"': w }).toDot()).toContain('label="my \\"w\\" (2,)"');
  });

  it("a constant has no graph; a leaf is its own", () => {
    expect(graph(tensor(1)).nodes).toEqual([]);
    expect(graph(leaf(1)).nodes).toEqual([{ id: 0, name: "leaf", shape: [] }]);
  });

  it("deep graphs do not overflow the stack", () => {
    let y = leaf(1);
    for (let i = 0; i < 20_000; i++) y = y.add(1);
    expect(graph(y).nodes.length).toBe(20_001);
  });
});
