/** Module: what counts as a part, names and their order, state dicts, hooks, printing. */
import { describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, optim, StateDictError, type Tensor } from "../../src/index.js";

class Block extends nn.Module {
  scale = new nn.Parameter(torch.ones([2]));
  linear = new nn.Linear(2, 2);
  forward(input: Tensor): Tensor {
    return this.linear.forward(input).mul(this.scale);
  }
}

class Net extends nn.Module {
  layers = [new Block(), new nn.Linear(2, 3)];
  head = new nn.Sequential(new nn.Linear(3, 1), new nn.Sigmoid());
  late = new nn.Parameter(torch.zeros([1]));
  plain = torch.ones([3]);
  counts = [1, 2, 3];
  nothing = null;
  forward(input: Tensor): Tensor {
    return this.head.forward(this.layers.reduce<Tensor>((x, layer) => layer.forward(x), input)).add(this.late);
  }
}

const names = (module: nn.Module): string[] => module.namedParameters().map(([name]) => name);

describe("parts", () => {
  it("are found in fields and arrays, a module's own parameters before its children's", () => {
    expect(names(new Net())).toEqual([
      "late",
      "layers.0.scale",
      "layers.0.linear.weight",
      "layers.0.linear.bias",
      "layers.1.weight",
      "layers.1.bias",
      "head.0.weight",
      "head.0.bias",
    ]);
  });

  it("do not include optimisers, plain tensors or numbers", () => {
    class Learner extends nn.Module {
      model = new nn.Sequential(new nn.Linear(2, 1));
      optimiser = new optim.SGD(this.parameters(), { lr: 0.01 });
      progress: number[] = [];
      forward(input: Tensor): Tensor {
        return this.model.forward(input);
      }
    }
    const learner = new Learner();
    expect(names(learner)).toEqual(["model.0.weight", "model.0.bias"]);
    const held = learner.optimiser.paramGroups[0]!.params;
    expect(learner.parameters().every((p, i) => p === held[i]) && held.length === 2).toBe(true);
    expect(String(learner)).not.toContain("SGD");
  });

  it("count once when shared, but appear under every name in the state dict", () => {
    class Tied extends nn.Module {
      a = new nn.Linear(2, 2);
      b = this.a;
      c = new nn.Linear(2, 2, { bias: false });
      constructor() {
        super();
        Object.assign(this.c, { weight: this.a.weight });
      }
      forward(input: Tensor): Tensor {
        return this.c.forward(this.b.forward(input));
      }
    }
    const tied = new Tied();
    expect(names(tied)).toEqual(["a.weight", "a.bias"]);
    expect(tied.modules()).toHaveLength(3);
    expect(tied.children()).toHaveLength(2);
    expect(Object.keys(tied.stateDict())).toEqual(["a.weight", "a.bias", "b.weight", "b.bias", "c.weight"]);
  });

  it("may refer to their parent", () => {
    class Child extends nn.Module {
      weight = new nn.Parameter(torch.ones([1]));
      constructor(readonly parent: nn.Module) {
        super();
      }
      forward(): null {
        return null;
      }
    }
    class Parent extends nn.Module {
      child = new Child(this);
      forward(): null {
        return null;
      }
    }
    const parent = new Parent();
    expect(names(parent)).toEqual(["child.weight"]);
    expect(Object.keys(parent.stateDict())).toEqual(["child.weight"]);
  });

  it("are reached by path", () => {
    const net = new Net();
    expect(net.getParameter("head.0.bias")).toBe((net.head.at(0) as nn.Linear).bias);
    expect(net.getSubmodule("layers.0.linear")).toBe((net.layers[0] as Block).linear);
    expect(() => net.getParameter("head.1.weight")).toThrow(/no parameter "head.1.weight".*late, layers.0.scale/);
    expect(() => net.getSubmodule("tail")).toThrow(/no module "tail"/);
  });

  it("are visited children first by apply", () => {
    const order: string[] = [];
    new nn.Sequential(new nn.Linear(1, 1), new nn.ReLU()).apply((m) => order.push(m.constructor.name));
    expect(order).toEqual(["ReLU", "Linear", "Sequential"]);
  });
});

describe("Parameter", () => {
  it("is a tensor, a leaf, and shares memory", () => {
    const data = torch.zeros([2]);
    const parameter = new nn.Parameter(data);
    expect(parameter).toBeInstanceOf(torch.Tensor);
    expect(parameter.requiresGrad && parameter.isLeaf).toBe(true);
    torch.noGrad(() => parameter.add_(1));
    expect(data.tolist()).toEqual([1, 1]);
    expect(new nn.Parameter(data, false).requiresGrad).toBe(false);
    expect(parameter.mul(2)).not.toBeInstanceOf(nn.Parameter);
  });

  it("forgets how its data was made", () => {
    const w = torch.ones([2], { requiresGrad: true });
    expect(new nn.Parameter(w.mul(2)).isLeaf).toBe(true);
  });
});

describe("buffers", () => {
  class Running extends nn.Module {
    mean = this.registerBuffer("mean", torch.zeros([2]));
    cache = this.registerBuffer("cache", torch.ones([1], { dtype: "int32" }), { persistent: false });
    forward(input: Tensor): Tensor {
      this.mean = input.mean(0);
      return input.sub(this.mean);
    }
  }

  it("have names, and are saved if persistent", () => {
    const module = new nn.Sequential(new Running());
    expect(module.namedBuffers().map(([name]) => name)).toEqual(["0.mean", "0.cache"]);
    expect(Object.keys(module.stateDict())).toEqual(["0.mean"]);
    expect(module.parameters()).toEqual([]);
  });

  it("are followed when assigned anew", () => {
    const module = new Running();
    module.forward(
      torch.tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    expect(module.stateDict().mean!.tolist()).toEqual([2, 3]);
  });

  it("move with the module; integers keep their dtype", () => {
    const module = new Running().double();
    expect([module.mean.dtype, module.cache.dtype]).toEqual(["float64", "int32"]);
  });

  it("refuse names that are taken or make no path", () => {
    const module = new Running();
    expect(() => module.registerBuffer("a.b", torch.ones([1]))).toThrow(/no dot/);
    expect(() => module.registerBuffer("forward", torch.ones([1]))).toThrow(/already has/);
  });
});

describe("modes", () => {
  it("train and eval reach every module", () => {
    const net = new Net();
    expect(
      net
        .eval()
        .modules()
        .every((m) => !m.training),
    ).toBe(true);
    expect(
      net
        .train()
        .modules()
        .every((m) => m.training),
    ).toBe(true);
  });

  it("requiresGrad_ and zeroGrad reach every parameter", () => {
    const net = new Net();
    net
      .forward(torch.ones([4, 2]))
      .sum()
      .backward();
    expect(net.parameters().every((p) => p.grad !== null)).toBe(true);
    net.zeroGrad({ setToNone: false });
    expect(net.late.grad!.tolist()).toEqual([0]);
    net.zeroGrad();
    expect(net.parameters().every((p) => p.grad === null)).toBe(true);
    net.requiresGrad_(false);
    expect(net.forward(torch.ones([4, 2])).requiresGrad).toBe(false);
  });

  it("to changes parameters in place, gradients with them", () => {
    const net = new nn.Linear(2, 1);
    const { weight } = net;
    net
      .forward(torch.ones([1, 2]))
      .sum()
      .backward();
    expect(net.to("float64")).toBe(net);
    expect(net.weight).toBe(weight);
    expect([weight.dtype, weight.grad!.dtype, weight.isLeaf, weight.requiresGrad]).toEqual([
      "float64",
      "float64",
      true,
      true,
    ]);
    net.zeroGrad();
    net
      .forward(torch.ones([1, 2], { dtype: "float64" }))
      .sum()
      .backward();
    expect(weight.grad!.tolist()).toEqual([[1, 1]]);
    expect(() => net.to("int32")).toThrow(/cannot become int32/);
  });
});

describe("state dicts", () => {
  it("round-trip", () => {
    const [a, b] = [new Net(), new Net()];
    expect(b.loadStateDict(a.stateDict())).toEqual({ missingKeys: [], unexpectedKeys: [] });
    const x = torch.rand([3, 2]);
    expect(b.forward(x).tolist()).toEqual(a.forward(x).tolist());
  });

  it("have PyTorch's keys: fields in Python's spelling, names in containers as they are", () => {
    class Part extends nn.Module {
      convLayers = [new nn.BatchNorm1d(1, { affine: false })];
      byName = new nn.ModuleDict({ headA: new nn.Linear(1, 1, { bias: false }) });
      weightHH = new nn.Parameter(torch.zeros([1]));
      W = new nn.Parameter(torch.zeros([1]));
      fc1 = new nn.Sequential({ innerLayer: new nn.Linear(1, 1, { bias: false }) });
      forward(): void {}
    }
    const part = new Part();
    expect(Object.keys(part.stateDict())).toEqual([
      "weight_hh",
      "W",
      "conv_layers.0.running_mean",
      "conv_layers.0.running_var",
      "conv_layers.0.num_batches_tracked",
      "by_name.headA.weight",
      "fc1.innerLayer.weight",
    ]);
    expect(part.namedParameters().map(([name]) => name)).toContain("byName.headA.weight");
    // Names in camelCase, as PyTorch's own modules may have them, are taken too; the exact one wins.
    const given = { ...part.stateDict(), "convLayers.0.runningMean": torch.ones([1]), weightHH: torch.ones([1]) };
    delete (given as Record<string, unknown>)["conv_layers.0.running_mean"];
    expect(() => part.loadStateDict(given)).toThrow(/unexpected keys: weightHH/);
    expect(part.loadStateDict(given, { strict: false }).unexpectedKeys).toEqual(["weightHH"]);
    expect(part.convLayers[0]!.runningMean?.item()).toBe(1);
    expect(part.weightHH.item()).toBe(0);
  });

  it("share memory with the module and need no gradient", () => {
    const layer = new nn.Linear(1, 1);
    const state = layer.stateDict();
    torch.noGrad(() => layer.weight.fill_(7));
    expect(state.weight!.tolist()).toEqual([[7]]);
    expect(state.weight!.requiresGrad).toBe(false);
  });

  it("list everything that differs, and change nothing", () => {
    const layer = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1));
    const before = layer.stateDict()["0.weight"]!.clone();
    const state = {
      "0.weight": torch.ones([2, 2]),
      "0.bias": torch.ones([3]),
      "1.weight": torch.ones([1, 4]),
      stray: torch.ones([1]),
    };
    let message = "";
    try {
      layer.loadStateDict(state);
    } catch (error) {
      expect(error).toBeInstanceOf(StateDictError);
      message = (error as Error).message;
    }
    expect(message).toContain("Sequential");
    expect(message).toContain("missing keys: 1.bias");
    expect(message).toContain("unexpected keys: stray");
    expect(message).toContain("size mismatch for 0.weight: the state dict has (2, 2), the module (3, 2)");
    expect(message).toContain("size mismatch for 1.weight: the state dict has (1, 4), the module (1, 3)");
    expect(layer.stateDict()["0.weight"]!.equal(before)).toBe(true);
    expect(layer.stateDict()["0.bias"]!.tolist()).not.toEqual([1, 1, 1]);
  });

  it.each([
    ["a promise", Promise.resolve({}), /a promise was given; await torch\.load/],
    ["nothing", undefined, /expected a state dict, not undefined/],
    ["null", null, /expected a state dict, not null/],
    ["a path", "weights.pt", /expected a state dict, not weights\.pt/],
    ["a tensor", torch.ones([1]), /expected a state dict, not a tensor/],
    [
      "a number for a tensor",
      { weight: 3, bias: torch.ones([1]) },
      /weight is not a tensor in the state dict, but number/,
    ],
    [
      "null for a tensor",
      { weight: null, bias: torch.ones([1]) },
      /weight is not a tensor in the state dict, but null/,
    ],
  ])("refuses %s as a state dict", (_, given, message) => {
    const layer = new nn.Linear(1, 1);
    const before = layer.weight.item();
    const load = () => layer.loadStateDict(given as never);
    expect(load).toThrow(StateDictError);
    expect(load).toThrow(message);
    expect(layer.weight.item()).toBe(before);
  });

  it("with strict: false load what fits and say what did not", () => {
    const layer = new nn.Linear(1, 1);
    const result = layer.loadStateDict({ weight: torch.tensor([[3]]), other: torch.ones([1]) }, { strict: false });
    expect(result).toEqual({ missingKeys: ["bias"], unexpectedKeys: ["other"] });
    expect(layer.weight.tolist()).toEqual([[3]]);
    expect(() => layer.loadStateDict({ weight: torch.ones([2, 2]) }, { strict: false })).toThrow(StateDictError);
  });

  it("take the module's dtype", () => {
    const layer = new nn.Linear(1, 1, { bias: false });
    layer.loadStateDict({ weight: torch.tensor([[3]], { dtype: "float64" }) });
    expect(layer.weight.dtype).toBe("float32");
  });
});

describe("hooks", () => {
  it("see and replace inputs and outputs, in forward and call alike, and come off", () => {
    const layer = new nn.Identity();
    const seen: string[] = [];
    const off = [
      layer.registerForwardPreHook((module, [x]) => {
        seen.push(`before ${module === layer}`);
        return [x.add(1)];
      }),
      layer.registerForwardHook((_, [x], output) => {
        seen.push(`after ${x.item()}`);
        return output.mul(10);
      }),
    ];
    const x = torch.tensor(2);
    expect(layer.forward(x).item()).toBe(30);
    expect(layer.call(x).item()).toBe(30);
    expect(seen).toEqual(["before true", "after 3", "before true", "after 3"]);
    off[1]!();
    expect(layer.forward(x).item()).toBe(3);
    off[0]!();
    off[0]!();
    expect(layer.forward(x)).toBe(x);
    expect(Object.hasOwn(layer, "forward")).toBe(false);
  });

  it("fire inside Sequential", () => {
    const shapes: string[] = [];
    const model = new nn.Sequential(new nn.Linear(4, 3), new nn.ReLU());
    for (const layer of model) {
      layer.registerForwardHook((module, _, output) => {
        shapes.push(`${module.constructor.name} ${output.shape}`);
      });
    }
    model.forward(torch.ones([2, 4]));
    expect(shapes).toEqual(["Linear 2,3", "ReLU 2,3"]);
  });
});

describe("printing", () => {
  it("is PyTorch's", () => {
    const model = new nn.Sequential(
      new nn.Linear(784, 200),
      new nn.LeakyReLU(0.02),
      new nn.LayerNorm(200),
      new nn.Sequential(new nn.Linear(200, 10, { bias: false }), new nn.Softmax(1)),
      new nn.Dropout(),
      new nn.Flatten(),
      new nn.GELU(),
      new nn.ELU(),
      new nn.Softplus(),
      new nn.Unflatten(1, [2, 5]),
    );
    expect(String(model)).toBe(`Sequential(
  (0): Linear(in_features=784, out_features=200, bias=True)
  (1): LeakyReLU(negative_slope=0.02)
  (2): LayerNorm((200,), eps=1e-05, elementwise_affine=True)
  (3): Sequential(
    (0): Linear(in_features=200, out_features=10, bias=False)
    (1): Softmax(dim=1)
  )
  (4): Dropout(p=0.5)
  (5): Flatten(start_dim=1, end_dim=-1)
  (6): GELU(approximate='none')
  (7): ELU(alpha=1.0)
  (8): Softplus(beta=1.0, threshold=20.0)
  (9): Unflatten(dim=1, unflattened_size=(2, 5))
)`);
  });

  it("is what console.log shows", async () => {
    const { inspect } = await import("node:util");
    expect(inspect(new nn.ReLU())).toBe("ReLU()");
  });
});
