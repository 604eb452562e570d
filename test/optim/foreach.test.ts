/** A step over all parameters at once is, bit for bit, one parameter after another, whatever happens between two steps. */
import v8 from "node:v8";
import vm from "node:vm";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import * as torch from "../../src/index.js";
import { nn, optim, type Tensor } from "../../src/index.js";
import { Foreach } from "../../src/optim/foreach.js";
import { engines, onEngine } from "../ops/cases.js";

type Model = nn.Sequential;
type Optimiser = optim.SGD | optim.Adam;
interface Pair {
  model: Model;
  optimiser: Optimiser;
}

const makers: Record<string, (model: Model) => Optimiser> = {
  SGD: (model) => new optim.SGD(model.parameters(), { lr: 0.1 }),
  "SGD with momentum": (model) => new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9, dampening: 0.1 }),
  Adam: (model) => new optim.Adam(model.parameters(), { lr: 0.01 }),
  "AdamW in groups": (model) => {
    const [first, ...others] = model.parameters() as Tensor[];
    return new optim.AdamW(
      [
        { params: [first!], lr: 0.05 },
        { params: others, weightDecay: 0.1 },
      ],
      { amsgrad: true },
    );
  },
};

function make(maker: (model: Model) => Optimiser): Pair {
  torch.manualSeed(3);
  // 300 × 64 gradients of one row are outer products, left uncomputed
  const model = new nn.Sequential(new nn.Linear(300, 64), new nn.Tanh(), new nn.LayerNorm(64), new nn.Linear(64, 5));
  return { model, optimiser: maker(model) };
}

function gradients({ model, optimiser }: Pair, rows: number, seed: number): void {
  torch.manualSeed(seed);
  const x = torch.rand([rows, 300], { dtype: model.parameters()[0]!.dtype as "float32" });
  optimiser.zeroGrad();
  model.forward(x).square().mean().backward();
}

/** While a profile is taken, parameters are updated one by one. */
const oneByOne = (optimiser: Optimiser): void => void torch.profiler.profile(() => optimiser.step());

const bits = ({ model, optimiser }: Pair): number[][] => [
  ...model.parameters().map((p) => Array.from(p.toTypedArray() as Float32Array)),
  ...[...optimiser.state.values()].flatMap((state) =>
    Object.values(state).map((kept) =>
      typeof kept === "number" ? [kept] : Array.from(kept.toTypedArray() as Float32Array),
    ),
  ),
];

/** What a program may do before a step. */
const events: Record<string, (pair: Pair) => void> = {
  nothing: () => {},
  "another learning rate": ({ optimiser }) => {
    for (const group of optimiser.paramGroups) group.lr *= 0.5;
  },
  "weight decay": ({ optimiser }) => {
    for (const group of optimiser.paramGroups) group.weightDecay = 0.3;
  },
  "gradients that are clipped, and so computed": ({ model }) => void nn.utils.clipGradNorm_(model.parameters(), 0.01),
  "no gradient for one": ({ model }) => {
    model.parameters()[1]!.grad = null;
  },
  "a gradient that is not contiguous": ({ model }) => {
    const w = model.parameters()[0]!;
    w.grad = w.grad!.t().contiguous().t();
  },
  "state from a file": ({ optimiser }) => {
    const { state, param_groups } = optimiser.stateDict();
    const halved = new Map(
      [...state].map(([i, kept]) => [
        i,
        Object.fromEntries(
          Object.entries(kept).map(([name, value]) => [name, typeof value === "number" ? value : value.mul(0.5)]),
        ),
      ]),
    );
    optimiser.loadStateDict({ state: halved, param_groups });
  },
  "state put in by hand": ({ optimiser }) => {
    for (const kept of optimiser.state.values()) {
      for (const [name, value] of Object.entries(kept)) if (typeof value !== "number") kept[name] = value.mul(0.25);
    }
  },
  "weights changed in place": ({ model }) => torch.noGrad(() => void model.parameters()[0]!.mul_(0.5)),
  "more threads": () => torch.setNumThreads(2),
  "one thread": () => torch.setNumThreads(1),
};

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));
  afterEach(() => vi.restoreAllMocks());

  for (const [name, maker] of Object.entries(makers)) {
    it(name, () => {
      const [together, apart] = [make(maker), make(maker)];
      const steps = vi.spyOn(Foreach.prototype, "step");
      let seed = 0;
      for (const [what, happens] of Object.entries(events)) {
        for (const rows of [1, 1, 1, 4]) {
          seed += 1;
          for (const pair of [together, apart]) {
            gradients(pair, rows, seed);
            happens(pair);
          }
          together.optimiser.step();
          oneByOne(apart.optimiser);
          expect(bits(together), `${what}, ${rows} rows`).toEqual(bits(apart));
        }
      }
      // of the four steps after each event, the third at least is like the one before
      const done = steps.mock.results.filter((result) => result.value === true).length;
      expect(done).toBeGreaterThanOrEqual(Object.keys(events).length - 3);
    });
  }

  it("goes on with what momentum makes when it is switched on", () => {
    const [together, apart] = [make(makers["SGD"]!), make(makers["SGD"]!)];
    for (let i = 0; i < 8; i++) {
      for (const pair of [together, apart]) {
        gradients(pair, 1, i);
        if (i === 3) for (const group of (pair.optimiser as optim.SGD).paramGroups) group.momentum = 0.9;
      }
      together.optimiser.step();
      oneByOne(apart.optimiser);
      expect(bits(together), `step ${i}`).toEqual(bits(apart));
    }
  });

  it("follows a model to another dtype", () => {
    const [together, apart] = [make(makers["SGD"]!), make(makers["SGD"]!)];
    for (let i = 0; i < 8; i++) {
      for (const pair of [together, apart]) {
        if (i === 4) pair.model.double();
        gradients(pair, 1, i);
      }
      together.optimiser.step();
      oneByOne(apart.optimiser);
      expect(bits(together), `step ${i}`).toEqual(bits(apart));
    }
  });

  it("tells autograd that weights and state were changed", () => {
    const w = torch.ones([3], { requiresGrad: true });
    const optimiser = new optim.Adam([w]);
    for (let i = 0; i < 4; i++) {
      const loss = w.square().sum();
      loss.backward(null, { retainGraph: true });
      optimiser.step();
      expect(() => loss.backward()).toThrow(torch.AutogradError);
      optimiser.zeroGrad();
    }
  });
});

it("keeps no gradient alive", async () => {
  await onEngine("native");
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc") as () => void;
  const w = torch.ones([1000], { requiresGrad: true });
  const optimiser = new optim.SGD([w]);
  const seen: WeakRef<object>[] = [];
  for (let i = 0; i < 6; i++) {
    w.grad = torch.full([1000], i);
    seen.push(new WeakRef(w.grad.buffer));
    optimiser.step();
    optimiser.zeroGrad();
  }
  // what a WeakRef was made of lives until the event loop has turned
  for (let i = 0; i < 20 && seen.some((ref) => ref.deref() !== undefined); i++) {
    await new Promise((done) => setTimeout(done, 5));
    gc();
  }
  expect(seen.filter((ref) => ref.deref() !== undefined)).toEqual([]);
  optimiser.step();
});
