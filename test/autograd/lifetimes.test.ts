/**
 * Memory is reused as soon as the library knows that nobody can see it. What a user holds is never reused: gradients,
 * activations, outputs and losses kept from earlier steps stay what they were, through training, tidy and `using`.
 */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";
import { createCollector } from "../../src/device/collector-node.js";

const { nn, optim } = torch;
type Tensor = torch.Tensor;

/** Tensors kept, with the values they had when they were met. */
class Kept {
  private readonly entries: [string, Tensor, number[]][] = [];
  add(what: string, t: Tensor): Tensor {
    this.entries.push([what, t, Array.from(t.detach().to("float64").toTypedArray() as Float64Array)]);
    return t;
  }
  /** Names of those that are not what they were. */
  changed(): string[] {
    return this.entries.flatMap(([what, t, then]) => {
      const now = Array.from(t.detach().to("float64").toTypedArray() as Float64Array);
      return now.length === then.length && now.every((v, i) => Object.is(v, then[i])) ? [] : [what];
    });
  }
  get size(): number {
    return this.entries.length;
  }
}

/** Keeps what it is given and gives it on: the same tensor, or a view of it. */
class Keeper extends nn.Module {
  constructor(
    private readonly kept: Kept,
    private readonly pass: (x: Tensor) => Tensor = (x) => x,
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    this.kept.add("a module's input", x);
    return this.kept.add("a module's output", this.pass(x));
  }
}

const seedModel = (): torch.nn.Sequential =>
  new nn.Sequential(new nn.Linear(30, 12), new nn.Sigmoid(), new nn.Linear(12, 10), new nn.Sigmoid());
const refinedModel = (): torch.nn.Sequential =>
  new nn.Sequential(
    new nn.Linear(30, 12),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(12),
    new nn.Linear(12, 10),
    new nn.Sigmoid(),
  );

interface Setup {
  model: torch.nn.Sequential;
  optimiser: { step(): void; zeroGrad(): void };
  loss: (y: Tensor, target: Tensor) => Tensor;
}
const setups: Record<string, () => Setup> = {
  "the seed's model, SGD": () => {
    const model = seedModel();
    return {
      model,
      optimiser: new optim.SGD(model.parameters(), { lr: 0.5 }),
      loss: (y, t) => nn.functional.mseLoss(y, t),
    };
  },
  "the refined model, Adam": () => {
    const model = refinedModel();
    return {
      model,
      optimiser: new optim.Adam(model.parameters()),
      loss: (y, t) => nn.functional.binaryCrossEntropy(y, t),
    };
  },
};

/** Two batch forms: the seed's single vector, and rows. */
const batches = [[], [4]];
const draw = (batch: number[]): [Tensor, Tensor] => [torch.rand([...batch, 30]), torch.rand([...batch, 10])];

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  describe.each(Object.keys(setups))("%s", (name) => {
    for (const batch of batches) {
      const form = batch.length === 0 ? "one by one" : "in batches";

      it(`gradients, outputs and losses, ${form}`, () => {
        torch.manualSeed(3);
        const { model, optimiser, loss } = setups[name]!();
        const kept = new Kept();
        for (let step = 0; step < 50; step++) {
          const [x, target] = draw(batch);
          const y = kept.add("output", model.forward(x));
          const l = kept.add("loss", loss(y, target));
          optimiser.zeroGrad();
          l.backward();
          if (step % 3 === 0) for (const p of model.parameters()) kept.add("gradient", p.grad!);
          optimiser.step();
          kept.add("input", x);
        }
        expect(kept.size).toBeGreaterThan(200);
        expect(kept.changed()).toEqual([]);
      });

      it(`activations seen by forward hooks, ${form}`, () => {
        torch.manualSeed(3);
        const { model, optimiser, loss } = setups[name]!();
        const kept = new Kept();
        for (const layer of model.modules().slice(1)) {
          layer.registerForwardPreHook((_, [x]) => void kept.add("hooked input", x as Tensor));
          layer.registerForwardHook((_, __, y) => void kept.add("hooked output", y as Tensor));
        }
        for (let step = 0; step < 50; step++) {
          const [x, target] = draw(batch);
          optimiser.zeroGrad();
          loss(model.forward(x), target).backward();
          optimiser.step();
        }
        expect(kept.changed()).toEqual([]);
      });

      it(`activations of layers run by hand, ${form}`, () => {
        torch.manualSeed(3);
        const { model, optimiser, loss } = setups[name]!();
        const kept = new Kept();
        for (let step = 0; step < 50; step++) {
          const [x, target] = draw(batch);
          let h = x;
          for (const layer of model) h = kept.add("activation", layer.forward(h));
          optimiser.zeroGrad();
          loss(h, target).backward();
          optimiser.step();
        }
        expect(kept.changed()).toEqual([]);
      });

      it(`the same numbers with hooks as without, ${form}`, () => {
        const run = (hooked: boolean): number[] => {
          torch.manualSeed(3);
          const { model, optimiser, loss } = setups[name]!();
          if (hooked) for (const layer of model.modules().slice(1)) layer.registerForwardHook(() => undefined);
          for (let step = 0; step < 50; step++) {
            const [x, target] = draw(batch);
            optimiser.zeroGrad();
            loss(model.forward(x), target).backward();
            optimiser.step();
          }
          return model.parameters().map((p) => p.detach().double().square().sum().item());
        };
        expect(run(false)).toEqual(run(true));
      });
    }
  });

  describe("a Sequential whose modules keep what they see", () => {
    const { Linear, Flatten, Identity, Dropout, Sigmoid, Unflatten, Tanh } = nn;
    const cases: Record<string, (kept: Kept) => torch.nn.Module[]> = {
      "Keeper, then Identity": (k) => [new Linear(30, 12), new Keeper(k), new Identity(), new Linear(12, 10)],
      "Keeper, then Flatten": (k) => [new Linear(30, 12), new Keeper(k), new Flatten(), new Linear(12, 10)],
      "Sigmoid, Keeper, Unflatten, Flatten": (k) => [
        ...[new Linear(30, 12), new Sigmoid(), new Keeper(k)],
        ...[new Unflatten(1, [3, 4]), new Flatten(), new Linear(12, 10)],
      ],
      "Identity, Flatten, then Keeper": (k) => [
        ...[new Linear(30, 12), new Identity(), new Flatten(), new Keeper(k), new Linear(12, 10)],
      ],
      "Flatten first, Keeper": (k) => [new Flatten(), new Keeper(k), new Identity(), new Linear(30, 10)],
      "Keeper of a view": (k) => [
        ...[
          new Linear(30, 12),
          new Tanh(),
          new Keeper(k, (x) => x.reshape([4, 12])),
          new Flatten(),
          new Linear(12, 10),
        ],
      ],
      "Dropout that does nothing": (k) => [
        ...[
          new Linear(30, 12),
          new Keeper(k),
          new Dropout(0),
          new Dropout(0.5).eval(),
          new Identity(),
          new Linear(12, 10),
        ],
      ],
      "Dropout, then Keeper": (k) => [
        new Linear(30, 12),
        new Dropout(0.5),
        new Keeper(k),
        new Flatten(),
        new Linear(12, 10),
      ],
      "a Sequential in a Sequential": (k) => [
        new nn.Sequential(new Linear(30, 12), new Sigmoid(), new Keeper(k)),
        new Identity(),
        new nn.Sequential(new Flatten(), new Linear(12, 10), new Keeper(k)),
        new Identity(),
      ],
    };
    for (const recording of [true, false]) {
      it.each(Object.keys(cases))(`%s, ${recording ? "training" : "noGrad"}`, (name) => {
        torch.manualSeed(5);
        const kept = new Kept();
        const model = new nn.Sequential(...(cases[name]!(kept) as torch.nn.Identity[]));
        for (let step = 0; step < 20; step++) {
          const [x, target] = draw([4]);
          kept.add("input", x);
          if (!recording) {
            kept.add(
              "output",
              torch.noGrad(() => model.forward(x)),
            );
            continue;
          }
          const y = kept.add("output", model.forward(x));
          model.zeroGrad();
          nn.functional.mseLoss(y, target).backward();
        }
        expect(kept.changed()).toEqual([]);
      });
    }
  });

  it("the input of a model without layers between, and of one that gives it back", () => {
    const x = torch.rand([4, 30]);
    const kept = new Kept();
    kept.add("input", x);
    for (const model of [
      new nn.Sequential(new nn.Identity(), new nn.Identity()),
      new nn.Sequential(new nn.Flatten()),
    ]) {
      for (let i = 0; i < 5; i++)
        kept.add(
          "output",
          torch.noGrad(() => model.forward(x)),
        );
    }
    for (let i = 0; i < 20; i++) torch.rand([4, 30]).mul(2);
    expect(kept.changed()).toEqual([]);
  });

  it("gradients of autograd.grad, with activations retained for a second walk", () => {
    torch.manualSeed(3);
    const model = refinedModel();
    const kept = new Kept();
    for (let step = 0; step < 20; step++) {
      const [x] = draw([4]);
      const y = model.forward(x).sum();
      const first = torch.autograd.grad(y, model.parameters(), { retainGraph: true });
      for (const g of first) kept.add("gradient", g);
      const second = torch.autograd.grad(y, model.parameters());
      second.forEach((g, i) => expect(g.equal(first[i]!)).toBe(true));
    }
    expect(kept.changed()).toEqual([]);
  });

  it("two losses of one forward", () => {
    torch.manualSeed(3);
    const run = (clone: boolean): number[] => {
      torch.manualSeed(4);
      const model = refinedModel();
      for (let step = 0; step < 10; step++) {
        const [x, target] = draw([4]);
        const y = model.forward(x);
        const [a, b] = clone ? [model.forward(x), y] : [y, y];
        nn.functional.mseLoss(a, target).backward(null, { retainGraph: true });
        b.square().mean().backward();
      }
      return model.parameters().map((p) => p.grad!.double().square().sum().item());
    };
    expect(run(false)).toEqual(run(true));
  });

  describe("torch.tidy", () => {
    /** Uses memory, so that whatever was given back too early is overwritten. */
    const churn = (): void => {
      for (const n of [1, 10, 12, 30, 40, 120, 360]) for (let i = 0; i < 6; i++) torch.full([n], 99).mul(7);
    };

    it("keeps its result, in arrays and objects", () => {
      const kept = new Kept();
      const { a, list } = torch.tidy(() => {
        const x = torch.rand([30]);
        return { a: x.mul(2), list: [x.add(1), { deep: x.reshape(5, 6) }] as const };
      });
      kept.add("a", a);
      kept.add("list", list[0]);
      kept.add("deep", list[1].deep);
      churn();
      expect(kept.changed()).toEqual([]);
    });

    it("gives memory back at once: what is made after it takes its place", () => {
      // Without reuse every round would touch new memory; the address tells on native, the heap's size on wasm.
      let inner: Tensor | null = null;
      torch.tidy(() => {
        inner = torch.zeros([1000]);
      });
      const mark = inner as unknown as Tensor;
      if (engine === "wasm") {
        expect(() => mark.toTypedArray()).toThrow();
        return;
      }
      const address = (t: Tensor): number => (t as unknown as { buffer: { address: number } }).buffer.address;
      expect(address(torch.zeros([1000]))).toBe(address(mark));
    });

    it("ends with an exception", () => {
      expect(() =>
        torch.tidy(() => {
          torch.rand([10]);
          throw new Error("mine");
        }),
      ).toThrow("mine");
      const x = torch.rand([10]);
      const kept = new Kept();
      kept.add("made after", x);
      churn();
      expect(kept.changed()).toEqual([]);
    });

    it("nests", () => {
      const kept = new Kept();
      const outer = torch.tidy(() => {
        const inner = torch.tidy(() => torch.full([30], 3).mul(2));
        churn();
        expect(inner.sum().item()).toBe(180);
        return inner.add(1);
      });
      kept.add("outer", outer);
      churn();
      expect(kept.changed()).toEqual([]);
      expect(outer.sum().item()).toBe(210);
    });

    it.each(Object.keys(setups))("around training steps changes no number: %s", (name) => {
      const run = (tidy: boolean): number[] => {
        torch.manualSeed(3);
        const { model, optimiser, loss } = setups[name]!();
        const losses: number[] = [];
        const step = (): void => {
          const [x, target] = draw([4]);
          const l = loss(model.forward(x), target);
          optimiser.zeroGrad();
          l.backward();
          optimiser.step();
          losses.push(l.item());
        };
        for (let i = 0; i < 30; i++) {
          if (tidy) torch.tidy(step);
          else step();
          churn();
        }
        return [...losses, ...model.parameters().map((p) => p.detach().double().square().sum().item())];
      };
      expect(run(true)).toEqual(run(false));
    });

    it("leaves the gradients of leaves made before", () => {
      const x = torch.rand([30]).requiresGrad_();
      torch.tidy(() => x.mul(3).sum().backward());
      churn();
      expect(x.grad!.tolist()).toEqual(new Array(30).fill(3));
    });

    it("a result may still be differentiated", () => {
      const x = torch.full([30], 2).requiresGrad_();
      const y = torch.tidy(() => x.mul(3).exp().sum().log());
      churn();
      y.backward();
      for (const g of x.grad!.tolist() as number[]) expect(g).toBeCloseTo(0.1, 5);
    });
  });

  describe("dispose and using", () => {
    it("give memory back once, however often they are asked", () => {
      const x = torch.rand([50]);
      x.dispose();
      x.dispose();
      const [a, b] = [torch.full([50], 1), torch.full([50], 2)];
      expect(a.sum().item()).toBe(50);
      expect(b.sum().item()).toBe(100);
    });

    it("work inside tidy", () => {
      torch.tidy(() => {
        using x = torch.rand([50]);
        x.mul(2).dispose();
      });
      const all = Array.from({ length: 6 }, (_, i) => torch.full([50], i));
      expect(all.map((t) => t.sum().item())).toEqual([0, 50, 100, 150, 200, 250]);
    });

    it("using ends with its block", () => {
      let sum = 0;
      for (let i = 0; i < 100; i++) {
        using x = torch.full([50], i);
        using y = x.mul(2);
        sum += y.sum().item();
      }
      expect(sum).toBe(100 * 4950);
    });
  });
});

describe("torch.tidy", () => {
  it("keeps the parameters of a module made in it", () => {
    const made = torch.tidy(() => new nn.Sequential(new nn.Linear(30, 12)));
    const before = made.parameters().map((p) => p.tolist());
    for (let i = 0; i < 6; i++) for (const n of [12, 360]) torch.full([n], 99).mul(7);
    expect(made.parameters().map((p) => p.tolist())).toEqual(before);
  });

  it("takes a result that holds itself", () => {
    const made = torch.tidy(() => {
      const o: { self?: object; x: Tensor } = { x: torch.ones([3]) };
      o.self = o;
      return o;
    });
    expect(made.x.tolist()).toEqual([1, 1, 1]);
  });
});

describe("a loss that is kept", () => {
  const F = nn.functional;
  const made = (...shape: number[]): Tensor => torch.rand(shape, { requiresGrad: true });
  const images = (x: Tensor): Tensor => x.view([1, 1, 8, 8]);
  const operations: Record<string, (x: Tensor) => Tensor> = {
    product: (x) => x.matmul(made(8, 8)),
    linear: (x) => F.linear(x, made(5, 8), made(5)),
    convolution: (x) => F.conv2d(images(x), made(2, 1, 3, 3), null),
    pooling: (x) => F.maxPool2d(images(x), 2),
    "layer norm": (x) => F.layerNorm(x, [8], made(8), made(8)),
    softmax: (x) => x.softmax(1),
    "cross entropy": (x) => F.crossEntropy(x, torch.zeros([8], { dtype: "int64" })),
    join: (x) => torch.cat([x, x]),
    copy: (x) => x.t().contiguous(),
    rows: (x) => x.index(torch.tensor([1, 1], { dtype: "int32" })),
    element: (x) => x.mul(x).add(x),
    maximum: (x) => x.max(1).values,
  };
  it.each(Object.entries(operations))("does not keep what led to it: %s", (_, operation) => {
    const collector = createCollector();
    expect(collector).not.toBeNull();
    const step = (): [Tensor, WeakRef<Tensor>[]] => {
      const x = made(8, 8).mul(1.5);
      const y = operation(x);
      const loss = y.mul(2).sum();
      loss.backward();
      return [loss, [new WeakRef(x), new WeakRef(y)]];
    };
    const [loss, dropped] = step();
    collector?.release();
    collector?.collect();
    expect(dropped.map((t) => t.deref())).toEqual([undefined, undefined]);
    expect(loss.item()).toBeTypeOf("number");
  });
});
