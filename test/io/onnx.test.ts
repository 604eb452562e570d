/** ONNX: what is exported gives the same numbers in onnxruntime and here again, and what cannot be exported is named. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as torch from "cresset";
import { CressetError, DataError, FormatError, nn, type Tensor, ValueError } from "cresset";
import { deserializeOnnx, exportOnnx, loadNpy, loadOnnx, serializeOnnx } from "cresset/io";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../vision/fixtures.js";
import { expectFormatErrorsOnly, fixture, fixtureBytes } from "./fixtures.js";
import { Network, wave } from "./network.js";
import { runOnnx } from "./onnx-runtime.js";

const { functional: F } = nn;

function expectNear(got: Tensor | undefined, expected: Tensor): void {
  expect([got?.dtype, got?.shape]).toEqual([expected.dtype, expected.shape]);
  const difference = got!.double().sub(expected.double()).abs();
  const scale = expected.double().abs().add(1);
  expect(expected.numel() === 0 ? 0 : difference.div(scale).max().item()).toBeLessThan(1e-5);
}

/** Exports, runs in onnxruntime and here on the same inputs; both must agree with the module. */
async function expectSame(module: nn.Module, inputs: Tensor[], options: Parameters<typeof serializeOnnx>[2] = {}) {
  const bytes = await serializeOnnx(module, inputs, options);
  module.eval();
  const expected = torch.noGrad(() => (module.forward as (...inputs: Tensor[]) => Tensor)(...inputs));
  const names = inputs.map((_, i) => (inputs.length === 1 ? "input" : `input_${i}`));
  const theirs = await runOnnx(bytes, Object.fromEntries(names.map((name, i) => [name, inputs[i]!])));
  expectNear(theirs.output, expected);
  const back = await deserializeOnnx(bytes);
  expectNear(
    torch.noGrad(() => back.forward(...inputs)),
    expected,
  );
  return back;
}

/** A module of a function. */
class Of extends nn.Module {
  constructor(readonly run: (...inputs: Tensor[]) => unknown) {
    super();
  }
  forward(...inputs: Tensor[]): unknown {
    return this.run(...inputs);
  }
}

/** Parameters and statistics that are no ones and zeros. */
function shaken<M extends nn.Module>(module: M): M {
  torch.manualSeed(3);
  torch.noGrad(() => {
    for (const p of module.parameters()) p.copy_(torch.rand(p.shape).add(0.25));
    for (const b of module.buffers()) if (b.isFloatingPoint()) b.copy_(torch.rand(b.shape).add(0.5));
  });
  return module;
}

describe("every layer in onnxruntime and back", () => {
  const line = () => torch.randn([2, 4, 9]);
  const plane = () => torch.randn([2, 4, 9, 8]);
  const space = () => torch.randn([2, 4, 6, 5, 7]);
  const layers: [string, () => nn.Module, () => Tensor][] = [
    ["Linear", () => new nn.Linear(5, 3), () => torch.randn([4, 5])],
    ["Linear without bias", () => new nn.Linear(5, 3, { bias: false }), () => torch.randn([4, 5])],
    ["Linear of more dimensions", () => new nn.Linear(5, 3), () => torch.randn([2, 3, 5])],
    [
      "Embedding",
      () => new nn.Embedding(7, 3),
      () =>
        torch.tensor(
          [
            [0, 6],
            [2, 2],
          ],
          { dtype: "int32" },
        ),
    ],
    ["Embedding of int64", () => new nn.Embedding(7, 3, { paddingIdx: 0 }), () => torch.arange(7).long()],
    ["Identity", () => new nn.Identity(), () => torch.randn([4, 5])],
    ["Conv1d", () => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, dilation: 2, groups: 2 }), line],
    ["Conv2d", () => new nn.Conv2d(4, 6, [3, 2], { stride: [2, 1], padding: [1, 0], bias: false }), plane],
    ["Conv2d same", () => new nn.Conv2d(4, 6, [4, 3], { padding: "same" }), plane],
    ["Conv2d without a batch", () => new nn.Conv2d(4, 6, 3), () => torch.randn([4, 5, 5])],
    ["Conv2d by channels", () => new nn.Conv2d(4, 8, 3, { groups: 4 }), plane],
    ["Conv3d", () => new nn.Conv3d(4, 2, 2, { padding: 1 }), space],
    ["ConvTranspose1d", () => new nn.ConvTranspose1d(4, 3, 3, { stride: 2, padding: 1, outputPadding: 1 }), line],
    ["ConvTranspose2d", () => new nn.ConvTranspose2d(4, 6, 3, { stride: 2, dilation: 2, groups: 2 }), plane],
    ["ConvTranspose3d", () => new nn.ConvTranspose3d(4, 2, 2, { stride: 2 }), space],
    ["MaxPool1d", () => new nn.MaxPool1d(3, { stride: 2, padding: 1 }), line],
    ["MaxPool2d", () => new nn.MaxPool2d(3, { ceilMode: true, dilation: 2, stride: 2 }), plane],
    ["MaxPool3d", () => new nn.MaxPool3d(2), space],
    ["AvgPool1d", () => new nn.AvgPool1d(3, { padding: 1 }), line],
    ["AvgPool2d", () => new nn.AvgPool2d([3, 2], { padding: 1, countIncludePad: false, stride: 2 }), plane],
    ["AvgPool3d", () => new nn.AvgPool3d(2), space],
    ["AdaptiveAvgPool1d", () => new nn.AdaptiveAvgPool1d(3), line],
    ["AdaptiveAvgPool2d", () => new nn.AdaptiveAvgPool2d(1), plane],
    ["AdaptiveMaxPool1d", () => new nn.AdaptiveMaxPool1d(1), line],
    ["AdaptiveMaxPool2d", () => new nn.AdaptiveMaxPool2d([3, 4]), plane],
    ["AdaptiveAvgPool1d of unequal windows", () => new nn.AdaptiveAvgPool1d(4), line],
    ["AdaptiveAvgPool2d of unequal windows", () => new nn.AdaptiveAvgPool2d([5, 3]), plane],
    ["AdaptiveAvgPool2d along one side", () => new nn.AdaptiveAvgPool2d([4, null]), plane],
    ["AdaptiveAvgPool2d to more", () => new nn.AdaptiveAvgPool2d([11, 8]), plane],
    ["AdaptiveMaxPool1d of unequal windows", () => new nn.AdaptiveMaxPool1d(4), line],
    ["AdaptiveMaxPool2d of unequal windows", () => new nn.AdaptiveMaxPool2d([5, 3]), plane],
    ["AvgPool1d ceil", () => new nn.AvgPool1d(4, { stride: 2, padding: 1, ceilMode: true }), line],
    ["AvgPool2d ceil", () => new nn.AvgPool2d([4, 3], { stride: [3, 2], padding: 1, ceilMode: true }), plane],
    ["AvgPool2d ceil in padding", () => new nn.AvgPool2d(2, { stride: 3, padding: 1, ceilMode: true }), plane],
    ["AvgPool3d ceil", () => new nn.AvgPool3d(3, { stride: 2, padding: 1, ceilMode: true }), space],
    ["AvgPool2d divisor", () => new nn.AvgPool2d(3, { padding: 1, divisorOverride: 5 }), plane],
    ["AvgPool2d ceil, divisor", () => new nn.AvgPool2d(2, { ceilMode: true, divisorOverride: 3 }), plane],
    ["BatchNorm1d of its batch", () => new nn.BatchNorm1d(4, { trackRunningStats: false }), line],
    ["BatchNorm2d of its batch", () => new nn.BatchNorm2d(4, { trackRunningStats: false, eps: 0.1 }), plane],
    ["BatchNorm1d", () => new nn.BatchNorm1d(4), line],
    ["BatchNorm1d of rows", () => new nn.BatchNorm1d(4, { affine: false }), () => torch.randn([3, 4])],
    ["BatchNorm2d", () => new nn.BatchNorm2d(4, { eps: 0.1 }), plane],
    ["BatchNorm3d", () => new nn.BatchNorm3d(4), space],
    ["LayerNorm", () => new nn.LayerNorm([9, 8]), plane],
    ["LayerNorm plain", () => new nn.LayerNorm(9, { elementwiseAffine: false }), line],
    ["GroupNorm", () => new nn.GroupNorm(2, 4), plane],
    ["GroupNorm plain", () => new nn.GroupNorm(4, 4, { affine: false }), line],
    ["Sigmoid", () => new nn.Sigmoid(), line],
    ["Tanh", () => new nn.Tanh(), line],
    ["ReLU", () => new nn.ReLU(), line],
    ["LeakyReLU", () => new nn.LeakyReLU(0.02), line],
    ["ELU", () => new nn.ELU(0.7), line],
    ["SiLU", () => new nn.SiLU(), line],
    ["GELU", () => new nn.GELU(), line],
    ["GELU tanh", () => new nn.GELU({ approximate: "tanh" }), line],
    ["Softplus", () => new nn.Softplus({ beta: 2, threshold: 1 }), line],
    ["Softmax", () => new nn.Softmax(1), line],
    ["LogSoftmax", () => new nn.LogSoftmax(-1), line],
    ["Dropout", () => new nn.Dropout(0.5), line],
    ["Flatten", () => new nn.Flatten(), plane],
    ["Flatten some", () => new nn.Flatten(1, 2), plane],
    ["Unflatten", () => new nn.Unflatten(1, [2, 2]), line],
  ];

  it.each(layers)("%s", async (name, make, input) => {
    torch.manualSeed(2);
    await expectSame(shaken(make()), [input()], name.endsWith("without a batch") ? { dynamicAxes: "none" } : {});
  });
});

describe("what a forward does with tensors", () => {
  const x = () => torch.randn([3, 4]);
  const cases: [string, (a: Tensor, b: Tensor) => unknown][] = [
    ["arithmetic", (a, b) => a.add(b, { alpha: 2 }).sub(1).mul(b).div(a.abs().add(1)).neg()],
    ["functions", (a) => a.abs().add(0.5).log().exp().sqrt().square().rsqrt().tanh().sigmoid().relu().erf()],
    ["waves", (a) => a.sin().add(a.cos()).add(a.atan()).floor().add(a.ceil()).add(a.round()).add(a.sign())],
    ["powers", (a) => a.abs().pow(1.5).add(a.pow(2)).add(a.reciprocal().clamp(-3, 3))],
    ["bounds", (a, b) => a.clamp(null, 0.5).clamp({ min: -0.5 }).maximum(b).minimum(0.7)],
    ["comparisons", (a, b) => torch.where(a.gt(b).logicalAnd(a.le(1)).logicalOr(a.eq(b)).logicalNot(), a, 0)],
    ["a mask", (a) => a.maskedFill(a.ne(0).logicalXor(a.lt(0)), -1).where(a.ge(0.1), a.mul(3))],
    ["dtypes", (a) => a.mul(10).int().add(1).float().add(a.gt(0)).add(a.long())],
    [
      "shapes",
      (a) => a.reshape(-1, 2, 2).permute(0, 2, 1).flatten(1).unsqueeze(0).squeeze().view([-1, 4]).unflatten(1, [2, 2]),
    ],
    ["turns", (a) => a.T.mT.t().transpose(0, 1).movedim(0, 1).swapaxes(0, 1)],
    ["copies", (a) => a.unsqueeze(1).expand(-1, 2, 4).repeat(1, 1, 2).tile(2)],
    ["pieces", (a) => torch.cat([...a.split(3, 1), ...a.chunk(2, 1), ...a.unbind(1).map((v) => v.unsqueeze(1))], 1)],
    ["slices", (a) => torch.stack([a.narrow(1, 1, 2), a.slice(1, 0, 4, 2), a.slice(1, -2)], 1).select(1, -1)],
    [
      "sums",
      (a) =>
        a
          .sum(1)
          .add(a.mean(1))
          .add(a.amax(1))
          .add(a.amin(1, { keepdim: true }).squeeze(1))
          .add(a.prod(1)),
    ],
    ["totals", (a) => a.mul(0).add(a.detach().clone().contiguous())],
    ["extremes", (a) => a.max(1).values.add(a.min(1).indices).add(a.argmax(1)).add(a.argmin(1).float())],
    ["logarithms", (a) => a.abs().add(1).log2().add(a.abs().log1p()).add(a.abs().add(1).log10()).add(a.expm1())],
    [
      "variance",
      (a) =>
        a
          .var(1)
          .add(a.std(1))
          .add(a.var(1, { correction: 0, keepdim: true }).squeeze(1))
          .add(a.logsumexp(1)),
    ],
    [
      "places",
      (a) =>
        a
          .flip(1)
          .add(a.flip([0, 1]))
          .indexSelect(1, torch.tensor([3, 0, 0], { dtype: "int64" })),
    ],
    ["places by element", (a) => a.gather(1, a.argmax(1, { keepdim: true }))],
    ["rows", (a) => a.softmax(1).add(a.logSoftmax(-1)).cumsum(1)],
    [
      "products",
      (a, b) =>
        a
          .matmul(b.t())
          .matmul(b)
          .add(torch.matmul(a, torch.eye(4))),
    ],
    ["functional", (a) => F.silu(F.gelu(F.logSigmoid(F.elu(F.softplus(F.leakyRelu(F.relu(a).sub(F.tanh(a))))))))],
  ];

  it.each(cases)("%s", async (_, run) => {
    torch.manualSeed(4);
    const fixed = /products/.test(_);
    await expectSame(new Of(run as (...inputs: Tensor[]) => unknown), [x(), x()], fixed ? { dynamicAxes: "none" } : {});
  });

  it("totals over all, with sizes fixed", async () => {
    await expectSame(new Of((a) => a.sum().add(a.mean()).add(a.max()).add(a.argmax())), [x()]);
  });

  it("a module of custom parts, with any batch, by the names of its parameters", async () => {
    torch.manualSeed(5);
    const model = shaken(new Network());
    const back = await expectSame(model, [torch.randn([3, 1, 4, 4])]);
    const parameters = Object.keys(back.stateDict());
    expect(parameters).toEqual(expect.arrayContaining(["conv_in.weight", "batch_norm.running_mean", "layers.1.bias"]));
    const bytes = await serializeOnnx(model, torch.randn([3, 1, 4, 4]), {
      inputNames: ["image"],
      outputNames: ["scores"],
    });
    const other = torch.randn([7, 1, 4, 4]);
    expectNear(
      (await runOnnx(bytes, { image: other })).scores,
      torch.noGrad(() => model.eval().forward(other)),
    );
    expect(String(back)).toMatch(/OnnxModule\(Network: input → output, \d+ nodes\)/);
  });

  it("opsets 17 to 22 give the same", async () => {
    const model = new Of((a) => a.mean(1).add(a.amax(1)).add(a.sum(1)));
    for (let opset = 17; opset <= 22; opset++) await expectSame(model, [x()], { opset });
    await expect(serializeOnnx(model, x(), { opset: 12 })).rejects.toThrow(/opset is 17 to 22, not 12/);
  });

  it("several outputs by name, and sizes by name", async () => {
    const model = new Of((a) => ({ double: a.mul(2), same: a, shape: a.sum(1) }));
    const a = torch.randn([2, 3, 5]);
    const bytes = await serializeOnnx(model, a, { dynamicAxes: { input: { 0: "batch", 2: "width" } } });
    const wide = torch.randn([4, 3, 9]);
    const out = await runOnnx(bytes, { input: wide });
    expectNear(out.double, wide.mul(2));
    expectNear(out.same, wide);
    expectNear(out.shape, wide.sum(1));
    const back = await deserializeOnnx(bytes);
    expectNear(back.run({ input: wide }).shape, wide.sum(1));
    expect(() => back.forward(wide)).toThrow(/gives double, same, shape; use run/);
  });

  it("the module is left as it was", async () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Dropout(0.5), new nn.BatchNorm1d(2));
    model.at(1).eval();
    const add = torch.Tensor.prototype.add;
    await serializeOnnx(model, torch.randn([3, 2]));
    expect([model.training, model.at(1).training, model.at(2).training]).toEqual([true, false, true]);
    expect((model.at(2) as nn.BatchNorm1d).numBatchesTracked?.item()).toBe(0);
    expect(torch.Tensor.prototype.add).toBe(add);
    expect(model.parameters().every((p) => p.grad === null)).toBe(true);
  });

  it("what was read can be trained", async () => {
    const back = await deserializeOnnx(await serializeOnnx(new nn.Linear(2, 1), torch.zeros([1, 2])));
    back
      .forward(torch.ones([3, 2]))
      .sum()
      .backward();
    expect(back.getParameter("weight").grad?.tolist()).toEqual([[3, 3]]);
    const network = shaken(new Network()).eval();
    const x = torch.randn([2, 1, 4, 4]);
    const read = await deserializeOnnx(await serializeOnnx(network, x));
    for (const model of [network, read]) (model.forward(x) as Tensor).square().sum().backward();
    const learnt = network.namedParameters().map(([name]) => name.replace(/([A-Z])/g, (c) => `_${c.toLowerCase()}`));
    for (const [i, name] of learnt.entries()) {
      expectNear(read.getParameter(name).grad!, network.parameters()[i]!.grad!);
    }
    expect(read.getParameter("batch_norm.running_var").requiresGrad).toBe(false);
  });
});

describe("what cannot be exported", () => {
  const refused: [string, (a: Tensor) => unknown, RegExp][] = [
    ["an unknown method", (a) => a.sort(1).values, /the operation sort cannot be exported/],
    [
      "an unknown function",
      (a) => F.mseLoss(a, a),
      /the operation mseLoss? cannot be exported|the operation \w+ cannot/,
    ],
    [
      "a change in place",
      (a) => a.clone().add_(1),
      /the operation add_ cannot be exported; use the form that gives a new/,
    ],
    ["a comparison of all", (a) => (a.equal(a.abs()) ? a : a.neg()), /forward reads a value .* \(equal\)/],
    ["reading a value", (a) => a.mul(a.sum().item()), /forward reads a value that depends on its input \(item\)/],
    ["a branch by value", (a) => (a.tolist() ? a : a.neg()), /forward reads a value .* \(tolist\)/],
    ["chance", (a) => F.dropout(a, 0.5), /dropout: chance has no place in a file/],
    ["the batch written in", (a) => a.reshape(1, a.shape[0]!, 4), /written into it|differs from the module's/],
    ["a constant of the batch's size", (a) => a.add(torch.ones([a.shape[0]!, 4])), /written into it|differs|broadcast/],
    ["a rounding division", (a) => a.div(2, { roundingMode: "floor" }), /roundingMode floor is not in ONNX/],
    ["no tensor", () => 1, /forward gives no tensor/],
    ["other sizes", (a) => a.reshape(3, 4), /takes the examples but not inputs of \(4, 4\)/],
  ];
  it.each(refused)("%s", async (_, run, message) => {
    const folder = temporaryFolder();
    const done = exportOnnx(
      new Of(run as (...inputs: Tensor[]) => unknown),
      torch.randn([3, 4]),
      join(folder, "x.onnx"),
    );
    await expect(done).rejects.toThrow(ValueError);
    await expect(done).rejects.toThrow(message);
    await expect(loadOnnx(join(folder, "x.onnx"))).rejects.toThrow(DataError);
  });

  it("a pool of unequal windows, for images of any size", async () => {
    const options = { dynamicAxes: { input: { 0: "batch", 2: "width" } } };
    await expect(serializeOnnx(new nn.AdaptiveAvgPool1d(2), torch.zeros([1, 1, 5]), options)).rejects.toThrow(
      /differs from the module's|does not run on inputs of other sizes/,
    );
  });

  it("wrong names", async () => {
    const model = new Of((a) => a);
    const a = torch.zeros([1]);
    await expect(serializeOnnx(model, a, { inputNames: ["a", "b"] })).rejects.toThrow(/inputNames for 1 inputs/);
    await expect(serializeOnnx(model, a, { outputNames: ["input"] })).rejects.toThrow(
      /"input" names two inputs or out/,
    );
    await expect(serializeOnnx(model, a, { outputNames: [] })).rejects.toThrow(/0 outputNames for 1 outputs/);
    await expect(serializeOnnx(model, a, { dynamicAxes: { b: { 0: "n" } } })).rejects.toThrow(/"b", which is no input/);
    await expect(serializeOnnx(model, a, { dynamicAxes: { input: { 3: "n" } } })).rejects.toThrow(/no dimension 3/);
    await expect(serializeOnnx(model, [])).rejects.toThrow(/needs an example/);
  });
});

describe("files of others", () => {
  it("PyTorch's exporter: shapes computed in the graph, any batch", async () => {
    const model = await loadOnnx(fixture("pytorch.onnx"));
    const x = wave([5, 1, 4, 4], 0.4);
    const expected = loadNpy(fixture("pytorch-onnx.npy"));
    expectNear(
      torch.noGrad(() => model.forward(x)),
      expected,
    );
    expectNear((await runOnnx(fixtureBytes("pytorch.onnx"), { x })).y, expected);
    expect(Object.keys(model.stateDict())).toEqual(expect.arrayContaining(["network.layers.0.weight", "table"]));
  });

  it("the onnx package: operations as others write them", async () => {
    const model = await loadOnnx(fixture("operations.onnx"));
    const inputs = { x: wave([3, 3], 1.1), image: wave([1, 2, 5, 6], 0.9), one: wave([1, 3], 2) };
    const theirs = await runOnnx(fixtureBytes("operations.onnx"), inputs);
    const ours = torch.noGrad(() => model.run(inputs));
    expect(Object.keys(ours)).toEqual(Object.keys(theirs));
    expect(Object.keys(ours).length).toBeGreaterThan(35);
    for (const [name, expected] of Object.entries(theirs)) {
      try {
        expectNear(ours[name], expected);
      } catch (error) {
        throw new Error(`${name} differs`, { cause: error });
      }
    }
  });
});

it("group normalisation of opset 21", async () => {
  const x = wave([2, 4, 3], 0.7);
  const model = await loadOnnx(fixture("group.onnx"));
  expectNear(
    torch.noGrad(() => model.forward(x)),
    (await runOnnx(fixtureBytes("group.onnx"), { x })).y!,
  );
});

describe("hostile ONNX", () => {
  it("that is none, or is cut or changed anywhere, gives a FormatError or another model (property)", async () => {
    await expect(deserializeOnnx(new Uint8Array())).rejects.toThrow(FormatError);
    await expect(deserializeOnnx(new TextEncoder().encode("no model at all"))).rejects.toThrow(FormatError);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "x.onnx"), "nothing");
    await expect(loadOnnx(join(folder, "x.onnx"))).rejects.toThrow(/x\.onnx: not an ONNX model/);
    const good = await serializeOnnx(shaken(new Network()), torch.randn([2, 1, 4, 4]));
    await expectFormatErrorsOnly(good, (bytes) => deserializeOnnx(bytes));
    await expectFormatErrorsOnly(fixtureBytes("pytorch.onnx"), (bytes) => deserializeOnnx(bytes));
  });

  it("that is changed anywhere runs or ends in an error of the library (property)", async () => {
    const inputs = { x: wave([3, 3], 1.1), image: wave([1, 2, 5, 6], 0.9), one: wave([1, 3], 2) };
    await expectFormatErrorsOnly(fixtureBytes("operations.onnx"), async (bytes) => {
      const model = await deserializeOnnx(bytes);
      try {
        torch.noGrad(() => model.run(inputs));
      } catch (error) {
        if (!(error instanceof CressetError)) throw error;
      }
    });
  });

  it("inputs of another number, dtype or name are refused", async () => {
    const back = await deserializeOnnx(await serializeOnnx(new nn.Linear(2, 1), torch.zeros([1, 2])));
    expect(() => back.forward()).toThrow(/0 inputs; the graph takes input/);
    expect(() => back.forward(torch.zeros([1, 2], { dtype: "float64" }))).toThrow(/is float32, not float64/);
    expect(() => back.run({})).toThrow(/no input "input"/);
    expect(() => back.forward(torch.zeros([1, 3]))).toThrow(/OnnxModule: Gemm "gemm": /);
  });
});
