// %% [markdown]
// # PyTorch and neural networks, in TypeScript
//
// The notes of a study group's third week, cell by cell: gradients, MNIST, a classifier, and how to make it better.
// It runs in a notebook with the kernel of Deno or of tslab, and as a program: `npm run example 05-notebook`.

// %%
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as torch from "cresset";
import { nn, optim } from "cresset";
import { DataFrame, Dataset, readCsv } from "cresset/data";
import * as plot from "cresset/plot";
import { MNIST, SyntheticDigits } from "cresset/vision";

torch.manualSeed(0);
const pictures = process.env.CRESSET_PICTURES ?? mkdtempSync(join(tmpdir(), "cresset-notebook-"));
let pictureCount = 0;
/** Shows a figure here, and keeps it as a file. */
async function show(figure: plot.Figure): Promise<void> {
  pictureCount += 1;
  await figure.save(join(pictures, `${String(pictureCount).padStart(2, "0")}.svg`));
  await figure.show();
}
console.log("cresset runs on", torch.cpuEngineName());

// %% [markdown]
// ## 기울기 계산: gradients
//
// A tensor remembers how it was computed, so that its gradient can be.

// %%
const p = torch.tensor(3.5, { requiresGrad: true });
const q = p.sub(1).mul(p.sub(2)).mul(p.sub(3));
q.backward();
console.log(p.grad!.item()); // 3p² − 12p + 11 = 5.75

// %% [markdown]
// x → y → z

// %%
const x = torch.tensor(3.5, { requiresGrad: true });
const y = x.mul(x);
const z = y.mul(2).add(3);
await show(plot.graph(z, { names: { x }, title: "x → y → z 계산 그래프" }));
z.backward();
console.log(x.grad!.item()); // 4x = 14

// %% [markdown]
// a, b → x, y → z

// %%
const a = torch.tensor(2.0, { requiresGrad: true });
const b = torch.tensor(1.0, { requiresGrad: true });
const x2 = a.mul(2).add(b.mul(3));
const y2 = a.mul(a).mul(5).add(b.mul(b).mul(b).mul(3));
const z2 = x2.mul(2).add(y2.mul(3));
await show(plot.graph(z2, { names: { a, b }, title: "a, b → x, y → z 계산 그래프" }));
z2.backward();
console.log(a.grad!.item()); // 64

// %% [markdown]
// ## 데이터 살펴보기: the data
//
// A line of the CSV files is a label and 784 pixels. Where MNIST is not at hand, digits are drawn instead.

// %%
function writeCsv(train: boolean): string {
  const found = MNIST.find({ train }) !== undefined;
  const images = found ? new MNIST({ train }) : new SyntheticDigits({ train, length: train ? 4000 : 1000 });
  const lines = Array.from({ length: images.length }, (_, i) => [images.labelOf(i), ...images.pixelsOf(i)].join(","));
  const file = join(pictures, train ? "mnist_train.csv" : "mnist_test.csv");
  mkdirSync(pictures, { recursive: true });
  writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
}
const trainFile = writeCsv(true);
const testFile = writeCsv(false);

// %%
const df = await readCsv(trainFile, { header: null });
console.log(df.shape);
await plot.display(df.head());

// %%
const row = 0;
const data = df.iloc(row);
const label = data.get(0);
const img = data.slice(1).values.reshape(28, 28);
await show(plot.imshow(img, { title: `label = ${label}`, interpolation: "none", cmap: "Blues" }));

// %% [markdown]
// ## 간단한 신경망: a simple network

// %%
class Classifier extends nn.Module {
  model: nn.Sequential;
  lossFunction: { forward(outputs: torch.Tensor, targets: torch.Tensor): torch.Tensor };
  optimiser: optim.SGD | optim.Adam;
  counter = 0;
  progress: number[] = [];

  constructor(
    model: nn.Sequential = new nn.Sequential(
      new nn.Linear(784, 200),
      new nn.Sigmoid(),
      new nn.Linear(200, 10),
      new nn.Sigmoid(),
    ),
    lossFunction: Classifier["lossFunction"] = new nn.MSELoss(),
    optimiser: (parameters: Iterable<nn.Parameter>) => optim.SGD | optim.Adam = (parameters) =>
      new optim.SGD(parameters, { lr: 0.01 }),
  ) {
    super();
    this.model = model;
    this.lossFunction = lossFunction;
    this.optimiser = optimiser(this.parameters());
  }

  forward(inputs: torch.Tensor): torch.Tensor {
    return this.model.forward(inputs);
  }

  learn(inputs: torch.Tensor, targets: torch.Tensor): void {
    const outputs = this.forward(inputs);
    const loss = this.lossFunction.forward(outputs, targets);
    this.optimiser.zeroGrad();
    loss.backward();
    this.optimiser.step();
    this.counter += 1;
    if (this.counter % 10 === 0) this.progress.push(loss.item());
    if (this.counter % 10000 === 0) console.log("counter =", this.counter);
  }

  plotProgress(title: string): plot.Figure {
    return plot.plotProgress(this.progress, { every: 10, title });
  }
}

// %% [markdown]
// ## MNIST 데이터셋 클래스: the data set

// %%
class MnistDataset extends Dataset<[number, torch.Tensor, torch.Tensor]> {
  readonly table: DataFrame;

  constructor(table: DataFrame) {
    super();
    this.table = table;
  }

  get length(): number {
    return this.table.length;
  }

  get(index: number): [number, torch.Tensor, torch.Tensor] {
    const digit = this.table.iloc(index, 0) as number;
    const target = torch.zeros([10]);
    target.set([digit], 1.0);
    const imageValues = this.table.iloc(index, { start: 1 }).values.float().div(255);
    return [digit, imageValues, target];
  }

  plotImage(index: number): plot.Figure {
    const image = this.table.iloc(index, { start: 1 }).values.reshape(28, 28);
    return plot.imshow(image, { title: `label = ${this.table.iloc(index, 0)}`, interpolation: "none", cmap: "Blues" });
  }
}

const mnistDataset = new MnistDataset(df);
await show(mnistDataset.plotImage(9));

// %% [markdown]
// ## 분류기 훈련시키기: training

// %%
const epochs = Number(process.env.EPOCHS ?? 3);
function train(classifier: Classifier): void {
  const start = performance.now();
  for (let epoch = 1; epoch <= epochs; epoch++) {
    console.log("training epoch =", epoch, "of", epochs);
    for (const [, imageValues, target] of mnistDataset) classifier.learn(imageValues, target);
  }
  console.log(`${((performance.now() - start) / 1000).toFixed(1)} s`);
}

const C = new Classifier();
train(C);

// %%
await show(C.plotProgress("손실: MSE, Sigmoid, SGD"));

// %% [markdown]
// ## 신경망에 쿼리하기: asking the network

// %%
const mnistTestDataset = new MnistDataset(await readCsv(testFile, { header: null }));
const record = 42;
await show(mnistTestDataset.plotImage(record));

// %%
const output = C.forward(mnistTestDataset.get(record)[1]);
await show(new DataFrame(output).plot({ kind: "bar", legend: false, ylim: [0, 1], title: "신경망의 대답" }));

// %%
function scoreOf(classifier: Classifier): number {
  let score = 0;
  let items = 0;
  for (const [digit, imageValues] of mnistTestDataset) {
    const answer = classifier.forward(imageValues).detach();
    if (answer.argmax().item() === digit) score += 1;
    items += 1;
  }
  console.log(score, items, score / items);
  return score / items;
}

const scores: Record<string, number> = { SGD: scoreOf(C) };

// %% [markdown]
// ## 성능 향상 기법: making it better
//
// 손실 함수: binary cross-entropy punishes what is surely wrong.

// %%
const sigmoids = (): nn.Sequential =>
  new nn.Sequential(new nn.Linear(784, 200), new nn.Sigmoid(), new nn.Linear(200, 10), new nn.Sigmoid());
const withBCE = new Classifier(sigmoids(), new nn.BCELoss());
train(withBCE);
scores["BCE"] = scoreOf(withBCE);
await show(withBCE.plotProgress("손실 함수: BCE"));

// %% [markdown]
// 활성화 함수: LeakyReLU keeps a gradient where the logistic function has none.

// %%
const withLeaky = new Classifier(
  new nn.Sequential(new nn.Linear(784, 200), new nn.LeakyReLU(0.02), new nn.Linear(200, 10), new nn.LeakyReLU(0.02)),
);
train(withLeaky);
scores["LeakyReLU"] = scoreOf(withLeaky);
await show(withLeaky.plotProgress("활성화 함수: LeakyReLU"));

// %% [markdown]
// 옵티마이저: Adam has momentum, and a rate for each parameter.

// %%
const withAdam = new Classifier(sigmoids(), new nn.MSELoss(), (parameters) => new optim.Adam(parameters));
train(withAdam);
scores["Adam"] = scoreOf(withAdam);
await show(withAdam.plotProgress("옵티마이저: Adam"));

// %% [markdown]
// 정규화: layer normalisation keeps the signals in a good range.

// %%
const withNorm = new Classifier(
  new nn.Sequential(
    new nn.Linear(784, 200),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(200),
    new nn.Linear(200, 10),
    new nn.LeakyReLU(0.02),
  ),
);
train(withNorm);
scores["LayerNorm"] = scoreOf(withNorm);
await show(withNorm.plotProgress("정규화: LayerNorm"));

// %% [markdown]
// 위의 모든 방법을 종합: all of them together.

// %%
const refined = new Classifier(
  new nn.Sequential(
    new nn.Linear(784, 200),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(200),
    new nn.Linear(200, 10),
    new nn.Sigmoid(),
  ),
  new nn.BCELoss(),
  (parameters) => new optim.Adam(parameters),
);
train(refined);
scores["all"] = scoreOf(refined);
await show(refined.plotProgress("모두 함께: LeakyReLU, LayerNorm, BCE, Adam"));

// %%
await show(
  plot.bar(Object.values(scores), { labels: Object.keys(scores), ylim: [0, 1], ylabel: "정확도", title: "성능 비교" }),
);

// %%
const answers = Array.from(mnistTestDataset, ([, imageValues]) => refined.forward(imageValues).argmax().item());
const truths = mnistTestDataset.table.column("0");
await show(plot.confusionMatrix(truths, answers, { title: "혼동 행렬" }));

// %% [markdown]
// ## CUDA: devices
//
// The same program runs with and without a GPU.

// %%
if (torch.cuda.isAvailable()) {
  torch.setDefaultDevice("cuda");
  console.log("using cuda:", torch.cuda.getDeviceName(0));
}
const device = torch.device(torch.cuda.isAvailable() ? "cuda" : "cpu");
const onDevice = torch.tensor([3.5], { device });
console.log(String(device), String(onDevice.device), onDevice.mul(onDevice).tolist());
