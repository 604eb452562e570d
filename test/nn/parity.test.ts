/** The seed's two programs, 100 steps from the same weights on the same images: the parameters are PyTorch's. */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { nn, optim, type Tensor } from "../../src/index.js";
import { decode, type Encoded, engines, load, onEngine, values } from "../ops/cases.js";
import { drawn } from "../ops/numbers.js";

interface Summary {
  stride: number;
  sample: Encoded[];
  sum: number;
  sumAbs: number;
  max: number;
}
type Fixture = Record<"02" | "03", { losses: number[]; parameters: Record<string, Summary> }>;
const fixture = load<Fixture>("parity");

/** Values of a formula as a float32 tensor. */
function formula(shape: readonly number[], seed: number, low: number, high: number): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  return torch.fromTypedArray(Float32Array.from(drawn(n, "float32", [seed, low, high])), shape);
}

function fill(model: nn.Module): void {
  for (const [i, [name, parameter]] of model.namedParameters().entries()) {
    const bound = 1 / Math.sqrt(parameter.size(-1));
    const [low, high] = name === "2.weight" ? [0.5, 1.5] : [-bound, bound];
    torch.noGrad(() => parameter.copy_(formula(parameter.shape, 9000 + i, low, high)));
  }
}

const programs = {
  "02": () => ({
    model: new nn.Sequential(new nn.Linear(784, 200), new nn.Sigmoid(), new nn.Linear(200, 10), new nn.Sigmoid()),
    lossFunction: new nn.MSELoss(),
    make: (p: nn.Parameter[]) => new optim.SGD(p, { lr: 0.01 }),
    batch: [] as number[],
  }),
  "03": () => ({
    model: new nn.Sequential(
      new nn.Linear(784, 200),
      new nn.LeakyReLU(0.02),
      new nn.LayerNorm(200),
      new nn.Linear(200, 10),
      new nn.Sigmoid(),
    ),
    lossFunction: new nn.BCELoss(),
    make: (p: nn.Parameter[]) => new optim.Adam(p),
    batch: [1],
  }),
};

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));
  it.each(["02", "03"] as const)("program %s", (name) => {
    const { model, lossFunction, make, batch } = programs[name]();
    const { losses, parameters } = fixture[name];
    fill(model);
    const optimiser = make(model.parameters());
    for (let step = 0; step < 100; step++) {
      const x = formula([...batch, 784], 5000 + step, -0.6, 1).clamp({ min: 0 });
      const label = torch.tensor((7 * step + 3) % 10, { dtype: "int32" });
      const y = nn.functional
        .oneHot(label, 10)
        .float()
        .reshape([...batch, 10]);
      const loss = lossFunction.forward(model.forward(x), y);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
      expect(Math.abs(loss.item() / losses[step]! - 1), `loss of step ${step}`).toBeLessThan(1e-4);
    }
    for (const [key, p] of model.namedParameters()) {
      const { stride, sample, sumAbs, max } = parameters[key]!;
      const got = values(p);
      for (const [i, expected] of decode(sample).entries()) {
        const error = Math.abs(got[i * stride]! - expected);
        // Relative to the entry; an entry that passes through zero is measured by the largest.
        expect(error, `${key}[${i * stride}]`).toBeLessThanOrEqual(1e-4 * Math.max(Math.abs(expected), 0.01 * max));
      }
      expect(Math.abs(got.reduce((s, v) => s + Math.abs(v), 0) / sumAbs - 1), `Σ|${key}|`).toBeLessThan(1e-5);
    }
  });
});
