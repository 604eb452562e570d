/**
 * TensorFlow.js on its WebAssembly backend, in the style of its documentation: `optimizer.minimize` over variables,
 * `tidy` around what makes temporaries. Its kernels finish before their call returns. In Node it runs on one thread
 * (tensorflow/tfjs issue 3830).
 */
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-layers"; // only because it registers the gradients of the operations
import { batches, contend, operands, pick, training, versionOf, weights } from "../lib.mjs";

await tf.setBackend("wasm");
await tf.ready();
if (tf.getBackend() !== "wasm") throw new Error(`the backend is ${tf.getBackend()}, not wasm`);

const linear = (x, w, b) => tf.add(tf.matMul(x, w, false, true), b);

function step({ kind, size }) {
  const { w1, b1, w2, b2 } = weights();
  const W1 = tf.variable(tf.tensor2d(w1, [200, 784]));
  const B1 = tf.variable(tf.tensor1d(b1));
  const W2 = tf.variable(tf.tensor2d(w2, [10, 200]));
  const B2 = tf.variable(tf.tensor1d(b2));
  const gain = tf.variable(tf.ones([200]));
  const bias = tf.variable(tf.zeros([200]));
  const optimizer = kind === "seed" ? tf.train.sgd(0.01) : tf.train.adam(0.001, 0.9, 0.999, 1e-8);
  const variables = kind === "seed" ? [W1, B1, W2, B2] : [W1, B1, gain, bias, W2, B2];

  const seedLoss = (x, t) => {
    const output = tf.sigmoid(linear(tf.sigmoid(linear(x, W1, B1)), W2, B2));
    return tf.mean(tf.squaredDifference(output, t));
  };
  const refinedLoss = (x, t) => {
    const hidden = tf.leakyRelu(linear(x, W1, B1), 0.02);
    const { mean, variance } = tf.moments(hidden, 1, true);
    const normal = tf.mul(tf.sub(hidden, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    const p = tf.sigmoid(linear(tf.add(tf.mul(normal, gain), bias), W2, B2));
    return tf.neg(tf.mean(tf.add(tf.mul(t, tf.log(p)), tf.mul(tf.sub(1, t), tf.log(tf.sub(1, p))))));
  };
  const lossOf = kind === "seed" ? seedLoss : refinedLoss;

  const data = batches(size);
  const inputs = data.inputs.map((x) => tf.tensor2d(x, [size, 784]));
  const targets = data.targets.map((t) => tf.tensor2d(t, [size, 10]));
  let loss = null;
  return training(
    (i) => {
      loss?.dispose();
      loss = optimizer.minimize(() => lossOf(inputs[i % 8], targets[i % 7]), true, variables);
    },
    () => loss.dataSync()[0],
  );
}

function operation(workload) {
  const { kind } = workload;
  const [a, b] = operands(workload).map(({ numbers, shape }) => tf.tensor(numbers, shape));
  const call = {
    matmul: () => tf.matMul(a, b),
    add: () => tf.add(a, b),
    exp: () => tf.exp(a),
    sum: () => tf.sum(a),
    softmax: () => tf.softmax(a, 1),
    copy: () => tf.transpose(a),
  }[kind];
  const check = () => {
    const numbers = call().dataSync();
    return kind === "sum" ? numbers[0] : pick(numbers);
  };
  return { run: () => call().dispose(), finish: () => {}, check };
}

await contend({
  version: versionOf("@tensorflow/tfjs-backend-wasm"),
  prepare: (workload) => (["seed", "refined"].includes(workload.kind) ? step : operation)(workload),
});
