// A training as a user writes it, in a process of its own: it prints the loss of every step, and goes on from a checkpoint
// where there is one. Dropout and shuffling draw from the default generator, the noise in the data from its own.
import { existsSync } from "node:fs";
import * as torch from "cresset";
import { DataLoader, Dataset } from "cresset/data";
import { Checkpoint, EarlyStopping, Trainer } from "cresset/training";

const { nn, optim } = torch;
const [folder, epochs] = process.argv.slice(2);
torch.manualSeed(5);
const noise = new torch.Generator().manualSeed(6);
class Noisy extends Dataset {
  length = 64;
  get(index) {
    const x = torch.rand([4], { generator: noise });
    return [
      x,
      x
        .sum()
        .mul(index / 64)
        .reshape(1),
    ];
  }
}
const model = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Dropout(0.3), new nn.Linear(8, 1));
const optimiser = new optim.Adam(model.parameters(), { lr: 0.01 });
const checkpoint = new Checkpoint(folder);
const trainer = new Trainer({
  model,
  optimiser,
  step: ([x, y]) => nn.functional.mseLoss(model.forward(x), y),
  schedules: [
    new optim.lrScheduler.StepLR(optimiser, { stepSize: 2, gamma: 0.9 }),
    { schedule: new optim.lrScheduler.ExponentialLR(optimiser, { gamma: 0.999 }), every: "step" },
  ],
  generators: { noise },
  callbacks: [
    checkpoint,
    new EarlyStopping({ monitor: "loss", patience: 1000 }),
    { onStepEnd: ({ steps }, { loss }) => void process.stdout.write(`${steps} ${loss}\n`) },
    { onStepEnd: () => new Promise((resolve) => setTimeout(resolve, Number(process.env.PAUSE ?? 0))) },
  ],
});
const resume = existsSync(checkpoint.path) ? checkpoint.path : undefined;
await trainer.fit(new DataLoader(new Noisy(), { batchSize: 8, shuffle: true }), { epochs: Number(epochs), resume });
process.stdout.write(trainer.interrupted ? "interrupted\n" : `${JSON.stringify(trainer.history)}\n`);
