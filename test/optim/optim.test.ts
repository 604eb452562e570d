/** Optimisers: steps are PyTorch's for every option, groups and state dicts work, bad options are refused. */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, optim, StateDictError, type Tensor, ValueError } from "../../src/index.js";
import { decode, difference, type Encoded, engines, load, make, onEngine, values } from "../ops/cases.js";
import { drawn } from "../ops/numbers.js";

interface Run {
  optimizer: "SGD" | "Adam" | "AdamW";
  options: Record<string, number | boolean | [number, number]>;
  t: "float32" | "float64";
  after: Record<string, Encoded[][]>;
  state: Record<string, Encoded[] | number>;
}
interface Schedule {
  scheduler: "StepLR" | "ExponentialLR" | "CosineAnnealingLR";
  options: Record<string, number>;
  lr: number;
  lrs: number[];
}
const { optimizers, schedules } = load<{ optimizers: Run[]; schedules: Schedule[] }>("optim");
const shapes = [[3, 4], [5]];

const formula = (i: number, t: Run["t"], seed: number): Tensor => {
  const n = shapes[i]!.reduce((a, b) => a * b, 1);
  return make(drawn(n, t, [seed, -1, 1]), shapes[i]!, t);
};
const parameters = (t: Run["t"]): Tensor[] => shapes.map((_, i) => formula(i, t, 11 + i).requiresGrad_());

function step(optimiser: { step(): unknown }, params: Tensor[], t: Run["t"], number: number): void {
  for (const [i, p] of params.entries()) p.grad = formula(i, t, 100 + 10 * number + i).div(number + 1);
  optimiser.step();
}

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));
  for (const { optimizer, options, t, after, state } of optimizers) {
    it(`${optimizer} ${JSON.stringify(options)} ${t}`, () => {
      const params = parameters(t);
      const optimiser = new optim[optimizer](params, options);
      for (let i = 0; i < 10; i++) {
        step(optimiser, params, t, i);
        for (const [j, expected] of (after[i + 1] ?? []).entries()) {
          const differs = difference(values(params[j]!), decode(expected), t);
          expect(differs, `parameter ${j} after ${i + 1} steps: ${differs}`).toBe(null);
        }
      }
      const kept = optimiser.state.get(params[0]!) ?? {};
      expect(Object.keys(kept).sort()).toEqual(Object.keys(state).sort());
      for (const [name, expected] of Object.entries(state)) {
        if (typeof expected === "number") expect(kept[name]).toBe(expected);
        else expect(difference(values(kept[name] as Tensor), decode(expected), t), name).toBe(null);
      }
    });
  }
});

describe("Optimizer", () => {
  const w = () => torch.ones([2], { requiresGrad: true });

  it("gives groups their own options", () => {
    const [a, b] = [w(), w()];
    const optimiser = new optim.SGD([{ params: [a] }, { params: b, lr: 1, momentum: undefined }], { lr: 0.5 });
    a.sum().add(b.sum()).backward();
    optimiser.step();
    expect([a.tolist(), b.tolist()]).toEqual([
      [0.5, 0.5],
      [0, 0],
    ]);
    optimiser.paramGroups[0]!.lr = 0;
    optimiser.step();
    expect(a.tolist()).toEqual([0.5, 0.5]);
    const c = w();
    optimiser.addParamGroup({ params: [c], weightDecay: 0.1 });
    const { lr, weightDecay, params } = optimiser.paramGroups[2]!;
    expect([lr, weightDecay, params[0] === c]).toEqual([0.5, 0.1, true]);
  });

  it("skips parameters without a gradient", () => {
    const [a, b] = [w(), w()];
    const optimiser = new optim.Adam([a, b]);
    a.sum().backward();
    optimiser.step();
    expect(b.tolist()).toEqual([1, 1]);
    expect(optimiser.state.has(a) && optimiser.state.size === 1).toBe(true);
  });

  it("clears gradients, or fills them with zeros", () => {
    const a = w();
    const optimiser = new optim.SGD([a]);
    a.sum().backward();
    optimiser.zeroGrad({ setToNone: false });
    expect(a.grad!.tolist()).toEqual([0, 0]);
    optimiser.zeroGrad();
    expect(a.grad).toBe(null);
  });

  it("runs a closure with gradients on and gives its result", () => {
    const a = w();
    const optimiser = new optim.SGD([a], { lr: 0.5 });
    const loss = torch.noGrad(() =>
      optimiser.step(() => {
        optimiser.zeroGrad();
        const value = a.square().sum();
        value.backward();
        return value.item();
      }),
    );
    expect(loss).toBe(2);
    expect(a.tolist()).toEqual([0, 0]);
  });

  it("leaves the graph of the next step alone", () => {
    const a = w();
    const optimiser = new optim.SGD([a], { lr: 0.1, momentum: 0.9, weightDecay: 0.1 });
    for (let i = 0; i < 3; i++) {
      optimiser.zeroGrad();
      a.square().sum().backward();
      optimiser.step();
    }
    expect(a.isLeaf && a.requiresGrad).toBe(true);
  });

  it("saves and goes on as if nothing had happened", () => {
    const check = <O extends { lr: number }>(make: (p: Tensor[]) => optim.Optimizer<O>) => {
      const [a, b] = [parameters("float32"), parameters("float32")];
      const [one, two] = [make(a), make(b)];
      for (let i = 0; i < 3; i++) step(one, a, "float32", i);
      for (const [i, p] of b.entries()) torch.noGrad(() => p.copy_(a[i]!.detach()));
      two.paramGroups[0]!.lr = 7;
      const saved = one.stateDict();
      expect(saved.param_groups[0]!.params).toEqual([0, 1]);
      two.loadStateDict(saved);
      expect(two.paramGroups[0]!.lr).toBe(0.1);
      for (let i = 3; i < 6; i++) {
        step(one, a, "float32", i);
        step(two, b, "float32", i);
      }
      expect(b.map((p) => p.tolist())).toEqual(a.map((p) => p.tolist()));
    };
    check((p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true }));
    check((p) => new optim.AdamW(p, { lr: 0.1, amsgrad: true }));
  });

  it("keeps state by PyTorch's names", () => {
    const [p] = parameters("float32");
    const adam = new optim.Adam([p!], { weightDecay: 0.5 });
    step(adam, [p!], "float32", 0);
    const { state, param_groups } = adam.stateDict();
    expect(Object.keys(state.get(0)!)).toEqual(["step", "exp_avg", "exp_avg_sq"]);
    expect((state.get(0)!.step as Tensor).item()).toBe(1);
    expect(param_groups[0]).toMatchObject({ weight_decay: 0.5, decoupled_weight_decay: false, params: [0] });
    // What PyTorch has beyond our options is let be; a rate may be a tensor.
    const foreign = { ...param_groups[0]!, foreach: null, fused: null, lr: torch.tensor(0.25) };
    adam.loadStateDict({ state, param_groups: [foreign] });
    expect(adam.paramGroups[0]).toMatchObject({ lr: 0.25, weightDecay: 0.5 });
    expect(adam.paramGroups[0]).not.toHaveProperty("foreach");
    expect(() => adam.loadStateDict({} as never)).toThrow(/not an optimiser's state dict/);
  });

  it("refuses state dicts of other models", () => {
    const optimiser = new optim.Adam([w()]);
    expect(() => optimiser.loadStateDict(new optim.Adam([w(), w()]).stateDict())).toThrow(StateDictError);
    const state = { 0: { step: 1, exp_avg: torch.ones([3]), exp_avg_sq: torch.ones([3]) } };
    expect(() => optimiser.loadStateDict({ ...optimiser.stateDict(), state })).toThrow(
      /exp_avg of parameter 0 has shape \(3\)/,
    );
    expect(optimiser.state.size).toBe(0);
  });

  it("refuses what is not a list of leaves", () => {
    const a = w();
    expect(() => new optim.SGD([])).toThrow(/empty/);
    expect(() => new optim.SGD(a as unknown as Tensor[])).toThrow(/array/);
    expect(() => new optim.SGD([a, a])).toThrow(/twice/);
    expect(() => new optim.SGD([{ params: [a] }, { params: [a] }])).toThrow(/twice/);
    expect(() => new optim.SGD([a.mul(2)])).toThrow(/leaves/);
    expect(() => new optim.SGD([3 as unknown as Tensor])).toThrow(ValueError);
  });

  it("refuses options out of their domain", () => {
    for (const options of [{ lr: -1 }, { momentum: -1 }, { weightDecay: -1 }, { lr: Number.NaN }, { nesterov: true }]) {
      expect(() => new optim.SGD([w()], options)).toThrow(ValueError);
    }
    expect(() => new optim.SGD([w()], { nesterov: true, momentum: 0.9, dampening: 0.1 })).toThrow(ValueError);
    for (const options of [{ lr: -1 }, { eps: -1 }, { weightDecay: -1 }, { betas: [1, 0.9] as [number, number] }]) {
      expect(() => new optim.Adam([w()], options)).toThrow(ValueError);
      expect(() => new optim.AdamW([w()], options)).toThrow(ValueError);
    }
  });

  it("follows a module to another dtype", () => {
    const layer = new nn.Linear(2, 1);
    const optimiser = new optim.Adam(layer.parameters());
    layer.double();
    layer
      .forward(torch.ones([1, 2], { dtype: "float64" }))
      .sum()
      .backward();
    const before = layer.weight.tolist();
    optimiser.step();
    expect(layer.weight.tolist()).not.toEqual(before);
  });

  it("prints its options", () => {
    expect(String(new optim.SGD([w()], { lr: 0.5 }))).toBe(`SGD (
Parameter Group 0
    dampening: 0
    lr: 0.5
    maximize: false
    momentum: 0
    nesterov: false
    weightDecay: 0
)`);
  });
});

describe("schedules", () => {
  for (const { scheduler, options, lr, lrs } of schedules) {
    it(scheduler, () => {
      const optimiser = new optim.SGD([{ params: [torch.zeros([1], { requiresGrad: true })], lr }]);
      const Scheduler = optim.lrScheduler[scheduler] as new (
        o: typeof optimiser,
        options: object,
      ) => optim.lrScheduler.LRScheduler;
      const schedule = new Scheduler(optimiser, options);
      for (const expected of lrs) {
        expect(schedule.getLastLr()[0]).toBeCloseTo(expected, 10);
        schedule.step();
      }
    });
  }

  it("LambdaLR starts at once and has a function a group", () => {
    const groups = [1, 10].map((lr) => ({ params: [torch.zeros([1], { requiresGrad: true })], lr }));
    const optimiser = new optim.SGD(groups);
    const schedule = new optim.lrScheduler.LambdaLR(optimiser, { lrLambda: [(t) => 0.5 ** (t + 1), (t) => t] });
    expect(schedule.getLastLr()).toEqual([0.5, 0]);
    schedule.step();
    expect(schedule.getLastLr()).toEqual([0.25, 10]);
    expect(() => new optim.lrScheduler.LambdaLR(optimiser, { lrLambda: [(t) => t] })).toThrow(ValueError);
  });

  it("go on from their state", () => {
    const make = () => {
      const optimiser = new optim.SGD([torch.zeros([1], { requiresGrad: true })], { lr: 1 });
      return { optimiser, schedule: new optim.lrScheduler.StepLR(optimiser, { stepSize: 2 }) };
    };
    const [a, b] = [make(), make()];
    for (let i = 0; i < 3; i++) a.schedule.step();
    b.optimiser.loadStateDict(a.optimiser.stateDict());
    b.schedule.loadStateDict(a.schedule.stateDict());
    a.schedule.step();
    b.schedule.step();
    expect(b.schedule.getLastLr()).toEqual(a.schedule.getLastLr());
  });
});
