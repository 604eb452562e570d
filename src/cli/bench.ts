/**
 * `cresset bench`: in a few seconds, how fast this machine is with each engine. The comparison with other frameworks is in
 * the repository's bench/.
 */
import pc from "picocolors";
import { CressetError } from "../errors.js";
import {
  compile,
  cpuEngineName,
  getNumThreads,
  manualSeed,
  nn,
  noGrad,
  rand,
  setCpuEngine,
  type Tensor,
  zeros,
} from "../index.js";
import { type ModelName, recipes } from "./classifier.js";
import { count, print, printJson, result, table } from "./output.js";

export interface BenchOptions {
  json?: boolean;
  /** For each measurement. */
  seconds: number;
}

interface Workload {
  readonly name: string;
  readonly unit: "GFLOP/s" | "GB/s" | "µs";
  /** Gives what is run, and what one run is worth in the unit's thousand millions; for µs nothing. */
  prepare(): { run(): unknown; work?: number };
}

const product = (size: number): Workload => ({
  name: `product ${size} × ${size}`,
  unit: "GFLOP/s",
  prepare() {
    const a = rand([size, size]);
    const b = rand([size, size]);
    return { run: () => noGrad(() => a.matmul(b).dispose()), work: (2 * size ** 3) / 1e9 };
  },
});

const elements = 1 << 23;
const pass: Workload = {
  name: "a + b, 8 million numbers",
  unit: "GB/s",
  prepare() {
    const a = rand([elements]);
    const b = rand([elements]);
    return { run: () => noGrad(() => a.add(b).dispose()), work: (3 * 4 * elements) / 1e9 };
  },
};

const step = (model: ModelName, compiled: boolean): Workload => ({
  name: `${model === "seed" ? "step of the seed" : "step, refined"}${compiled ? ", compiled" : ""}`,
  unit: "µs",
  prepare() {
    const recipe = recipes[model];
    const network = recipe.build();
    const optimiser = recipe.optimiser(network, recipe.defaults.lr);
    const lossOf = recipe.loss();
    const image = rand([1, 784]);
    const target = zeros([1, 10]);
    const train = (x: Tensor, y: Tensor): Tensor => {
      const loss = lossOf.forward(network.forward(x), y);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
      return loss;
    };
    const run = compiled ? compile(train) : train;
    return { run: () => run(image, target) };
  },
});

const convolution: Workload = {
  name: "3 × 3 convolution, 32 channels",
  unit: "GFLOP/s",
  prepare() {
    const layer = new nn.Conv2d(32, 32, 3, { padding: 1 });
    const images = rand([16, 32, 28, 28]);
    return { run: () => noGrad(() => layer.forward(images).dispose()), work: (2 * 16 * 32 * 32 * 9 * 28 * 28) / 1e9 };
  },
};

const workloads: readonly Workload[] = [
  product(1024),
  product(256),
  convolution,
  pass,
  step("seed", false),
  step("seed", true),
  step("refined", false),
  step("refined", true),
];

export function bench({ json, seconds }: BenchOptions): void {
  printJson(json);
  const chosen = cpuEngineName();
  const columns: { engine: string; threads: number; values: number[] }[] = [];
  for (const engine of ["native", "wasm"] as const) {
    try {
      setCpuEngine(engine);
    } catch (error) {
      if (!(error instanceof CressetError)) throw error;
      print(`${pc.yellow(`${engine}:`)} ${error.message.split("\n")[0]}`);
      continue;
    }
    const values = workloads.map((workload) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${engine}: ${workload.name}`);
      manualSeed(0);
      return measure(workload, seconds);
    });
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
    columns.push({ engine, threads: getNumThreads(), values });
  }
  setCpuEngine(chosen);
  result(
    columns.map(({ engine, threads, values }) => ({
      engine,
      threads,
      results: workloads.map(({ name, unit }, i) => ({ name, unit, value: values[i] })),
    })),
  );
  const titles = [
    "",
    ...columns.map(({ engine, threads }) => `${engine}, ${threads} ${threads === 1 ? "thread" : "threads"}`),
    "",
  ];
  const rows = workloads.map(({ name, unit }, i) => [
    name,
    ...columns.map(({ values }) => figure(values[i] as number)),
    unit,
  ]);
  if (!json) print(table(titles, rows));
}

/** The median of runs for `seconds`, in the workload's unit. */
function measure({ unit, prepare }: Workload, seconds: number): number {
  const { run, work = 0 } = prepare();
  const time = (runs: number): number => {
    const start = performance.now();
    for (let i = 0; i < runs; i++) run();
    return (performance.now() - start) / 1000 / runs;
  };
  // The first runs compile; the next ones tell how many make a sample of two milliseconds.
  time(5);
  const runs = Math.max(1, Math.round(0.002 / time(3)));
  const samples: number[] = [];
  const end = performance.now() + 1000 * seconds;
  while (samples.length < 3 || performance.now() < end) samples.push(time(runs));
  const median = samples.sort((a, b) => a - b)[samples.length >> 1] as number;
  return unit === "µs" ? median * 1e6 : work / median;
}

const figure = (value: number): string => (value >= 1000 ? count(Math.round(value)) : value.toPrecision(3));
