/**
 * What the runner and the JavaScript contenders share: the table of workloads, the numbers they work on, and how a
 * workload is checked and timed. workloads/pytorch.py and limit.c do the same in their languages.
 */
import { createRequire } from "node:module";

/** A 3 × 3 convolution with padding 1 of (batch, channels[0], image, image) to channels[1], forward and backward. */
const conv = (batch, channels, image) => ({ kind: "conv", size: batch, channels, image });

/** The same step for another batch or width: how its time grows. One thread and one round are enough to see it. */
const growth = { group: "growth", only: ["native", "wasm", "pytorch"], threads: [1], rounds: 1 };
const ours = { only: ["native", "wasm", "pytorch"] };
/** Many milliseconds each: their rounds lie close together. */
const long = { rounds: 2 };

/**
 * Every workload. `expect` is what it computes, made in float64 by `workloads/pytorch.py expect`: for a step the 20th
 * loss, for a sum the sum, for what has a gradient numbers of the gradient, else the second number of the result plus the
 * last but one. `only`: the contenders that have it, where not all do. `threads`, `rounds`: fewer than elsewhere.
 */
export const workloads = [
  { name: "seed-1", kind: "seed", size: 1, expect: 0.1886806 },
  { name: "seed-64", kind: "seed", size: 64, expect: 0.1929907 },
  { name: "seed-256", kind: "seed", size: 256, expect: 0.1929261 },
  { name: "refined-1", kind: "refined", size: 1, expect: 0.2836885 },
  { name: "refined-64", kind: "refined", size: 64, expect: 0.3263452 },
  { name: "refined-256", kind: "refined", size: 256, expect: 0.3257392 },
  { name: "gan-1", kind: "gan", size: 1, ...ours, expect: 2.065109 },
  { name: "gan-64", kind: "gan", size: 64, ...ours, expect: 2.183728 },
  { name: "block", kind: "block", size: 8, ...ours, ...long, expect: 0.3773812 },
  { name: "cnn-64", kind: "cnn", size: 64, ...ours, expect: 2.302922 },
  { name: "matmul-64", kind: "matmul", shape: [64, 64, 64], expect: -1.109754 },
  { name: "matmul-127", kind: "matmul", shape: [127, 127, 127], expect: -0.2751662 },
  { name: "matmul-128", kind: "matmul", shape: [128, 128, 128], expect: 0.927804 },
  { name: "matmul-256", kind: "matmul", shape: [256, 256, 256], expect: 0.6952621 },
  { name: "matmul-512", kind: "matmul", shape: [512, 512, 512], expect: 3.729293 },
  { name: "matmul-1024", kind: "matmul", shape: [1024, 1024, 1024], ...long, expect: -1.312695 },
  { name: "matmul-2048", kind: "matmul", shape: [2048, 2048, 2048], ...long, expect: 1.152782 },
  { name: "matmul-64x784x200", kind: "matmul", shape: [64, 784, 200], expect: 3.678085 },
  { name: "matmul-200x64x784", kind: "matmul", shape: [200, 64, 784], expect: -0.715884 },
  { name: "conv-64", ...conv(64, [16, 32], 28), ...ours, expect: 12.81898 },
  { name: "conv-resnet-56", ...conv(8, [64, 64], 56), ...ours, ...long, expect: -18.14019 },
  { name: "conv-resnet-14", ...conv(8, [256, 256], 14), ...ours, ...long, expect: -3.928551 },
  { name: "add-4M", kind: "add", size: 4194304, expect: 1.616234 },
  { name: "exp-4M", kind: "exp", size: 4194304, expect: 3.666802 },
  { name: "sum-4M", kind: "sum", size: 4194304, expect: 2097035 },
  { name: "softmax-4M", kind: "softmax", size: 4194304, columns: 1024, ...long, expect: 0.002106821 },
  {
    name: "layernorm-4M",
    kind: "layernorm",
    size: 4194304,
    columns: 1024,
    ...ours,
    ...long,
    expect: 0.1341492,
  },
  {
    name: "copy-T",
    kind: "copy",
    size: 4194304,
    columns: 2048,
    only: [...ours.only, "tfjs"],
    ...long,
    expect: 0.8167541,
  },
  { name: "add-10", kind: "add", size: 10, threads: [1], expect: 1.148865 },
  { name: "embedding", kind: "embedding", size: 4096, table: [10000, 256], ...ours, expect: 349620.6 },
  { name: "batch-1", kind: "seed", size: 1, ...growth, expect: 0.1886806 },
  { name: "batch-4", kind: "seed", size: 4, ...growth, expect: 0.1965675 },
  { name: "batch-16", kind: "seed", size: 16, ...growth, expect: 0.193648 },
  { name: "batch-64", kind: "seed", size: 64, ...growth, expect: 0.1929907 },
  { name: "batch-256", kind: "seed", size: 256, ...growth, expect: 0.1929261 },
  { name: "batch-1024", kind: "seed", size: 1024, ...growth, expect: 0.1928735 },
  { name: "width-64", kind: "seed", size: 64, width: 64, ...growth, expect: 0.2272565 },
  { name: "width-128", kind: "seed", size: 64, width: 128, ...growth, expect: 0.212403 },
  { name: "width-256", kind: "seed", size: 64, width: 256, ...growth, expect: 0.1905858 },
  { name: "width-512", kind: "seed", size: 64, width: 512, ...growth, expect: 0.1602609 },
  { name: "width-1024", kind: "seed", size: 64, width: 1024, ...growth, expect: 0.1284399 },
];

export const tolerance = 1e-3;

/**
 * Seconds of warm-up. V8 needs most of one before code as wide as a framework's is compiled to its best; what was
 * compiled before it started (PyTorch, OpenBLAS, C) needs threads, caches and memory only. A workload that is one large
 * kernel lies between.
 */
export const warmup = { script: 1, kernel: 0.5, compiled: 0.3 };

/** n numbers from `low` to `high`: Knuth's and Lewis' linear congruential generator, its upper 24 bits. */
export function uniform(n, seed, low = 0, high = 1) {
  const numbers = new Float32Array(n);
  let state = seed;
  for (let i = 0; i < n; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers[i] = low + ((high - low) * (state >>> 8)) / 2 ** 24;
  }
  return numbers;
}

/** The classifier's first parameters: 784-width-10, as PyTorch lays them out, (out, in). */
export const weights = (width = 200) => ({
  w1: uniform(width * 784, 1, -1 / 28, 1 / 28),
  b1: uniform(width, 2, -1 / 28, 1 / 28),
  w2: uniform(10 * width, 3, -0.07, 0.07),
  b2: uniform(10, 4, -0.07, 0.07),
});

/** The first weight of any other network's layer `i`, of `n` numbers for `outputs` rows; its bias is zero. */
export function weightOfLayer(i, n, outputs) {
  const bound = 1 / Math.sqrt(n / outputs);
  return uniform(n, 40 + i, -bound, bound);
}

/** The class of each image of target set i. */
export const classes = (size, i) => Int32Array.from({ length: size }, (_, row) => (3 * i + 7 * row) % 10);

/**
 * Step i works on inputs[i % 8] and targets[i % 7]. The same input meets every target in turn, so the model cannot
 * learn them by heart and its gradients never fade into denormal numbers, however long it is timed.
 */
export function batches(size) {
  const inputs = Array.from({ length: 8 }, (_, i) => uniform(size * 784, 10 + i));
  const targets = Array.from({ length: 7 }, (_, i) => {
    const rows = new Float32Array(size * 10);
    for (const [row, c] of classes(size, i).entries()) rows[row * 10 + c] = 1;
    return rows;
  });
  return { inputs, targets };
}

/** The two numbers of a result that stand for all of it. */
export const pick = (numbers) => numbers[1] + numbers[numbers.length - 2];

/** A tensor workload's operands: their numbers and shapes. */
export function operands({ kind, size, shape, columns }) {
  if (kind === "matmul") {
    const [m, k, n] = shape;
    return [
      { numbers: uniform(m * k, 20, -0.5, 0.5), shape: [m, k] },
      { numbers: uniform(k * n, 21, -0.5, 0.5), shape: [k, n] },
    ];
  }
  const laidOut = columns === undefined ? [size] : [size / columns, columns];
  return [20, 21].map((seed) => ({ numbers: uniform(size, seed), shape: laidOut }));
}

export const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/**
 * Times `run`, awaiting `finish` at the end of every sample. A sample is as many runs as fill 10 ms, so that the clock,
 * the wait and the collector's share are spread over them.
 */
async function measure({ run, finish }, { seconds, warmup }) {
  const sample = async (count) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const pending = run();
      if (pending instanceof Promise) await pending;
    }
    await finish();
    return (performance.now() - start) / count;
  };
  const warm = performance.now();
  let count = 1;
  do count = Math.max(1, Math.round(10 / (await sample(count))));
  while (performance.now() - warm < warmup * 1000);
  const times = [];
  const start = performance.now();
  while (times.length < 3 || performance.now() - start < seconds * 1000) times.push(await sample(count));
  return { median_us: median(times) * 1000, min_us: Math.min(...times) * 1000, reps: times.length * count };
}

/** Thrown by `prepare` where a contender lacks what a workload needs: no figure, and no failure. */
export class NotMeasured extends Error {}

/**
 * Runs a contender's process. Its argument is "probe" (is it there, which version?) or a job: a workload with threads,
 * warmup, seconds and tolerance. It prints one line of JSON. A job with `steps` runs so many and gives the
 * process's greatest resident memory instead of times.
 *
 * `prepare(job)` gives `{run, finish, check}`: one repetition; the wait for all of them; the workload's outcome as
 * one number, asked once, before anything is timed.
 */
export async function contend({ version, threads, setThreads = () => {}, prepare }) {
  const say = (answer) => console.log(JSON.stringify(answer));
  if (process.argv[2] === "probe") return say({ version, threads });
  const job = JSON.parse(process.argv[2]);
  setThreads(job.threads);
  let task;
  try {
    task = await prepare(job);
  } catch (error) {
    if (error instanceof NotMeasured) return say({ absent: error.message });
    throw error;
  }
  const outcome = await task.check();
  if (!(Math.abs(outcome - job.expect) <= job.tolerance * Math.abs(job.expect))) {
    throw new Error(`computes ${outcome}, expected ${job.expect}`);
  }
  if (job.steps !== undefined) {
    for (let i = 0; i < job.steps; i++) await task.run();
    await task.finish();
    return say({ bytes: process.resourceUsage().maxRSS * 1024 });
  }
  say({ workload: job.name, threads: job.threads, ...(await measure(task, job)) });
}

/** A training step as a task: the outcome is the 20th loss. `step(i)` trains once, `loss()` reads the last loss. */
export function training(step, loss) {
  let i = 0;
  const run = () => step(i++);
  const check = async () => {
    for (let n = 0; n < 20; n++) run();
    return loss();
  };
  return { run, finish: loss, check };
}

/** The version that an installed package states. */
export const versionOf = (name) => {
  const require = createRequire(import.meta.url);
  for (const folder of require.resolve.paths(name)) {
    try {
      return require(`${folder}/${name}/package.json`).version;
    } catch {
      // Not in this folder: look in the next.
    }
  }
  throw new Error(`${name} is not installed`);
};
