/**
 * cresset, as a user writes it. CRESSET_CPU, set by the runner, chooses the engine; BENCH_COMPILE=1 puts the step through
 * `torch.compile`.
 */
import * as torch from "../../dist/index.js";
import { nn, optim } from "../../dist/index.js";
import manifest from "../../package.json" with { type: "json" };
import {
  batches,
  classes,
  contend,
  NotMeasured,
  operands,
  pick,
  training,
  uniform,
  weightOfLayer,
  weights,
} from "../lib.mjs";

const compiled = process.env.BENCH_COMPILE === "1";
if (compiled && typeof torch.compile !== "function") throw new Error("this cresset has no torch.compile");

const tensor = ({ numbers, shape }) => torch.fromTypedArray(numbers, shape);
const random = (shape, seed, low = 0, high = 1) =>
  torch.fromTypedArray(
    uniform(
      shape.reduce((a, b) => a * b, 1),
      seed,
      low,
      high,
    ),
    shape,
  );
const set = (parameter, numbers) => torch.noGrad(() => parameter.copy_(torch.fromTypedArray(numbers, parameter.shape)));

function need(has, what) {
  if (!has) throw new NotMeasured(`this cresset has no ${what}`);
}

/** Weights of all layers of some modules, by number. */
function fill(...models) {
  const layer = (module) => module instanceof nn.Linear || (nn.Conv2d !== undefined && module instanceof nn.Conv2d);
  const layers = models.flatMap((model) => [...model.modules()].filter(layer));
  for (const [i, { weight, bias }] of layers.entries()) {
    set(weight, weightOfLayer(i, weight.numel(), weight.shape[0]));
    torch.noGrad(() => bias.zero_());
  }
}

/** One step with inputs[i % 8] and targets[i % 7]. */
function supervised(model, lossFunction, optimiser, inputs, targets) {
  const eager = (x, t) => {
    const loss = lossFunction.forward(model.forward(x), t);
    optimiser.zeroGrad();
    loss.backward();
    optimiser.step();
    return loss;
  };
  const train = compiled ? torch.compile(eager) : eager;
  let loss;
  return training(
    (i) => {
      loss = train(inputs[i % 8], targets[i % 7]);
    },
    () => loss.item(),
  );
}

const classifiers = {
  seed: (width) => [
    new nn.Sequential(new nn.Linear(784, width), new nn.Sigmoid(), new nn.Linear(width, 10), new nn.Sigmoid()),
    new nn.MSELoss(),
    (parameters) => new optim.SGD(parameters, { lr: 0.01 }),
  ],
  refined: (width) => [
    new nn.Sequential(
      new nn.Linear(784, width),
      new nn.LeakyReLU(0.02),
      new nn.LayerNorm(width),
      new nn.Linear(width, 10),
      new nn.Sigmoid(),
    ),
    new nn.BCELoss(),
    (parameters) => new optim.Adam(parameters),
  ],
};

function classifier({ kind, size, width = 200 }) {
  const [model, lossFunction, makeOptimiser] = classifiers[kind](width);
  const { w1, b1, w2, b2 } = weights(width);
  const layers = [...model.modules()].filter((module) => module instanceof nn.Linear);
  set(layers[0].weight, w1);
  set(layers[0].bias, b1);
  set(layers[1].weight, w2);
  set(layers[1].bias, b2);
  const data = batches(size);
  const flat = kind === "seed" && size === 1; // the seed learns from one image without a batch dimension
  const inputs = data.inputs.map((x) => torch.fromTypedArray(x, flat ? [784] : [size, 784]));
  const targets = data.targets.map((t) => torch.fromTypedArray(t, flat ? [10] : [size, 10]));
  return supervised(model, lossFunction, makeOptimiser(model.parameters()), inputs, targets);
}

/** The seed's GAN: the discriminator learns from a real and a made batch, then the generator learns from it. */
function gan({ size }) {
  const discriminator = new nn.Sequential(
    new nn.Linear(784, 200),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(200),
    new nn.Linear(200, 1),
    new nn.Sigmoid(),
  );
  const generator = new nn.Sequential(
    new nn.Linear(100, 200),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(200),
    new nn.Linear(200, 784),
    new nn.Sigmoid(),
  );
  fill(discriminator, generator);
  const lossFunction = new nn.BCELoss();
  const ofDiscriminator = new optim.Adam(discriminator.parameters(), { lr: 1e-4 });
  const ofGenerator = new optim.Adam(generator.parameters(), { lr: 1e-4 });
  const lead = size === 1 ? [] : [size];
  const images = batches(size).inputs.map((x) => torch.fromTypedArray(x, [...lead, 784]));
  const seeds = Array.from({ length: 7 }, (_, i) => random([...lead, 100], 30 + i, -1, 1));
  const [real, made] = [torch.ones([...lead, 1]), torch.zeros([...lead, 1])];
  const learn = (optimiser, output, target) => {
    const loss = lossFunction.forward(output, target);
    optimiser.zeroGrad();
    loss.backward();
    optimiser.step();
    return loss;
  };
  let losses;
  return training(
    (i) => {
      const seed = seeds[i % 7];
      losses = [
        learn(ofDiscriminator, discriminator.forward(images[i % 8]), real),
        learn(ofDiscriminator, discriminator.forward(generator.forward(seed).detach()), made),
        learn(ofGenerator, discriminator.forward(generator.forward(seed)), real),
      ];
    },
    () => losses.reduce((sum, loss) => sum + loss.item(), 0),
  );
}

class Block extends nn.Module {
  constructor(width, heads) {
    super();
    this.heads = heads;
    this.norm1 = new nn.LayerNorm(width);
    this.qkv = new nn.Linear(width, 3 * width);
    this.out = new nn.Linear(width, width);
    this.norm2 = new nn.LayerNorm(width);
    this.up = new nn.Linear(width, 4 * width);
    this.down = new nn.Linear(4 * width, width);
  }
  forward(x) {
    x = x.add(this.attention(this.norm1.forward(x)));
    return x.add(this.down.forward(nn.functional.gelu(this.up.forward(this.norm2.forward(x)))));
  }
  attention(x) {
    const [batch, length, width] = x.shape;
    const head = width / this.heads;
    const parts = this.qkv.forward(x).reshape([batch, length, 3, this.heads, head]).permute(2, 0, 3, 1, 4);
    const [q, k, v] = [0, 1, 2].map((i) => parts.select(0, i));
    const scores = q.matmul(k.transpose(2, 3)).div(Math.sqrt(head));
    const mixed = nn.functional.softmax(scores, 3).matmul(v);
    return this.out.forward(mixed.transpose(1, 2).reshape([batch, length, width]));
  }
}

function block({ size }) {
  const model = new nn.Sequential(new Block(256, 4), new Block(256, 4));
  fill(model);
  const data = (count, seed) => Array.from({ length: count }, (_, i) => random([size, 64, 256], seed + i, -1, 1));
  return supervised(model, new nn.MSELoss(), new optim.Adam(model.parameters()), data(8, 50), data(7, 60));
}

function cnn({ size }) {
  need(nn.Conv2d && nn.MaxPool2d && nn.Flatten, "nn.Conv2d and nn.MaxPool2d");
  const model = new nn.Sequential(
    new nn.Conv2d(1, 16, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(16, 32, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(32 * 49, 10),
  );
  fill(model);
  const inputs = batches(size).inputs.map((x) => torch.fromTypedArray(x, [size, 1, 28, 28]));
  const targets = Array.from({ length: 7 }, (_, i) => torch.fromTypedArray(classes(size, i), [size]));
  return supervised(model, new nn.CrossEntropyLoss(), new optim.Adam(model.parameters()), inputs, targets);
}

/** Forward and backward of one operation: the gradients of `leaves` by way of `outgoing`. */
function withGradients(leaves, forward, outgoing, outcome) {
  for (const leaf of leaves) leaf.requiresGrad = true;
  const run = () => {
    for (const leaf of leaves) leaf.grad = null;
    forward().backward(outgoing);
  };
  const check = () => {
    run();
    return outcome();
  };
  return { run, finish: () => {}, check };
}

function conv({ size, channels: [from, to], image }) {
  need(nn.functional.conv2d, "nn.functional.conv2d");
  const x = random([size, from, image, image], 20, -0.5, 0.5);
  const weight = random([to, from, 3, 3], 21, -0.1, 0.1);
  const bias = random([to], 22, -0.1, 0.1);
  const outgoing = random([size, to, image, image], 23, -0.5, 0.5);
  const forward = () => nn.functional.conv2d(x, weight, bias, { stride: 1, padding: 1 });
  const outcome = () => pick(weight.grad.toTypedArray()) + pick(x.grad.toTypedArray());
  return withGradients([x, weight, bias], forward, outgoing, outcome);
}

function embedding({ size, table: [rows, columns] }) {
  const table = random([rows, columns], 20, -1, 1);
  const at = torch.fromTypedArray(
    Int32Array.from(uniform(size, 21), (u) => Math.floor(u * rows)),
    [size],
  );
  const outgoing = random([size, columns], 22, -1, 1);
  const forward = () => nn.functional.embedding(at, table);
  return withGradients([table], forward, outgoing, () => table.grad.square().sum().item());
}

function operation(workload) {
  const { kind, columns } = workload;
  const [a, b] = operands(workload).map(tensor);
  const run = {
    matmul: () => a.matmul(b),
    add: () => a.add(b),
    exp: () => a.exp(),
    sum: () => a.sum(),
    softmax: () => a.softmax(1),
    layernorm: () => nn.functional.layerNorm(a, [columns]),
    copy: () => a.transpose(0, 1).contiguous(),
  }[kind];
  return { run, finish: () => {}, check: () => (kind === "sum" ? run().item() : pick(run().toTypedArray())) };
}

const special = { seed: classifier, refined: classifier, gan, block, cnn, conv, embedding };

await contend({
  version: `${manifest.version} (${torch.cpuEngineName()})`,
  threads: torch.getNumThreads(),
  setThreads: torch.setNumThreads,
  prepare: (workload) => (special[workload.kind] ?? operation)(workload),
});
