/** Containers, layers and losses: what they add to the functions, which the fixtures test. */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { IndexError, nn, ShapeError, type Tensor, ValueError } from "../../src/index.js";

describe("Sequential", () => {
  const a = new nn.Linear(2, 2);
  const b = new nn.ReLU();

  it("is indexable, iterable and grows", () => {
    const model = new nn.Sequential(a, b);
    expect([model.length, model.at(0), model.at(-1), [...model]]).toEqual([2, a, b, [a, b]]);
    expect(() => model.at(2)).toThrow(IndexError);
    expect(model.append(new nn.Tanh()).length).toBe(3);
    expect(Object.keys(model.stateDict())).toEqual(["0.weight", "0.bias"]);
  });

  it("takes names", () => {
    const model = new nn.Sequential({ hidden: a, active: b });
    expect(model.namedChildren()).toEqual([
      ["hidden", a],
      ["active", b],
    ]);
    expect(Object.keys(model.stateDict())).toEqual(["hidden.weight", "hidden.bias"]);
  });

  it("without layers gives back its input", () => {
    const x = torch.ones([1]);
    expect(new nn.Sequential().forward(x)).toBe(x);
    expect(String(new nn.Sequential())).toBe("Sequential()");
  });

  it("keeps the fields of subclasses", () => {
    class Scaled extends nn.Sequential {
      factor = new nn.Parameter(torch.tensor([2]));
      override forward(input: Tensor): Tensor {
        return super.forward(input).mul(this.factor);
      }
    }
    const model = new Scaled(new nn.Identity());
    expect(model.namedParameters().map(([name]) => name)).toEqual(["factor"]);
    expect(model.forward(torch.tensor([3])).tolist()).toEqual([6]);
  });
});

describe("lists and dictionaries", () => {
  it("name their parts", () => {
    const list = new nn.ModuleList([new nn.Linear(1, 1)]).extend([new nn.Linear(1, 2)]);
    expect(list.namedParameters().map(([name]) => name)).toEqual(["0.weight", "0.bias", "1.weight", "1.bias"]);
    expect(list.at(-1).outFeatures).toBe(2);
    const dict = new nn.ModuleDict({ x: new nn.Linear(1, 1) }).set("y", new nn.Linear(1, 3));
    expect(dict.namedParameters().map(([name]) => name)).toEqual(["x.weight", "x.bias", "y.weight", "y.bias"]);
    expect([dict.size, dict.has("y"), dict.delete("x"), dict.size]).toEqual([2, true, true, 1]);
    expect(() => dict.get("z")).toThrow(/no module "z"/);
    const params = new nn.ParameterList([torch.ones([1]), new nn.Parameter(torch.ones([2]))]);
    expect([...params].every((p) => p instanceof nn.Parameter)).toBe(true);
    expect(params.length).toBe(2);
  });

  it("compute nothing", () => {
    for (const module of [new nn.ModuleList(), new nn.ModuleDict(), new nn.ParameterList()]) {
      expect(() => module.forward()).toThrow(ValueError);
    }
  });
});

describe("Linear", () => {
  it("starts within ±1/√inFeatures", () => {
    torch.manualSeed(1);
    const { weight, bias } = new nn.Linear(100, 400);
    for (const t of [weight, bias!]) {
      expect(t.abs().max().item()).toBeLessThanOrEqual(0.1);
      expect(t.abs().max().item()).toBeGreaterThan(0.098);
      expect(Math.abs(t.std().item() - 0.1 / Math.sqrt(3))).toBeLessThan(0.004);
    }
  });

  it("is the same for the same seed", () => {
    const draw = () => {
      torch.manualSeed(5);
      return new nn.Linear(7, 3).weight.tolist();
    };
    expect(draw()).toEqual(draw());
  });

  it("checks sizes", () => {
    expect(() => new nn.Linear(2.5, 1)).toThrow(ValueError);
    expect(() => new nn.Linear(3, 2).forward(torch.ones([4, 2]))).toThrow(ShapeError);
    expect(new nn.Linear(3, 2, { bias: false }).bias).toBe(null);
    expect(new nn.Linear(3, 2, { dtype: "float64" }).weight.dtype).toBe("float64");
  });
});

describe("LayerNorm", () => {
  it("starts as the identity on normalised rows, and has what it was asked for", () => {
    const layer = new nn.LayerNorm([2, 3]);
    expect([layer.weight!.tolist(), layer.bias!.tolist()]).toEqual([
      [
        [1, 1, 1],
        [1, 1, 1],
      ],
      [
        [0, 0, 0],
        [0, 0, 0],
      ],
    ]);
    expect(new nn.LayerNorm(3, { bias: false }).bias).toBe(null);
    expect(new nn.LayerNorm(3, { elementwiseAffine: false }).parameters()).toEqual([]);
    expect(() => new nn.LayerNorm([])).toThrow(ValueError);
    expect(() => layer.forward(torch.ones([4, 3]))).toThrow(ShapeError);
  });
});

describe("Dropout", () => {
  it("zeroes the share p and keeps the expectation, while training", () => {
    torch.manualSeed(2);
    const layer = new nn.Dropout(0.25);
    const x = torch.ones([100, 100], { requiresGrad: true });
    const y = layer.forward(x);
    const zeros = y.eq(0).sum().item() / 10_000;
    expect(Math.abs(zeros - 0.25)).toBeLessThan(0.02);
    expect(Math.abs(y.max().item() - 4 / 3)).toBeLessThan(1e-6);
    y.sum().backward();
    expect(x.grad!.equal(y.detach())).toBe(true);
    expect(layer.eval().forward(x)).toBe(x);
  });

  it("checks p", () => {
    expect(() => new nn.Dropout(1.5)).toThrow(ValueError);
    expect(new nn.Dropout(1).forward(torch.ones([2])).tolist()).toEqual([0, 0]);
    expect(new nn.Dropout(0).forward(torch.ones([2])).tolist()).toEqual([1, 1]);
  });
});

describe("shapes", () => {
  it("Flatten and Unflatten undo each other", () => {
    const x = torch.rand([2, 3, 4]);
    const flat = new nn.Flatten().forward(x);
    expect(flat.shape).toEqual([2, 12]);
    expect(new nn.Unflatten(1, [3, -1]).forward(flat).equal(x)).toBe(true);
  });
});

describe("losses", () => {
  const x = torch.tensor([
    [0.2, 0.7],
    [0.4, 0.1],
  ]);
  const y = torch.tensor([
    [0, 1],
    [1, 0],
  ]);

  it.each([
    ["MSELoss", new nn.MSELoss(), new nn.MSELoss({ reduction: "sum" }), new nn.MSELoss({ reduction: "none" })],
    ["L1Loss", new nn.L1Loss(), new nn.L1Loss({ reduction: "sum" }), new nn.L1Loss({ reduction: "none" })],
    [
      "SmoothL1Loss",
      new nn.SmoothL1Loss(),
      new nn.SmoothL1Loss({ reduction: "sum" }),
      new nn.SmoothL1Loss({ reduction: "none" }),
    ],
    ["BCELoss", new nn.BCELoss(), new nn.BCELoss({ reduction: "sum" }), new nn.BCELoss({ reduction: "none" })],
    [
      "BCEWithLogitsLoss",
      new nn.BCEWithLogitsLoss(),
      new nn.BCEWithLogitsLoss({ reduction: "sum" }),
      new nn.BCEWithLogitsLoss({ reduction: "none" }),
    ],
  ])("%s reduces as asked", (_, mean, sum, none) => {
    const each = none.forward(x, y);
    expect(each.shape).toEqual([2, 2]);
    expect(sum.forward(x, y).item()).toBeCloseTo(each.sum().item(), 5);
    expect(mean.forward(x, y).item()).toBeCloseTo(each.mean().item(), 5);
  });

  it("hold their weights as buffers", () => {
    const weight = torch.tensor([1, 2]);
    expect(Object.keys(new nn.CrossEntropyLoss({ weight }).stateDict())).toEqual(["weight"]);
    expect(new nn.CrossEntropyLoss().stateDict()).toEqual({});
    const target = torch.tensor([1, 0], { dtype: "int64" });
    const loss = new nn.CrossEntropyLoss({ weight, labelSmoothing: 0.1, ignoreIndex: 0 });
    const expected = nn.functional.crossEntropy(x, target, { weight, labelSmoothing: 0.1, ignoreIndex: 0 });
    expect(loss.forward(x, target).item()).toBe(expected.item());
  });

  it("check their settings", () => {
    const reduction = "average" as unknown as "mean";
    expect(() => nn.functional.mseLoss(x, y, { reduction })).toThrow(ValueError);
    expect(() => nn.functional.crossEntropy(x, y, { labelSmoothing: 2 })).toThrow(ValueError);
    expect(() => nn.functional.oneHot(torch.tensor([5], { dtype: "int32" }), 5)).toThrow(ValueError);
    expect(() => nn.functional.oneHot(torch.tensor([0], { dtype: "int32" }), 0)).toThrow("numClasses is 0");
    expect(() => nn.functional.oneHot(torch.zeros([0], { dtype: "int32" }))).toThrow("there are no labels");
  });

  it("refuse classes out of range", () => {
    for (const wrong of [2, -1]) {
      const target = torch.tensor([0, wrong], { dtype: "int64" });
      for (const reduction of ["mean", "sum", "none"] as const)
        expect(() => nn.functional.crossEntropy(x, target, { reduction })).toThrow(IndexError);
    }
    expect(() => nn.functional.crossEntropy(x, torch.tensor([0], { dtype: "int64" }))).toThrow(ShapeError);
    const ignored = torch.tensor([0, 7], { dtype: "int64" });
    expect(nn.functional.crossEntropy(x, ignored, { ignoreIndex: 7 }).item()).toBe(
      nn.functional.crossEntropy(x.slice(0, 0, 1), ignored.slice(0, 0, 1)).item(),
    );
  });
});

describe.each(["native", "wasm"] as const)("binary cross entropy, %s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));
  const F = nn.functional;
  const reductions = ["mean", "sum", "none"] as const;

  it.each(reductions)("with reduction %s refuses what is no probability, before anything is changed", (reduction) => {
    const target = torch.tensor([0, 1, 1]);
    for (const stray of [1.001, -1e-6, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const view of [false, true]) {
        const x = torch.tensor([0.5, stray, 0.5], { requiresGrad: true });
        const input = view ? torch.stack([x, x], 1).select(1, 0) : x;
        expect(() => F.binaryCrossEntropy(input, target, { reduction })).toThrow(ValueError);
        expect(() => F.binaryCrossEntropy(input, target, { reduction, weight: target })).toThrow(/in \[0, 1\]/);
        expect(x.grad).toBe(null);
      }
    }
  });

  it.each(reductions)("with reduction %s takes the ends and nothing at all", (reduction) => {
    const loss = F.binaryCrossEntropy(torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1]), { reduction });
    expect(loss.max().item()).toBeCloseTo(reduction === "mean" ? 100 / 3 : 100, 4);
    const empty = F.binaryCrossEntropy(torch.zeros([0]), torch.zeros([0]), { reduction: "sum" });
    expect(empty.item()).toBe(0);
  });
});

describe.each(["native", "wasm"] as const)("cross entropy in one kernel, %s", (engine) => {
  const F = nn.functional;
  const shapes = [[5, 7], [7], [3, 4, 5], [2, 3, 4, 5], [64, 10], [1, 1], [0, 4]];
  const cases = shapes.flatMap((shape) => (["mean", "sum", "none"] as const).map((r) => [shape, r] as const));

  it.each(cases)("%j, %s: as of log-probabilities", (shape, reduction) => {
    torch.setCpuEngine(engine);
    torch.manualSeed(3);
    const classes = shape.length === 1 ? 0 : 1;
    const rows = shape.filter((_, d) => d !== classes);
    const target = torch.randint(0, shape[classes]!, rows.length === 0 ? [1] : rows, { dtype: "int64" }).reshape(rows);
    if (target.numel() > 1) target.reshape([-1]).index(0).copy_(torch.tensor(-100));
    const logits = torch.randn(shape).mul(30);
    for (const layout of [logits, logits.transpose(0, -1).contiguous().transpose(0, -1)]) {
      const run = (x: torch.Tensor, loss: (x: torch.Tensor) => torch.Tensor): number[] => {
        const value = loss(x);
        value.sum().backward();
        return [value.detach(), x.grad!].flatMap((t) => Array.from(t.toTypedArray(), Number));
      };
      const got = run(layout.detach().requiresGrad_(), (x) => F.crossEntropy(x, target, { reduction }));
      const want = run(layout.double().requiresGrad_(), (x) => F.nllLoss(x.logSoftmax(classes), target, { reduction }));
      expect(got.length).toBe(want.length);
      got.forEach((v, i) => {
        if (Number.isNaN(want[i])) expect(v).toBeNaN();
        else expect(Math.abs(v - want[i]!)).toBeLessThanOrEqual(2e-6 * Math.max(1, Math.abs(want[i]!)));
      });
    }
  });

  it("keeps the digits of large logits", () => {
    torch.setCpuEngine(engine);
    const x = torch.tensor(
      [
        [1e5, 1e5 + 1, -1e30],
        [Number.NEGATIVE_INFINITY, 0, 0],
      ],
      { requiresGrad: true },
    );
    const loss = F.crossEntropy(x, torch.tensor([0, 1], { dtype: "int32" }), { reduction: "none" });
    loss.sum().backward();
    expect(loss.get([0])).toBeCloseTo(Math.log(1 + Math.E), 5);
    expect(loss.get([1])).toBeCloseTo(Math.log(2), 6);
    const p = 1 / (1 + Math.E);
    [p - 1, 1 - p, 0, 0, -0.5, 0.5].forEach((g, i) => {
      expect(x.grad!.reshape([-1]).get([i])).toBeCloseTo(g, 6);
    });
  });

  it("is not a number where no class counts", () => {
    torch.setCpuEngine(engine);
    const target = torch.tensor([-100, -100], { dtype: "int64" });
    expect(F.crossEntropy(torch.randn([2, 3]), target).item()).toBeNaN();
    expect(F.crossEntropy(torch.randn([2, 3]), target, { reduction: "sum" }).item()).toBe(0);
  });
});
