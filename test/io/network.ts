/** The network of test/fixtures/files.py, with names in camelCase, and how it is trained there. */
import { nn, noGrad, optim, type Tensor, tensor } from "cresset";

export class Network extends nn.Module {
  convIn = new nn.Conv2d(1, 4, 3, { padding: 1 });
  batchNorm = new nn.BatchNorm2d(4);
  groupNorm = new nn.GroupNorm(2, 4);
  layers = new nn.ModuleList([new nn.Linear(4 * 4 * 4, 8), new nn.Linear(8, 3)]);
  layerNorm = new nn.LayerNorm(8);

  forward(input: Tensor): Tensor {
    const features = this.groupNorm.forward(this.batchNorm.forward(this.convIn.forward(input)).relu()).flatten(1);
    const [hidden, out] = [...this.layers] as nn.Linear[];
    return out!.forward(this.layerNorm.forward(hidden!.forward(features).tanh()));
  }
}

/** Numbers that both sides can make: sines of multiples. */
export const wave = (shape: readonly number[], scale: number): Tensor =>
  tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * scale))).reshape(shape);

export function makeOptimizer(name: string, model: nn.Module): optim.Adam | optim.SGD {
  return name === "adam"
    ? new optim.Adam(model.parameters(), { lr: 0.01, weightDecay: 0.01, amsgrad: true })
    : new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9, nesterov: true });
}

/** The losses of some steps. */
export function train(model: Network, optimizer: optim.Adam | optim.SGD, steps: number): number[] {
  const [x, y] = [wave([6, 1, 4, 4], 0.7), wave([6, 3], 1.3)];
  return Array.from({ length: steps }, () => {
    const loss = nn.functional.mseLoss(model.forward(x), y);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss.item();
  });
}

export function predict(model: Network): Tensor {
  model.eval();
  const out = noGrad(() => model.forward(wave([2, 1, 4, 4], 0.3)));
  model.train();
  return out;
}
