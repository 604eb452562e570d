/**
 * The seed's two classifiers, as the command trains them and as `predict` brings them back from a file.
 * Source: the seed's programs 02 and 03.
 */
import { nn, noGrad, optim, type Tensor } from "../index.js";
import type { Trainable } from "../training/index.js";

export type ModelName = "seed" | "refined";

export interface Recipe {
  readonly title: string;
  readonly defaults: { readonly epochs: number; readonly batch: number; readonly lr: number };
  readonly optimiserName: string;
  build(): nn.Sequential;
  loss(): { forward(outputs: Tensor, targets: Tensor): Tensor };
  optimiser(model: nn.Sequential, lr: number): Trainable;
}

export const recipes: Readonly<Record<ModelName, Recipe>> = {
  seed: {
    title: "784 → 200 Sigmoid → 10 Sigmoid, mean squared error",
    defaults: { epochs: 3, batch: 1, lr: 0.01 },
    optimiserName: "SGD",
    build: () => new nn.Sequential(new nn.Linear(784, 200), new nn.Sigmoid(), new nn.Linear(200, 10), new nn.Sigmoid()),
    loss: () => new nn.MSELoss(),
    optimiser: (model, lr) => new optim.SGD(model.parameters(), { lr }),
  },
  refined: {
    title: "784 → 200 LeakyReLU(0.02), LayerNorm → 10 Sigmoid, binary cross-entropy",
    defaults: { epochs: 5, batch: 32, lr: 0.001 },
    optimiserName: "Adam",
    build: () =>
      new nn.Sequential(
        new nn.Linear(784, 200),
        new nn.LeakyReLU(0.02),
        new nn.LayerNorm(200),
        new nn.Linear(200, 10),
        new nn.Sigmoid(),
      ),
    loss: () => new nn.BCELoss(),
    optimiser: (model, lr) => new optim.Adam(model.parameters(), { lr }),
  },
};

/** Images uint8 (B, 28, 28) as the models take them: float32 (B, 784), 0 to 1. */
export const inputsOf = (images: Tensor): Tensor => images.reshape([-1, 784]).float().div(255);

/** The ten outputs of each image, (B, 10) row after row. No gradient is kept. */
export function answers(model: nn.Sequential, images: Tensor): Float32Array {
  return noGrad(() => model.forward(inputsOf(images)).toTypedArray()) as Float32Array;
}

/** The place of the largest of ten outputs, from `start` on. */
export function largest(outputs: Float32Array, start = 0): number {
  let best = 0;
  for (let i = 1; i < 10; i++) if ((outputs[start + i] as number) > (outputs[start + best] as number)) best = i;
  return best;
}
