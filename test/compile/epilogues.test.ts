/** Maps over matrix products in compiled functions: which of them become part of the product, and that all give the eager digits. */
import { afterAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, optim, type Tensor } from "../../src/index.js";

const F = nn.functional;

interface Case {
  readonly name: string;
  readonly run: (x: Tensor, w: Tensor, b: Tensor, r: Tensor) => Tensor[];
  /** The launches of a replay. */
  readonly kernels: readonly string[];
}

/** x (37, 45), w (45, 70), b (70), r (37, 70). */
const cases: readonly Case[] = [
  { name: "a scale", run: (x, w) => [x.matmul(w).mul(0.3)], kernels: ["matmul+mul"] },
  { name: "a bias and ReLU", run: (x, w, b) => [F.linear(x, w.t(), b).relu()], kernels: ["matmul+relu"] },
  {
    name: "what would contract",
    run: (x, w, b, r) => [x.matmul(w).mul(b).add(r)],
    kernels: ["matmul+mul+add"],
  },
  {
    name: "a residual, scaled",
    run: (x, w, _, r) => [r.add(x.matmul(w), { alpha: 0.7 })],
    kernels: ["matmul+add"],
  },
  {
    name: "sums that are results too",
    run: (x, w, b) => {
      const sums = F.linear(x, w.t(), b);
      return [sums, F.gelu(sums)];
    },
    kernels: ["matmul+gelu"],
  },
  {
    name: "two maps, one of which reads the other's result",
    run: (x, w) => {
      const sums = x.matmul(w);
      const squashed = sums.sigmoid();
      return [squashed, squashed.mul(sums)];
    },
    kernels: ["matmul+sigmoid", "mul"],
  },
  {
    name: "a number for each row",
    run: (x, w, _, r) => [x.matmul(w).div(r.sum(1, { keepdim: true }))],
    kernels: ["sum", "matmul+div"],
  },
  {
    name: "one matrix for all of a batch",
    run: (x, w, _, r) => [torch.stack([x, x]).matmul(w).add(r)],
    kernels: ["copy", "copy", "matmul", "add"],
  },
  {
    name: "a batch of matrices",
    run: (x, w, b, r) => [
      torch
        .stack([x, x])
        .bmm(torch.stack([w, w]))
        .add(r)
        .mul(b),
    ],
    kernels: ["copy", "copy", "copy", "copy", "matmul+add+mul"],
  },
  { name: "a transposed result", run: (x, w) => [x.matmul(w).t().contiguous().exp()], kernels: ["matmul", "copy+exp"] },
  {
    name: "a transposed operand",
    run: (x, w, _, r) => [x.matmul(w).mul(r.t().contiguous().t())],
    kernels: ["matmul+copy+mul"],
  },
  { name: "a part of the result", run: (x, w) => [x.matmul(w).narrow(1, 3, 20).exp()], kernels: ["matmul", "exp"] },
  {
    name: "the sums twice, once turned",
    run: (x) => [x.matmul(x.t()).add(x.matmul(x.t()).t())],
    kernels: ["matmul", "matmul", "add"],
  },
  {
    name: "few columns, which are computed as rows",
    run: (x, w, b, r) => [
      F.linear(x, w.t().narrow(0, 0, 5), b.narrow(0, 0, 5))
        .tanh()
        .mul(r.narrow(1, 2, 5)),
    ],
    kernels: ["matmul+tanh+mul"],
  },
  {
    name: "in place",
    run: (x, w, _, r) => {
      const own = r.clone();
      own.add_(x.matmul(w));
      own.mul_(2);
      return [own];
    },
    kernels: ["copy", "matmul+add", "mul"],
  },
  {
    name: "an operand that changes before the map reads it",
    run: (x, w, b) => {
      const sums = x.matmul(w);
      const own = b.clone();
      own.add_(sums.mean(0));
      return [sums.mul(own), own];
    },
    kernels: ["matmul", "copy", "mean", "add", "mul"],
  },
  {
    name: "float64",
    run: (x, w, b) => [F.linear(x.double(), w.t().double(), b.double()).sigmoid()],
    kernels: ["copy", "copy", "copy", "matmul+sigmoid"],
  },
  {
    name: "another dtype",
    run: (x, w) => [x.matmul(w).round().to("int32"), x.matmul(w).gt(0)],
    kernels: ["matmul", "matmul", "round+copy", "gt"],
  },
];

describe.each(["native", "wasm"] as const)("epilogues of products on %s", (engine) => {
  afterAll(() => torch.setCpuEngine("native"));

  for (const { name, run, kernels } of cases) {
    it(name, () => {
      torch.setCpuEngine(engine);
      torch.manualSeed(3);
      const make = (): [Tensor, Tensor, Tensor, Tensor] => [
        torch.randn([37, 45]),
        torch.randn([45, 70]),
        torch.randn([70]),
        torch.randn([37, 70]),
      ];
      const compiled = torch.compile(run);
      for (let i = 0; i < 3; i++) {
        const given = make();
        const want = run(...given).map((t) => t.tolist());
        expect(compiled(...given).map((t) => t.tolist())).toEqual(want);
      }
      const given = make();
      const profile = torch.profiler.profile(() => compiled(...given));
      const seen = [...profile.keyAverages()].flatMap((row) => new Array<string>(row.count).fill(row.key));
      expect(seen.sort()).toEqual([...kernels].sort());
    });
  }

  it("numbers that change from run to run reach the epilogue", () => {
    torch.setCpuEngine(engine);
    const train = (compiled: boolean): unknown[] => {
      torch.manualSeed(5);
      const model = new nn.Sequential(new nn.Linear(30, 40), new nn.GELU(), new nn.Linear(40, 8));
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
      for (let i = 0; i < 6; i++) {
        for (const group of optimiser.paramGroups) group.lr *= 0.7;
        losses.push(step(torch.randn([20, 30]), torch.randn([20, 8])).item());
      }
      if (compiled) {
        const profile = torch.profiler.profile(() => step(torch.randn([20, 30]), torch.randn([20, 8])));
        const keys = [...profile.keyAverages()].map((row) => row.key);
        for (const key of ["matmul+gelu", "matmul+geluBackward", "matmul+sgd"]) expect(keys).toContain(key);
        return losses;
      }
      return losses;
    };
    expect(train(true)).toEqual(train(false));
  });
});
