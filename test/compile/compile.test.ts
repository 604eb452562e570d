import { afterAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { CaptureError, nn, optim, type Tensor } from "../../src/index.js";

const F = nn.functional;

function mlp(): nn.Sequential {
  torch.manualSeed(7);
  return new nn.Sequential(
    new nn.Linear(12, 9),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(9),
    new nn.Linear(9, 4),
    new nn.Sigmoid(),
  );
}

const numbers = (tensors: readonly Tensor[]): number[][] => tensors.map((t) => [...(t.toTypedArray() as Float32Array)]);

describe.each(["native", "wasm"] as const)("torch.compile on %s", (engine) => {
  torch.setCpuEngine(engine);
  afterAll(() => torch.setCpuEngine("native"));
  const on = <T>(fn: () => T): T => {
    torch.setCpuEngine(engine);
    return fn();
  };
  const test = (name: string, fn: () => void): void => it(name, () => on(fn));

  const optimisers: Record<string, (p: Tensor[]) => optim.SGD | optim.Adam> = {
    SGD: (p) => new optim.SGD(p, { lr: 0.1 }),
    "SGD with everything": (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, weightDecay: 0.01, nesterov: true }),
    Adam: (p) => new optim.Adam(p, { lr: 0.01 }),
    "Adam with amsgrad": (p) => new optim.Adam(p, { lr: 0.01, amsgrad: true, weightDecay: 0.1 }),
    AdamW: (p) => new optim.AdamW(p, { lr: 0.01 }),
  };
  for (const [name, make] of Object.entries(optimisers)) {
    for (const batch of [null, 1, 5, 64]) {
      test(`a training step with ${name}, batch ${batch}, is the eager step, bit for bit`, () => {
        const run = (compiled: boolean): number[][] => {
          const model = mlp();
          const optimiser = make(model.parameters());
          const plain = (x: Tensor, y: Tensor): Tensor => {
            const loss = F.binaryCrossEntropy(model.forward(x), y);
            optimiser.zeroGrad();
            loss.backward();
            optimiser.step();
            return loss;
          };
          const step = compiled ? torch.compile(plain) : plain;
          const losses: number[] = [];
          for (let i = 0; i < 8; i++) {
            const x = torch.rand(batch === null ? [12] : [batch, 12]);
            const y = torch.rand(batch === null ? [4] : [batch, 4]).round();
            if (i === 5) for (const group of optimiser.paramGroups) group.lr *= 0.5;
            losses.push(step(x, y).item());
          }
          return [losses, ...numbers(model.parameters())];
        };
        expect(run(true)).toEqual(run(false));
      });
    }
  }

  test("state that an option asks for later is made once", () => {
    const run = (compiled: boolean): number[][] => {
      const weights = mlp().parameters();
      const sgd = new optim.SGD(weights.slice(0, 2), { lr: 0.1 });
      const adam = new optim.Adam(weights.slice(2), { lr: 0.01 });
      const plain = (scale: Tensor): void => {
        const loss = weights.map((w) => w.mul(scale).square().sum()).reduce((a, b) => a.add(b));
        for (const optimiser of [sgd, adam]) optimiser.zeroGrad();
        loss.backward();
        for (const optimiser of [sgd, adam]) optimiser.step();
      };
      const step = compiled ? torch.compile(plain) : plain;
      for (let i = 0; i < 9; i++) {
        if (i === 3) for (const group of sgd.paramGroups) group.momentum = 0.9;
        if (i === 3) for (const group of adam.paramGroups) group.amsgrad = true;
        step(torch.tensor(i < 6 ? 1 : 0.1));
      }
      return numbers(weights);
    };
    expect(run(true)).toEqual(run(false));
  });

  test("a large first layer is learned through outer products that nobody writes", () => {
    const run = (compiled: boolean): number[][] => {
      torch.manualSeed(1);
      const model = new nn.Sequential(new nn.Linear(200, 100), new nn.Sigmoid(), new nn.Linear(100, 3));
      const optimiser = new optim.SGD(model.parameters(), { lr: 0.1 });
      const plain = (x: Tensor, y: Tensor): Tensor => {
        const loss = F.mseLoss(model.forward(x), y);
        optimiser.zeroGrad();
        loss.backward();
        optimiser.step();
        return loss;
      };
      const step = compiled ? torch.compile(plain) : plain;
      const losses: number[] = [];
      for (let i = 0; i < 5; i++) losses.push(step(torch.rand([200]), torch.rand([3])).item());
      return [losses, ...numbers(model.parameters())];
    };
    expect(run(true)).toEqual(run(false));
  });

  test("JavaScript runs for the first call of a kind only, and another shape is another kind", () => {
    let runs = 0;
    const f = torch.compile((x: Tensor) => {
      runs += 1;
      return x.mul(2).add(1).exp();
    });
    for (const n of [3, 3, 4, 3, 4]) {
      const x = torch.arange(n).to("float32");
      expect(numbers([f(x)])).toEqual(numbers([x.mul(2).add(1).exp()]));
    }
    expect(runs).toBe(2);
    f(torch.arange(3).to("float64"));
    expect(runs).toBe(3);
  });

  test("numbers among the arguments are part of the kind", () => {
    const f = torch.compile((x: Tensor, factor: number) => x.mul(factor));
    expect(f(torch.tensor([1, 2]), 3).tolist()).toEqual([3, 6]);
    expect(f(torch.tensor([1, 2]), 4).tolist()).toEqual([4, 8]);
    expect(f(torch.tensor([2, 2]), 3).tolist()).toEqual([6, 6]);
  });

  test("a profile shows the fused kernels of a replay, which gives what it gives unobserved", () => {
    const f = torch.compile((x: Tensor) => x.mul(2).add(1).sum());
    const x = torch.arange(5).to("float32");
    f(x);
    let seen: Tensor | undefined;
    const profile = torch.profiler.profile(() => {
      seen = f(x);
    });
    expect(seen?.item()).toBe(25);
    expect([...profile.keyAverages()].map((row) => [row.key, row.count])).toEqual([["mul+add+sum", 1]]);
    expect(f(x).item()).toBe(25);
  });

  test("structures go in and come out", () => {
    const f = torch.compile(({ a, b }: { a: Tensor; b: Tensor[] }) => ({
      sum: a.add(b[0] as Tensor),
      all: [a, 7, null],
    }));
    for (let i = 0; i < 3; i++) {
      const a = torch.tensor([i, 2]);
      const out = f({ a, b: [torch.tensor([1, 1])] });
      expect(out.sum.tolist()).toEqual([i + 1, 3]);
      expect(out.all[0]).toBe(a);
      expect(out.all.slice(1)).toEqual([7, null]);
    }
  });

  test("results stay what they were when the function runs again", () => {
    const f = torch.compile((x: Tensor) => x.add(1));
    const results = [0, 1, 2, 3].map((i) => f(torch.full([5], i)));
    expect(results.map((r) => r.tolist())).toEqual([1, 2, 3, 4].map((v) => [v, v, v, v, v]));
  });

  test("views of larger tensors are read where they lie", () => {
    const f = torch.compile((x: Tensor) => x.sum(0));
    const rows = torch.arange(24).to("float32").reshape([6, 4]);
    for (let i = 0; i < 4; i++) {
      const part = rows.narrow(0, i, 2);
      expect(f(part).tolist()).toEqual(part.sum(0).tolist());
    }
    const across = rows.t();
    expect(f(across).tolist()).toEqual(across.sum(0).tolist());
  });

  test("in-place changes reach the caller's tensor, and are counted", () => {
    const f = torch.compile((x: Tensor) => {
      x.add_(1);
      return x.mul(2);
    });
    const x = torch.tensor([1, 2]);
    for (let i = 0; i < 3; i++) {
      const before = x.version;
      expect(f(x).tolist()).toEqual([2 * (2 + i), 2 * (3 + i)]);
      expect(x.version).toBeGreaterThan(before);
    }
    expect(x.tolist()).toEqual([4, 5]);
  });

  test("arguments that share memory are another kind", () => {
    const f = torch.compile((x: Tensor, y: Tensor) => {
      x.add_(1);
      return x.add(y);
    });
    const fresh = (): Tensor => torch.tensor([1, 2]);
    expect(f(fresh(), fresh()).tolist()).toEqual([3, 5]);
    expect(f(fresh(), fresh()).tolist()).toEqual([3, 5]);
    const one = fresh();
    expect(f(one, one).tolist()).toEqual([4, 6]);
    const two = fresh();
    expect(f(two, two).tolist()).toEqual([4, 6]);
    expect(f(fresh(), fresh()).tolist()).toEqual([3, 5]);
  });

  test("random numbers go on as they would have", () => {
    const run = (compiled: boolean): unknown => {
      torch.manualSeed(3);
      const plain = (x: Tensor): Tensor => F.dropout(x, 0.5).add(torch.randn([6]));
      const f = compiled ? torch.compile(plain) : plain;
      return [1, 2, 3, 4].map((v) => f(torch.full([6], v)).tolist());
    };
    expect(run(true)).toEqual(run(false));
  });

  test("training mode is part of the kind", () => {
    const layer = new nn.Dropout(0.5);
    const f = torch.compile(layer);
    const ones = torch.ones([100]);
    f(ones);
    expect(f(ones).eq(1).all().item()).toBe(0);
    layer.eval();
    expect(f(ones).eq(1).all().item()).toBe(1);
    layer.train();
    expect(f(ones).eq(1).all().item()).toBe(0);
  });

  test("gradients accumulate over calls that do not forget them", () => {
    const run = (compiled: boolean): number[][] => {
      const w = torch.tensor([1, 2, 3], { requiresGrad: true });
      const plain = (x: Tensor): void => w.mul(x).square().sum().backward();
      const f = compiled ? torch.compile(plain) : plain;
      const seen: number[][] = [];
      for (let i = 0; i < 5; i++) {
        f(torch.tensor([1, i, 2]));
        seen.push(...numbers([w.grad as Tensor]));
        if (i === 3) w.grad = null;
      }
      return seen;
    };
    expect(run(true)).toEqual(run(false));
  });

  test("a gradient that the step used is kept only if asked", () => {
    const make = (keepGradients: boolean) => {
      const w = torch.tensor([1, 2], { requiresGrad: true });
      const optimiser = new optim.SGD([w], { lr: 0.5 });
      const step = torch.compile(
        (x: Tensor) => {
          optimiser.zeroGrad();
          w.mul(x).sum().backward();
          optimiser.step();
        },
        { keepGradients },
      );
      for (let i = 0; i < 4; i++) step(torch.tensor([i, 1]));
      return w;
    };
    const kept = make(true);
    expect(kept.grad?.tolist()).toEqual([3, 1]);
    const lost = make(false);
    expect(lost.tolist()).toEqual(kept.tolist());
    expect(() => lost.grad).toThrow(torch.AutogradError);
    expect(() => lost.grad).toThrow(/keepGradients/);
  });

  test("eager steps and compiled ones mix", () => {
    const run = (compiled: boolean): number[][] => {
      const model = mlp();
      const optimiser = new optim.Adam(model.parameters(), { lr: 0.01 });
      const plain = (x: Tensor): void => {
        optimiser.zeroGrad();
        model.forward(x).square().sum().backward();
        optimiser.step();
      };
      const step = torch.compile(plain);
      for (let i = 0; i < 9; i++) (compiled && i % 3 !== 0 ? step : plain)(torch.full([2, 12], i / 10));
      return numbers(model.parameters());
    };
    expect(run(true)).toEqual(run(false));
  });

  test("a frozen parameter, a loaded state and another dtype are noticed", () => {
    const model = mlp();
    const optimiser = new optim.SGD(model.parameters(), { lr: 0.1 });
    const step = torch.compile((x: Tensor) => {
      optimiser.zeroGrad();
      const loss = model.forward(x).sum();
      loss.backward();
      optimiser.step();
      return loss;
    });
    const x = torch.rand([3, 12]);
    for (let i = 0; i < 3; i++) step(x);
    const first = model.parameters()[0] as Tensor;
    first.requiresGrad = false;
    const before = first.tolist();
    step(x);
    step(x);
    expect(first.tolist()).toEqual(before);
    first.requiresGrad = true;
    step(x);
    step(x);
    expect(first.tolist()).not.toEqual(before);
    model.to("float64");
    expect(step(x.to("float64")).dtype).toBe("float64");
  });

  test("values are checked in every run, before anything is changed", () => {
    const w = torch.tensor([0.5, 0.5], { requiresGrad: true });
    const optimiser = new optim.Adam([w], { lr: 0.1 });
    const step = torch.compile((x: Tensor) => {
      optimiser.zeroGrad();
      F.binaryCrossEntropy(w.mul(x), torch.tensor([1, 0])).backward();
      optimiser.step();
    });
    for (let i = 0; i < 3; i++) step(torch.tensor([0.9, 0.8]));
    const [before, t] = [w.tolist(), optimiser.state.get(w)?.step];
    expect(() => step(torch.tensor([9, 9]))).toThrow(torch.ValueError);
    expect(w.tolist()).toEqual(before);
    expect(optimiser.state.get(w)?.step).toBe(t);
    step(torch.tensor([0.9, 0.8]));
    expect(optimiser.state.get(w)?.step).toBe((t as number) + 1);
  });

  test("indices are checked in every run", () => {
    const table = torch.arange(12).to("float32").reshape([4, 3]);
    const f = torch.compile((i: Tensor) => table.indexSelect(0, i).sum(1));
    for (const i of [0, 1, 3]) expect(f(torch.tensor([i, 2], { dtype: "int64" })).tolist()).toEqual([i * 9 + 3, 21]);
    expect(() => f(torch.tensor([4, 0], { dtype: "int64" }))).toThrow(torch.IndexError);
  });

  test("one-hot codes of a given number of classes are recorded, and labels checked in each run", () => {
    const labels = (...values: number[]): Tensor => torch.tensor(values, { dtype: "int32" });
    const f = torch.compile((x: Tensor) => F.oneHot(x, 3));
    for (const row of [
      [0, 2],
      [1, 1],
      [2, 0],
    ]) {
      expect(f(labels(...row)).tolist()).toEqual(row.map((label) => [0, 1, 2].map((i) => Number(i === label))));
    }
    expect(() => f(labels(0, 3))).toThrow("oneHot: label 3 is not in 0 … 2");
    expect(() => f(labels(-1, 2))).toThrow("oneHot: label -1 is not in 0 … 2");
    expect(() => torch.compile((x: Tensor) => F.oneHot(x))(labels(0, 1))).toThrow(CaptureError);
  });

  test("what cannot be recorded says where", () => {
    const here = /compile\.test\.ts:\d+/;
    const one = torch.ones([2]);
    expect(() => torch.compile((x: Tensor) => x.mul(x.sum().item()))(one)).toThrow(CaptureError);
    expect(() => torch.compile((x: Tensor) => x.mul(x.sum().item()))(one)).toThrow(here);
    expect(() => torch.compile((x: Tensor) => x.tolist())(one)).toThrow(CaptureError);
    expect(() => torch.compile((x: Tensor) => x.nonzero())(one)).toThrow(CaptureError);
    expect(() => torch.compile((x: Float32Array) => torch.tensor([...x]))(new Float32Array(2))).toThrow(CaptureError);
    const w = torch.ones([2], { requiresGrad: true });
    class Own extends optim.Optimizer<object> {
      protected update(): void {}
    }
    const own = new Own([w], {});
    const step = torch.compile(() => {
      w.sum().backward();
      own.step();
    });
    expect(step).toThrow(CaptureError);
    // An error leaves nothing behind.
    expect(
      torch
        .compile((x: Tensor) => x.add(1))(one)
        .tolist(),
    ).toEqual([2, 2]);
    expect(one.sum().item()).toBe(2);
  });

  test("a compiled model is trained as the model is, bit for bit", () => {
    const run = (compiled: boolean): number[][] => {
      const model = mlp();
      const forward = compiled ? torch.compile(model) : (x: Tensor) => model.forward(x);
      const head = new nn.Linear(4, 2);
      const optimiser = new optim.Adam([...model.parameters(), ...head.parameters()], { lr: 0.02 });
      const losses: number[] = [];
      for (let i = 0; i < 6; i++) {
        const loss = F.mseLoss(head.forward(forward(torch.rand([5, 12]))), torch.rand([5, 2]));
        optimiser.zeroGrad();
        loss.backward();
        optimiser.step();
        losses.push(loss.item());
      }
      return [losses, ...numbers(model.parameters()), ...numbers(head.parameters())];
    };
    expect(run(true)).toEqual(run(false));
  });

  for (const what of ["step", "model"] as const) {
    test(`a convolutional network is trained with its ${what} compiled as without, bit for bit`, () => {
      const run = (compiled: boolean): number[][] => {
        torch.manualSeed(2);
        const norm = new nn.BatchNorm2d(6);
        const model = new nn.Sequential(
          new nn.Conv2d(1, 6, 3, { padding: 1 }),
          norm,
          new nn.ReLU(),
          new nn.MaxPool2d(2),
          new nn.Conv2d(6, 8, 3, { stride: 2 }),
          new nn.Flatten(),
          new nn.Linear(8 * 6 * 6, 10),
        );
        const optimiser = new optim.Adam(model.parameters(), { lr: 0.01 });
        const forward = compiled && what === "model" ? torch.compile(model) : (x: Tensor) => model.forward(x);
        const plain = (x: Tensor, y: Tensor): Tensor => {
          const loss = F.crossEntropy(forward(x), y);
          optimiser.zeroGrad();
          loss.backward();
          optimiser.step();
          return loss;
        };
        const step = compiled && what === "step" ? torch.compile(plain) : plain;
        const losses: number[] = [];
        for (let i = 0; i < 4; i++) losses.push(step(torch.rand([4, 1, 28, 28]), torch.randint(10, [4])).item());
        return [losses, ...numbers([...model.parameters(), norm.runningMean as Tensor, norm.runningVar as Tensor])];
      };
      expect(run(true)).toEqual(run(false));
    });
  }

  test("gradients go on through arguments, several results, and calls that overlap", () => {
    const run = (compiled: boolean): number[][] => {
      const w = torch.tensor([1, 2, 3], { requiresGrad: true });
      const v = torch.tensor([2, 1, 0.5], { requiresGrad: true });
      const plain = (x: Tensor, y: Tensor): Tensor[] => [x.mul(w).exp(), x.mul(y).sum(), y.detach().mul(2)];
      const f = compiled ? torch.compile(plain) : plain;
      const seen: number[][] = [];
      for (let i = 0; i < 4; i++) {
        const x = v.mul(i / 4);
        const [a, b, c] = f(x, torch.tensor([1, i, 2])) as [Tensor, Tensor, Tensor];
        const [d] = f(x.sin(), torch.tensor([3, 1, 1])) as [Tensor];
        a.sum()
          .add(d.square().sum())
          .add(i % 2 === 0 ? b : 0)
          .backward();
        expect(c.requiresGrad).toBe(false);
        seen.push(...numbers([a, b, c, d, w.grad as Tensor, v.grad as Tensor].map((t) => t.detach())));
      }
      return seen;
    };
    const [mine, eager] = [run(true), run(false)];
    expect(mine.map((list) => list.length)).toEqual(eager.map((list) => list.length));
    // Gradients of one function are added up before those of others: another order, another last digit.
    for (const [i, list] of mine.entries()) {
      for (const [k, value] of list.entries()) expect(value / (eager[i]?.[k] as number) || 1).toBeCloseTo(1, 6);
    }
  });

  test("a gradient of a compiled function is taken twice only if its graph is retained, and has none itself", () => {
    const w = torch.tensor([1, 2], { requiresGrad: true });
    const f = torch.compile((x: Tensor) => w.mul(x).square().sum());
    for (let i = 0; i < 3; i++) {
      const y = f(torch.tensor([1, 3]));
      w.grad = null;
      y.backward(null, { retainGraph: true });
      y.backward();
      expect((w.grad as unknown as Tensor).tolist()).toEqual([4, 72]);
      expect(() => y.backward()).toThrow(torch.AutogradError);
      expect(() => torch.autograd.grad(f(torch.tensor([1, 3])), w, { createGraph: true })).toThrow(torch.AutogradError);
    }
  });

  test("an argument changed before backward is noticed", () => {
    const w = torch.tensor([1, 2], { requiresGrad: true });
    const f = torch.compile((x: Tensor) => w.mul(x).sum());
    for (let i = 0; i < 3; i++) {
      const x = torch.tensor([1, 3]);
      const y = f(x);
      x.add_(1);
      expect(() => y.backward()).toThrow(torch.AutogradError);
    }
  });

  test("numbers from JavaScript are those of the recording", () => {
    const f = torch.compile((x: Tensor) => x.add(torch.tensor([1, 2, 3])));
    for (let i = 0; i < 3; i++) expect(f(torch.full([3], i)).tolist()).toEqual([i + 1, i + 2, i + 3]);
    expect(() =>
      torch.compile((x: Tensor) => torch.fromTypedArray(new Float32Array(2), [2]).add_(x))(torch.ones([2])),
    ).toThrow(CaptureError);
  });

  test("one compiled function inside another is part of it", () => {
    const inner = torch.compile((x: Tensor) => x.mul(2));
    const outer = torch.compile((x: Tensor) => inner(x).add(inner(x)));
    for (let i = 0; i < 3; i++) expect(outer(torch.full([2], i)).tolist()).toEqual([4 * i, 4 * i]);
  });

  test("a fold keeps its digits whatever map joins it", () => {
    for (const n of [40, 300, 20000]) {
      const norm = new nn.LayerNorm(n);
      const plain = (x: Tensor): Tensor[] => [
        norm.forward(F.gelu(x)),
        x.exp().sum(1),
        F.softmax(F.gelu(x).mul(3), 1),
        F.gelu(x).var(1),
        F.logSoftmax(x.sigmoid().mul(x), 1),
        x.double().exp().float().sum(1),
        F.gelu(x).sum(0),
      ];
      const f = torch.compile(plain);
      for (let i = 0; i < 2; i++) {
        const x = torch.randn([16, n]);
        const want = plain(x);
        f(x).forEach((t, k) => {
          expect(t.tolist(), `result ${k} of rows of ${n}`).toEqual((want[k] as Tensor).tolist());
        });
      }
    }
  });

  test("a map may be read through views, broadcast, folded, and across what changes its input", () => {
    const plain = (x: Tensor, y: Tensor): Tensor[] => {
      const doubled = x.mul(2);
      const negated = y.neg();
      const early = negated.narrow(1, 1, 2);
      y.add_(1);
      const mixed = doubled.t().add(negated.select(0, 1).unsqueeze(1));
      return [
        early.sum(1),
        mixed,
        doubled.reshape([-1]).cumsum(0),
        doubled.mean(0),
        torch.cat([doubled, negated.t().contiguous().t()], 0),
      ];
    };
    const f = torch.compile(plain);
    for (let i = 0; i < 3; i++) {
      const make = (): [Tensor, Tensor] => [
        torch.arange(12).to("float32").add(i).reshape([3, 4]),
        torch.arange(12).to("float32").mul(i).reshape([3, 4]),
      ];
      const [x, y] = make();
      const [u, v] = make();
      expect(f(x, y).map((t) => t.tolist())).toEqual(plain(u, v).map((t) => t.tolist()));
      expect(y.tolist()).toEqual(v.tolist());
    }
  });
});
