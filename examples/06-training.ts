// A training with all that stands around it: transforms, metrics, a bar, early stopping, checkpoints, TensorBoard.
// Ctrl-C stops it after the step; run it again and it goes on there.
import { existsSync } from "node:fs";
import * as torch from "cresset";
import { nn, optim } from "cresset";
import { DataLoader } from "cresset/data";
import {
  Accuracy,
  Checkpoint,
  EarlyStopping,
  ShowProgress,
  SummaryWriter,
  summary,
  TensorBoardLogger,
  Trainer,
} from "cresset/training";
import { SyntheticDigits, TransformedDataset, transforms } from "cresset/vision";

torch.manualSeed(0);
const augment = new transforms.Compose([
  new transforms.RandomAffine(10, { translate: [0.1, 0.1] }),
  new transforms.ToTensor(),
]);
const digits = new SyntheticDigits({ length: 4000 });
const train = new TransformedDataset(digits, { transform: augment });
const test = new TransformedDataset(new SyntheticDigits({ train: false, length: 1000 }), {
  transform: new transforms.ToTensor(),
});

const model = new nn.Sequential(
  new nn.Conv2d(1, 16, 3, { padding: 1 }),
  new nn.ReLU(),
  new nn.MaxPool2d(4),
  new nn.Flatten(),
  new nn.Linear(16 * 7 * 7, 10),
);
console.log(String(summary(model, [64, 1, 28, 28])));

const accuracy = new Accuracy({ numClasses: 10 });
const lossFunction = new nn.CrossEntropyLoss();
const checkpoint = new Checkpoint("runs/example", { monitor: "valLoss" });
const trainer = new Trainer<[torch.Tensor, torch.Tensor]>({
  model,
  optimiser: new optim.Adam(model.parameters(), { lr: 0.003 }),
  step([images, labels]) {
    const logits = model.forward(images);
    return { loss: lossFunction.forward(logits, labels), accuracy: accuracy.of(logits, labels) };
  },
  callbacks: [
    new ShowProgress({ print: console.log }),
    new EarlyStopping({ monitor: "valLoss", patience: 2 }),
    new TensorBoardLogger(await SummaryWriter.create("runs/example")),
    checkpoint,
  ],
});
const history = await trainer.fit(new DataLoader(train, { batchSize: 64, shuffle: true }), {
  epochs: 3,
  validation: new DataLoader(test, { batchSize: 250 }),
  resume: existsSync(checkpoint.path) ? checkpoint.path : undefined,
});
console.log(trainer.interrupted ? "stopped; run it again to go on" : history.at(-1));
