/** cresset, as a user writes it. CRESSET_CPU, set by the runner, chooses the engine. */
import * as torch from "../../dist/index.js";
import { nn, optim } from "../../dist/index.js";
import manifest from "../../package.json" with { type: "json" };
import { batches, contend, operands, pick, training, weights } from "../lib.mjs";

const networks = {
  seed: () => [
    new nn.Sequential(new nn.Linear(784, 200), new nn.Sigmoid(), new nn.Linear(200, 10), new nn.Sigmoid()),
    new nn.MSELoss(),
    (parameters) => new optim.SGD(parameters, { lr: 0.01 }),
  ],
  refined: () => [
    new nn.Sequential(
      new nn.Linear(784, 200),
      new nn.LeakyReLU(0.02),
      new nn.LayerNorm(200),
      new nn.Linear(200, 10),
      new nn.Sigmoid(),
    ),
    new nn.BCELoss(),
    (parameters) => new optim.Adam(parameters),
  ],
};

function step({ kind, size }) {
  const [model, lossFunction, makeOptimiser] = networks[kind]();
  const { w1, b1, w2, b2 } = weights();
  const layers = [...model.modules()].filter((module) => module instanceof nn.Linear);
  const set = (parameter, numbers) => parameter.copy_(torch.fromTypedArray(numbers, parameter.shape));
  torch.noGrad(() => {
    set(layers[0].weight, w1);
    set(layers[0].bias, b1);
    set(layers[1].weight, w2);
    set(layers[1].bias, b2);
  });
  const optimiser = makeOptimiser(model.parameters());
  const data = batches(size);
  const flat = kind === "seed" && size === 1; // the seed learns from one image without a batch dimension
  const inputs = data.inputs.map((x) => torch.fromTypedArray(x, flat ? [784] : [size, 784]));
  const targets = data.targets.map((t) => torch.fromTypedArray(t, flat ? [10] : [size, 10]));
  let loss;
  return training(
    (i) => {
      loss = lossFunction.forward(model.forward(inputs[i % 8]), targets[i % 7]);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
    },
    () => loss.item(),
  );
}

function operation(workload) {
  const { kind, size } = workload;
  const [a, b] = operands(workload).map((x) => torch.fromTypedArray(x, kind === "matmul" ? [size, size] : [size]));
  const run = { matmul: () => a.matmul(b), add: () => a.add(b), exp: () => a.exp(), sum: () => a.sum() }[kind];
  return { run, finish: () => {}, check: () => (kind === "sum" ? run().item() : pick(run().toTypedArray())) };
}

await contend({
  version: `${manifest.version} (${torch.cpuEngineName()})`,
  setThreads: torch.setNumThreads,
  prepare: (workload) => (workload.kind in networks ? step : operation)(workload),
});
