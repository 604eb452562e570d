/** Lookups against general indexing, gradients of both orders, padding, and what must be refused. */
import { beforeEach, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { DTypeError, IndexError, nn, ShapeError } from "../../src/index.js";

const F = nn.functional;
const int = (values: torch.NestedArray): torch.Tensor => torch.tensor(values, { dtype: "int64" });

describe.each(["native", "wasm"] as const)("embedding, %s", (engine) => {
  beforeEach(() => {
    torch.setCpuEngine(engine);
    torch.manualSeed(1);
  });
  const table = (dtype: torch.DType = "float32"): torch.Tensor => {
    return torch.randn([7, 5]).to(dtype);
  };

  it.each([
    ["float32", [4]],
    ["float64", [2, 3]],
    ["float16", [3]],
    ["bfloat16", [2, 2]],
    ["float32", []],
    ["float32", [0]],
  ] as const)("%s, numbers of shape %j: as by indexing", (dtype, shape) => {
    const numbers = torch.randint(0, 7, shape.length === 0 ? [1] : [...shape], { dtype: "int64" }).reshape([...shape]);
    const values = table(dtype);
    const weights = torch.randn([...shape, 5]).to(dtype);
    const run = (look: (w: torch.Tensor) => torch.Tensor): unknown[] => {
      const w = values.clone().requiresGrad_();
      const rows = look(w);
      rows.mul(weights).sum().backward();
      return [rows.shape, rows.tolist(), w.grad?.tolist()];
    };
    expect(run((w) => F.embedding(numbers, w))).toEqual(run((w) => w.index(numbers)));
  });

  it("adds up the gradients of a row that comes twice, and none of the padding", () => {
    const w = table().requiresGrad_();
    F.embedding(
      int([
        [1, 2],
        [1, 3],
      ]),
      w,
      { paddingIdx: -4 },
    )
      .sum()
      .backward();
    expect(w.grad?.sum(1).tolist()).toEqual([0, 10, 5, 0, 0, 0, 0]);
  });

  it("reads strided tables and numbers", () => {
    const w = table().t().contiguous().t();
    const numbers = int([
      [1, 2, 3],
      [4, 5, 6],
    ]).t();
    expect(F.embedding(numbers, w).tolist()).toEqual(w.index(numbers).tolist());
  });

  it("has gradients of gradients", () => {
    const w = table("float64").requiresGrad_();
    const numbers = int([0, 3, 3]);
    const f = (x: torch.Tensor): torch.Tensor => F.embedding(numbers, x, { paddingIdx: 0 }).pow(3).sum();
    const [g] = torch.autograd.grad(f(w), [w], { createGraph: true });
    g!.sum().backward();
    const want = w
      .detach()
      .mul(12)
      .mul(torch.tensor([0, 0, 0, 1, 0, 0, 0]).reshape([7, 1]));
    expect(torch.allclose(w.grad!, want)).toBe(true);
  });

  it("refuses what it cannot look up", () => {
    expect(() => F.embedding(int([7]), table())).toThrow(IndexError);
    expect(() => F.embedding(int([-1]), table())).toThrow(IndexError);
    expect(() => F.embedding(torch.tensor([1.5]), table())).toThrow(DTypeError);
    expect(() => F.embedding(int([1]), table("int32"))).toThrow(DTypeError);
    expect(() => F.embedding(int([1]), torch.ones([3]))).toThrow(ShapeError);
    expect(() => F.embedding(int([1]), table(), { paddingIdx: 7 })).toThrow(IndexError);
  });
});

describe("nn.Embedding", () => {
  it("learns, but for the padding", () => {
    const layer = new nn.Embedding(4, 3, { paddingIdx: 1 });
    expect(layer.weight.select(0, 1).tolist()).toEqual([0, 0, 0]);
    const before = layer.weight.detach().clone();
    const optimiser = new torch.optim.SGD(layer.parameters(), { lr: 1 });
    layer
      .forward(int([0, 1]))
      .sum()
      .backward();
    optimiser.step();
    expect(layer.weight.sub(before).round().sum(1).tolist()).toEqual([-3, 0, 0, 0]);
    expect(String(layer)).toBe("Embedding(4, 3, padding_idx=1)");
    expect(Object.keys(layer.stateDict())).toEqual(["weight"]);
  });

  it("takes what was learnt elsewhere", () => {
    const rows = torch.randn([3, 2]);
    const layer = nn.Embedding.fromPretrained(rows);
    expect(layer.weight.requiresGrad).toBe(false);
    expect(layer.forward(int([2])).tolist()).toEqual(rows.slice(0, 2).tolist());
    expect(nn.Embedding.fromPretrained(rows, { freeze: false }).weight.requiresGrad).toBe(true);
    expect(() => new nn.Embedding(3, 2, { paddingIdx: 3 })).toThrow(IndexError);
    expect(() => new nn.Embedding(-1, 2)).toThrow(torch.ValueError);
  });
});
