/** Convolution, pooling and batch-norm modules: what they add to the functions, which the fixtures test. */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, ShapeError, type Tensor, ValueError } from "../../src/index.js";
import { engines, load, onEngine } from "../ops/cases.js";

const modules = [
  new nn.Conv2d(1, 32, 3),
  new nn.Conv2d(4, 8, [3, 5], { stride: 2, padding: [1, 2], dilation: 2, groups: 4, bias: false }),
  new nn.Conv1d(2, 3, 3, { padding: "same" }),
  new nn.Conv3d(2, 3, 2, { padding: 1 }),
  new nn.ConvTranspose2d(4, 2, 4, { stride: 2, padding: 1, outputPadding: 1 }),
  new nn.ConvTranspose1d(1, 1, 2),
  new nn.MaxPool2d(2),
  new nn.MaxPool1d(3, { stride: 2, padding: 1 }),
  new nn.MaxPool3d([2, 1, 2], { ceilMode: true, dilation: 2 }),
  new nn.AvgPool2d(3, { stride: [2, 1] }),
  new nn.AvgPool1d(2),
  new nn.AvgPool3d(2),
  new nn.AdaptiveAvgPool2d(1),
  new nn.AdaptiveAvgPool2d([null, 7]),
  new nn.AdaptiveAvgPool1d(4),
  new nn.AdaptiveMaxPool2d([2, 3]),
  new nn.BatchNorm2d(8),
  new nn.BatchNorm1d(3, { eps: 0.001, momentum: null, affine: false }),
  new nn.BatchNorm3d(2, { trackRunningStats: false }),
  new nn.GroupNorm(2, 6),
];

it.each(load<string[]>("repr").map((text, i) => [text, i] as const))("prints %s", (text, i) => {
  expect(String(modules[i])).toBe(text);
});

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  it("convolutions start within ±1/√(what one output sees)", () => {
    torch.manualSeed(2);
    const { weight, bias } = new nn.Conv2d(8, 300, 5, { groups: 2 });
    expect(weight.shape).toEqual([300, 4, 5, 5]);
    for (const t of [weight, bias as Tensor]) {
      expect(t.abs().max().item()).toBeLessThanOrEqual(0.1);
      expect(t.abs().max().item()).toBeGreaterThan(0.098);
    }
    expect(new nn.ConvTranspose2d(4, 6, 3, { groups: 2 }).weight.shape).toEqual([4, 3, 3, 3]);
    const half = new nn.Conv1d(2, 2, 1, { dtype: "float64" });
    expect([half.weight.dtype, half.bias?.dtype]).toEqual(["float64", "float64"]);
  });

  it("a transposed convolution gives the size asked for", () => {
    const layer = new nn.ConvTranspose2d(2, 3, 3, { stride: 2, padding: 1 });
    const x = torch.rand([1, 2, 5, 5]);
    expect(layer.forward(x).shape).toEqual([1, 3, 9, 9]);
    expect(layer.forward(x, [10, 9]).shape).toEqual([1, 3, 10, 9]);
    expect(() => layer.forward(x, [11, 9])).toThrow(/cannot give size 11/);
  });

  it("batch norm follows the batches it has seen", () => {
    const layer = new nn.BatchNorm1d(2, { momentum: 0.5 });
    expect(Object.keys(layer.stateDict())).toEqual([
      "weight",
      "bias",
      "running_mean",
      "running_var",
      "num_batches_tracked",
    ]);
    layer.forward(
      torch.tensor([
        [0, 10],
        [4, 10],
      ]),
    );
    expect(layer.runningMean?.tolist()).toEqual([1, 5]);
    expect(layer.runningVar?.tolist()).toEqual([4.5, 0.5]);
    expect(layer.numBatchesTracked?.item()).toBe(1);
    layer.eval();
    const y = layer.forward(torch.tensor([[1, 5]]));
    expect(y.tolist()).toEqual([[0, 0]]);
    expect(layer.numBatchesTracked?.item()).toBe(1);
    const other = new nn.BatchNorm1d(2);
    other.loadStateDict(layer.stateDict());
    expect(other.runningMean?.tolist()).toEqual([1, 5]);
    const mean = new nn.BatchNorm1d(1, { momentum: null });
    for (const v of [1, 3, 8]) mean.forward(torch.tensor([[v - 1], [v + 1]]));
    expect(mean.runningMean?.item()).toBeCloseTo(4, 5);
    const free = new nn.BatchNorm2d(1, { trackRunningStats: false }).eval();
    expect(free.forward(torch.tensor([[[[1, 3]]]])).tolist()).toEqual([
      [[[expect.closeTo(-1, 4), expect.closeTo(1, 4)]]],
    ]);
  });

  it("differentiates pooling and batch norm twice", () => {
    const x = torch.randn([2, 2, 5, 4], { dtype: "float64", requiresGrad: true });
    const w = torch.rand([2], { dtype: "float64", requiresGrad: true });
    const F = nn.functional;
    const functions: [string, (...i: Tensor[]) => Tensor][] = [
      ["max", (t) => F.maxPool2d(t as Tensor, 2, { stride: 1, padding: 1 })],
      ["max apart", (t) => F.maxPool2d(t as Tensor, 2)],
      ["avg", (t) => F.avgPool2d(t as Tensor, 3, { stride: 2, padding: 1, countIncludePad: false })],
      ["adaptive", (t) => F.adaptiveAvgPool2d(t as Tensor, [3, 3])],
      ["batch", (t, s) => F.batchNorm(t as Tensor, null, null, { weight: s as Tensor, training: true })],
      ["group", (t, s) => F.groupNorm(t as Tensor, 2, s as Tensor)],
    ];
    for (const [name, f] of functions) {
      const inputs = name === "batch" || name === "group" ? [x, w] : [x];
      const gradient = (...i: Tensor[]): Tensor[] =>
        torch.autograd
          .grad(
            f(...i)
              .pow(3)
              .sum(),
            i,
            { createGraph: true },
          )
          .map((t) => t as Tensor);
      expect(torch.autograd.gradcheck(gradient, inputs), name).toBe(true);
    }
  });

  it("learns in a Sequential, in constant memory", () => {
    torch.manualSeed(1);
    const model = new nn.Sequential(
      new nn.Conv2d(1, 4, 3, { padding: 1, bias: false }),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Conv2d(4, 8, 3),
      new nn.ReLU(),
      new nn.AdaptiveAvgPool2d(1),
      new nn.Flatten(),
      new nn.Linear(8, 2),
    );
    const optimiser = new torch.optim.SGD(model.parameters(), { lr: 0.2 });
    const x = torch.zeros([16, 1, 8, 8]);
    // Stripes that stand or lie.
    for (let i = 0; i < 16; i++)
      for (let j = i % 3; j < 8; j += 2 + (i % 2))
        x.index(i, 0)
          .select(i % 2, j)
          .fill_(1);
    const y = torch.arange(16).remainder(2).long();
    let loss = Number.NaN;
    const plain = (input: Tensor): Tensor => [...model].reduce((t, layer) => layer.forward(t), input);
    for (let step = 0; step < 40; step++) {
      const l = nn.functional.crossEntropy(step % 2 === 0 ? model.forward(x) : plain(x), y);
      optimiser.zeroGrad();
      l.backward();
      optimiser.step();
      loss = l.item();
    }
    expect(loss).toBeLessThan(0.2);
    model.eval();
    expect(torch.noGrad(() => model.forward(x)).allclose(torch.noGrad(() => plain(x)))).toBe(true);
  });

  it("says what does not fit", () => {
    expect(() => new nn.Conv2d(3, 4, 3, { groups: 2 })).toThrow(/2 groups do not divide inChannels = 3/);
    expect(() => new nn.Conv2d(2, 4, [3])).toThrow(ValueError);
    expect(() => new nn.Conv2d(2, 4, 3, { padding: "same", stride: 2 })).toThrow(/"same" needs stride 1/);
    expect(() => new nn.BatchNorm2d(3).forward(torch.zeros([2, 3, 4]))).toThrow(
      /BatchNorm2d: .* expected \(N, C, H, W\)/,
    );
    expect(() => new nn.BatchNorm1d(3).forward(torch.zeros([2, 4]))).toThrow(/has 4 channels; expected 3/);
    expect(() => new nn.BatchNorm1d(3).forward(torch.zeros([1, 3]))).toThrow(/more than one value a channel/);
    expect(() => new nn.GroupNorm(2, 3)).toThrow(ValueError);
    expect(() => new nn.MaxPool2d(3).forward(torch.zeros([1, 2, 2, 5]))).toThrow(ShapeError);
    expect(() => new nn.MaxPool2d(2, { padding: 2 }).forward(torch.zeros([1, 2, 5, 5]))).toThrow(/more than half/);
    expect(() => nn.functional.avgPool2d(torch.zeros([4, 4], { dtype: "float32" }), 2)).toThrow(/expected 3, or 4/);
    expect(() => nn.functional.maxPool2d(torch.zeros([1, 2, 4, 4]).int(), 2)).toThrow(/not defined on int32/);
  });
});
