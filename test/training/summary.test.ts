/** A model's table: shapes, parameters and operations by layer, and the model as it was. */
import { defaultGenerator, nn, type Tensor, tensor, zeros } from "cresset";
import { summary } from "cresset/training";
import { expect, it } from "vitest";

it("counts what each layer computes", () => {
  const model = new nn.Sequential(new nn.Linear(784, 200), new nn.ReLU(), new nn.Linear(200, 10));
  const table = summary(model, [64, 784]);
  expect(table.rows.map(({ path, name, depth }) => [path, name, depth])).toEqual([
    ["", "Sequential", 0],
    ["0", "Linear", 1],
    ["1", "ReLU", 1],
    ["2", "Linear", 1],
  ]);
  expect(table.rows.map(({ outputShapes: [shape] }) => shape)).toEqual([
    [64, 10],
    [64, 200],
    [64, 200],
    [64, 10],
  ]);
  expect(table.rows[1]?.inputShapes).toEqual([[64, 784]]);
  expect(table.rows.map(({ parameters }) => parameters)).toEqual([159_010, 157_000, 0, 2010]);
  expect(table.rows[1]?.flops).toBe(2 * 64 * 784 * 200);
  expect(table.rows[3]?.flops).toBe(2 * 64 * 200 * 10);
  expect(table.flops).toBe(table.rows.slice(1).reduce((sum, { flops }) => sum + (flops as number), 0));
  expect([table.parameters, table.trainableParameters, table.inputBytes, table.parameterBytes]).toEqual([
    159_010, 159_010, 200_704, 636_040,
  ]);
});

it("a convolution's operations are those of its taps, and a deeper tree is cut", () => {
  class Net extends nn.Module {
    features = new nn.Sequential(new nn.Conv2d(1, 8, 3, { padding: 1 }), new nn.ReLU(), new nn.MaxPool2d(2));
    head = new nn.Sequential(new nn.Flatten(), new nn.Linear(8 * 14 * 14, 10));
    forward(x: Tensor): Tensor {
      return this.head.forward(this.features.forward(x));
    }
  }
  const net = new Net();
  net.features.requiresGrad_(false);
  const whole = summary(net, [2, 1, 28, 28]);
  const convolution = whole.rows.find(({ name }) => name === "Conv2d");
  expect(convolution).toMatchObject({ path: "features.0", depth: 2, outputShapes: [[2, 8, 28, 28]], parameters: 80 });
  expect(convolution?.flops).toBe(2 * 2 * 8 * 28 * 28 * 9);
  expect(whole.trainableParameters).toBe(whole.parameters - 80);
  const cut = summary(net, [2, 1, 28, 28], { depth: 1 });
  expect(cut.rows.map(({ path }) => path)).toEqual(["", "features", "head"]);
  expect(cut.flops).toBe(whole.flops);
  expect(String(cut).split("\n")).toEqual([
    "Layer                    Input shape     Output shape    Parameters    FLOPs",
    expect.stringMatching(/^─+$/),
    "Net                      (2, 1, 28, 28)  (2, 10)             15,770  288,532",
    "  Sequential (features)  (2, 1, 28, 28)  (2, 8, 14, 14)          80  225,792",
    "  Sequential (head)      (2, 8, 14, 14)  (2, 10)             15,690   62,740",
    expect.stringMatching(/^─+$/),
    "Parameters: 15,770, trainable 15,690 (0.063 MB with buffers)",
    expect.stringMatching(/^Input: 0\.006 MB {3}Forward pass: [\d,]+ FLOPs$/),
  ]);
});

it("leaves the model as it was, and draws no number", () => {
  const model = new nn.Sequential(new nn.BatchNorm1d(3), new nn.Dropout(0.5));
  model.children()[0]?.eval();
  const before = JSON.stringify(Object.values(model.stateDict()).map((t) => t.tolist()));
  const stream = defaultGenerator().getState();
  summary(model, [4, 3]);
  expect(model.modules().map(({ training }) => training)).toEqual([true, false, true]);
  expect(JSON.stringify(Object.values(model.stateDict()).map((t) => t.tolist()))).toBe(before);
  expect(defaultGenerator().getState()).toEqual(stream);
  class Broken extends nn.Module {
    part = new nn.Linear(2, 2);
    forward(x: Tensor): Tensor {
      return this.part.forward(x).reshape(7);
    }
  }
  const broken = new Broken();
  expect(() => summary(broken, [1, 2])).toThrow();
  expect(Object.hasOwn(broken.part, "forward")).toBe(false);
  expect(broken.training).toBe(true);
});

it("takes tensors, several inputs, integers; a shared module has a row each time it runs", () => {
  class Twice extends nn.Module {
    layer = new nn.Linear(2, 2);
    forward(a: Tensor, b: Tensor): Tensor {
      return this.layer.forward(a.float()).add(this.layer.forward(b.float()));
    }
  }
  const table = summary(
    new Twice(),
    [
      [1, 2],
      [3, 2],
    ],
    { dtype: "int32" },
  );
  expect(table.rows.map(({ path }) => path)).toEqual(["", "layer", "layer"]);
  expect(table.parameters).toBe(6);
  expect(table.rows[0]?.inputShapes).toEqual([
    [1, 2],
    [3, 2],
  ]);
  expect(String(table)).toMatch(/^Twice +\(1, 2\), \(3, 2\) +\(3, 2\) +6 /m);
  expect(() => summary(new Twice(), [1, 2])).toThrow("summary: Twice failed on 1 input of the 2 it can take");
  expect(summary(new Twice(), [tensor([[1, 2]]), zeros([1, 2])]).rows.length).toBe(3);
  expect(summary(new nn.Linear(2, 3), zeros([5, 2])).rows[0]?.outputShapes).toEqual([[5, 3]]);
  expect(() => summary(new nn.Linear(2, 3), "64" as never)).toThrow("input is a shape");
});
