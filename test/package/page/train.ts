// A page's own program: trains a small classifier of the built-in digits and leaves a report.
import * as torch from "cresset";
import { nn, optim } from "cresset";
import { DataLoader } from "cresset/data";
import { SyntheticDigits } from "cresset/vision";

export interface Report {
  readonly engine: string;
  readonly losses: readonly number[];
  readonly accuracy: number;
  readonly milliseconds: number;
}

function train(): Report {
  const start = performance.now();
  torch.manualSeed(0);
  const model = new nn.Sequential(new nn.Linear(784, 64), new nn.ReLU(), new nn.Linear(64, 10));
  const lossFunction = new nn.CrossEntropyLoss();
  const optimiser = new optim.Adam(model.parameters(), { lr: 0.003 });
  const inputsOf = (images: torch.Tensor) => images.reshape([-1, 784]).float().div(255);

  const losses: number[] = [];
  const digits = new SyntheticDigits({ train: true, length: 2000 });
  for (let epoch = 0; epoch < 3; epoch++) {
    for (const [images, labels] of new DataLoader(digits, { batchSize: 50, shuffle: true })) {
      const loss = lossFunction.forward(model.forward(inputsOf(images)), labels);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
      losses.push(loss.item());
    }
  }

  const test = new SyntheticDigits({ train: false, length: 500 });
  const right = torch.noGrad(() => {
    const [images, labels] = test.getBatch(Array.from({ length: test.length }, (_, i) => i));
    return model.forward(inputsOf(images)).argmax(1).eq(labels).sum().item();
  });
  const milliseconds = performance.now() - start;
  return { engine: torch.cpuEngineName(), losses, accuracy: right / test.length, milliseconds };
}

Object.assign(globalThis, { report: train() });
