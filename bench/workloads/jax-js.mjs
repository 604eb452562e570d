/**
 * jax-js on its WebAssembly device, in the style of its documentation: pure functions under `jit`, the whole step
 * (loss, gradients, update) in one. Every use of an array but the last takes a `.ref`; that is how it counts
 * references. Node has no global Worker, so jax-js runs on one thread there.
 */
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, valueAndGrad } from "@jax-js/jax";
import { batches, contend, operands, pick, training, versionOf, weights } from "../lib.mjs";

await init("wasm");
defaultDevice("wasm");

const array = (numbers, shape) => np.array(numbers).reshape(shape);

/** Applies f leaf by leaf over records of the same keys. */
const map = (f, first, ...rest) =>
  Object.fromEntries(Object.keys(first).map((key) => [key, f(first[key], ...rest.map((record) => record[key]))]));

const linear = (x, w, b) => np.matmul(x, w.transpose()).add(b);

const seedLoss = ({ w1, b1, w2, b2 }, x, t) =>
  np.square(nn.sigmoid(linear(nn.sigmoid(linear(x, w1, b1)), w2, b2)).sub(t)).mean();

const sgd = (parameters, gradients) => map((p, g) => p.sub(g.mul(0.01)), parameters, gradients);

function refinedLoss({ w1, b1, gain, bias, w2, b2 }, x, t) {
  const hidden = nn.standardize(nn.leakyRelu(linear(x, w1, b1), 0.02), -1, { epsilon: 1e-5 });
  const p = nn.sigmoid(linear(hidden.mul(gain).add(bias), w2, b2));
  const right = t.ref.mul(np.log(p.ref));
  const wrong = np.subtract(1, t).mul(np.log(np.subtract(1, p)));
  return right.add(wrong).mean().neg();
}

/** `power` holds β₁ᵗ and β₂ᵗ. */
function adam(parameters, gradients, { m, v, power }) {
  const b1 = power.b1.mul(0.9);
  const b2 = power.b2.mul(0.999);
  m = map((m, g) => m.mul(0.9).add(g.ref.mul(0.1)), m, gradients);
  v = map((v, g) => v.mul(0.999).add(np.square(g).mul(0.001)), v, gradients);
  const scale = np.divide(0.001, np.subtract(1, b1.ref));
  const correction = np.subtract(1, b2.ref);
  const update = (p, m, v) => p.sub(m.ref.mul(scale.ref).div(np.sqrt(v.ref.div(correction.ref)).add(1e-8)));
  const next = map(update, parameters, m, v);
  scale.dispose();
  correction.dispose();
  return [next, { m, v, power: { b1, b2 } }];
}

function step({ kind, size }) {
  const w = weights();
  let parameters = {
    w1: array(w.w1, [200, 784]),
    b1: array(w.b1, [200]),
    w2: array(w.w2, [10, 200]),
    b2: array(w.b2, [10]),
  };
  if (kind === "refined") parameters = { ...parameters, gain: np.ones([200]), bias: np.zeros([200]) };
  const zeros = () => map((p) => np.zeros(p.shape), parameters);
  let state = kind === "seed" ? {} : { m: zeros(), v: zeros(), power: { b1: np.array(1), b2: np.array(1) } };
  const lossAndGradients = valueAndGrad(kind === "seed" ? seedLoss : refinedLoss);
  const train = jit((parameters, state, x, t) => {
    const [loss, gradients] = lossAndGradients(
      map((p) => p.ref, parameters),
      x,
      t,
    );
    const [next, nextState] = kind === "seed" ? [sgd(parameters, gradients), {}] : adam(parameters, gradients, state);
    return [next, nextState, loss];
  });
  const data = batches(size);
  const inputs = data.inputs.map((x) => array(x, [size, 784]));
  const targets = data.targets.map((t) => array(t, [size, 10]));
  let loss = null;
  return training(
    (i) => {
      loss?.dispose();
      [parameters, state, loss] = train(parameters, state, inputs[i % 8].ref, targets[i % 7].ref);
    },
    async () => (await loss.ref.data())[0],
  );
}

function operation(workload) {
  const { kind, size } = workload;
  const [a, b] = operands(workload).map(({ numbers, shape }) => array(numbers, shape));
  const compiled = {
    matmul: jit((a, b) => np.matmul(a, b)),
    add: size === 10 ? np.add : jit((a, b) => a.add(b)), // add-10 measures one eager operation
    exp: jit((a) => np.exp(a)),
    sum: jit((a) => a.sum()),
    softmax: jit((a) => nn.softmax(a, 1)),
  }[kind];
  const call = () => (kind === "matmul" || kind === "add" ? compiled(a.ref, b.ref) : compiled(a.ref));
  // Lazy: a result that nobody waits for is never computed.
  const run = async () => (await blockUntilReady(call())).dispose();
  const check = async () => {
    const numbers = await call().data();
    return kind === "sum" ? numbers[0] : pick(numbers);
  };
  return { run, finish: () => {}, check };
}

await contend({
  version: versionOf("@jax-js/jax"),
  prepare: (workload) => (["seed", "refined"].includes(workload.kind) ? step : operation)(workload),
});
