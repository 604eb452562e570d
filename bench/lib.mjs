/**
 * What the runner and the JavaScript contenders share: the table of workloads, the numbers they work on, and how a
 * workload is checked and timed. workloads/pytorch.py and limit.c do the same in their languages.
 */
import { createRequire } from "node:module";

/**
 * Every workload. `expect` is what it computes, made in float64 by `workloads/pytorch.py expect`: for a step the 20th
 * loss, for a sum the sum, else the second number of the result plus the last but one.
 */
export const workloads = [
  { name: "seed-1", kind: "seed", size: 1, expect: 0.1886806 },
  { name: "seed-64", kind: "seed", size: 64, expect: 0.1929907 },
  { name: "seed-256", kind: "seed", size: 256, expect: 0.1929261 },
  { name: "refined-1", kind: "refined", size: 1, expect: 0.2836885 },
  { name: "refined-64", kind: "refined", size: 64, expect: 0.3263452 },
  { name: "refined-256", kind: "refined", size: 256, expect: 0.3257392 },
  { name: "matmul-64", kind: "matmul", size: 64, expect: -1.109754 },
  { name: "matmul-128", kind: "matmul", size: 128, expect: 0.927804 },
  { name: "matmul-256", kind: "matmul", size: 256, expect: 0.6952621 },
  { name: "matmul-512", kind: "matmul", size: 512, expect: 3.729293 },
  { name: "matmul-1024", kind: "matmul", size: 1024, expect: -1.312695 },
  { name: "matmul-2048", kind: "matmul", size: 2048, expect: 1.152782 },
  { name: "add-4M", kind: "add", size: 4194304, expect: 1.616234 },
  { name: "exp-4M", kind: "exp", size: 4194304, expect: 3.666802 },
  { name: "sum-4M", kind: "sum", size: 4194304, expect: 2097035 },
  { name: "add-10", kind: "add", size: 10, expect: 1.148865 },
];

export const tolerance = 1e-3;

/** Seconds of warm-up. V8 needs most of one before code as wide as a framework's is compiled to its best. */
export const warmup = 1;

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

/** The classifier's first parameters: 784-200-10, as PyTorch lays them out, (out, in). */
export const weights = () => ({
  w1: uniform(200 * 784, 1, -1 / 28, 1 / 28),
  b1: uniform(200, 2, -1 / 28, 1 / 28),
  w2: uniform(10 * 200, 3, -0.07, 0.07),
  b2: uniform(10, 4, -0.07, 0.07),
});

/**
 * Step i works on inputs[i % 8] and targets[i % 7]. The same input meets every target in turn, so the model cannot
 * learn them by heart and its gradients never fade into denormal numbers, however long it is timed.
 */
export function batches(size) {
  const inputs = Array.from({ length: 8 }, (_, i) => uniform(size * 784, 10 + i));
  const targets = Array.from({ length: 7 }, (_, i) => {
    const rows = new Float32Array(size * 10);
    for (let row = 0; row < size; row++) rows[row * 10 + ((3 * i + 7 * row) % 10)] = 1;
    return rows;
  });
  return { inputs, targets };
}

/** The two numbers of a result that stand for all of it. */
export const pick = (numbers) => numbers[1] + numbers[numbers.length - 2];

/** A tensor workload's operands. */
export const operands = ({ kind, size }) =>
  kind === "matmul"
    ? [uniform(size * size, 20, -0.5, 0.5), uniform(size * size, 21, -0.5, 0.5)]
    : [uniform(size, 20), uniform(size, 21)];

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

/**
 * Runs a contender's process. Its argument is "probe" (is it there, which version?) or a job: a workload with threads,
 * warmup, seconds and tolerance. It prints one line of JSON.
 *
 * `prepare(job)` gives `{run, finish, check}`: one repetition; the wait for all of them; the workload's outcome as
 * one number, asked once, before anything is timed.
 */
export async function contend({ version, setThreads = () => {}, prepare }) {
  if (process.argv[2] === "probe") return console.log(JSON.stringify({ version }));
  const job = JSON.parse(process.argv[2]);
  setThreads(job.threads);
  const task = await prepare(job);
  const outcome = await task.check();
  if (!(Math.abs(outcome - job.expect) <= job.tolerance * Math.abs(job.expect))) {
    throw new Error(`computes ${outcome}, expected ${job.expect}`);
  }
  console.log(JSON.stringify({ workload: job.name, threads: job.threads, ...(await measure(task, job)) }));
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
