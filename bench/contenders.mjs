/** Who takes part: how each is started, what it can do, and why it is missing where it is. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { warmup } from "./lib.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const file = (name) => path.join(here, name);
const scratch = mkdtempSync(path.join(tmpdir(), "cresset-bench-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** The line of a failed process's output that says why. */
function reason({ code, signal, stderr }) {
  const lines = stderr
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  const telling = lines.find((line) => /^(\w*Error\b|computes )/.test(line)) ?? lines.at(-1);
  return (telling?.replace(/^Error: /, "") ?? `ended with ${signal ?? `exit code ${code}`} and said nothing`).slice(
    0,
    300,
  );
}

let running = null;
/** Ends the process that runs now, for Ctrl-C. */
export const stop = () => running?.kill("SIGKILL");

/** Runs a process to its end: the JSON it prints, or an Error that says why there is none. */
export function ask(command, args, env = {}, seconds = 300) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    running = child;
    let [stdout, stderr, late] = ["", "", false];
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, seconds * 1000);
    child.stdout.on("data", (text) => (stdout += text));
    child.stderr.on("data", (text) => (stderr += text));
    child.on("error", (error) => reject(new Error(error.message)));
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      running = null;
      if (late) return reject(new Error(`took over ${seconds} s`));
      if (code !== 0) return reject(new Error(reason({ code, signal, stderr })));
      try {
        resolve(JSON.parse(stdout.trim().split("\n").at(-1)));
      } catch {
        reject(new Error(`printed no JSON: ${stdout.slice(0, 200)}`));
      }
    });
  });
}

/**
 * A contender that a script implements: `probe` gives its version or throws, `time` runs one job. A script may say how many
 * threads it takes by default: one that takes one has no more.
 */
const script = (command, name, env = () => ({})) => ({
  async probe() {
    const { version, threads } = await ask(command, [file(name), "probe"], env(1), 60);
    if (threads !== undefined) this.threaded = () => threads > 1;
    return version;
  },
  time: (job) => ask(command, [file(name), JSON.stringify(job)], env(job.threads)),
});

const cresset = (engine, env = {}) =>
  script(process.execPath, "workloads/cresset.mjs", () => ({ CRESSET_CPU: engine, CRESSET_QUIET: "1", ...env }));

/** A contender in Python: the first interpreter that has what it needs. */
const python = (name, what, candidates, env) => ({
  async probe() {
    const failures = [];
    for (const command of candidates.filter(Boolean)) {
      const found = script(command, name, env);
      try {
        const version = await found.probe();
        this.time = found.time;
        this.python = command;
        return version;
      } catch (error) {
        failures.push(`${command}: ${error.message}`);
      }
    }
    throw new Error(`no Python with ${what}: ${failures.join("; ")}`);
  },
});

const pytorch = python(
  "workloads/pytorch.py",
  "torch (set CRESSET_TORCH_PYTHON)",
  [process.env.CRESSET_TORCH_PYTHON, file("../../torch/bin/python"), "python3"],
  (threads) => ({ OMP_NUM_THREADS: String(threads) }),
);

const openblas = python(
  "workloads/openblas.py",
  "numpy on OpenBLAS (set CRESSET_NUMPY_PYTHON)",
  [process.env.CRESSET_NUMPY_PYTHON, "/usr/bin/python3", "python3"],
  // It chooses its kernels by the processor, whatever the environment says for the sake of other programs.
  (threads) => ({ OPENBLAS_NUM_THREADS: String(threads), OPENBLAS_CORETYPE: undefined, OPENBLAS_L2_SIZE: undefined }),
);

const limit = {
  program: path.join(scratch, "limit"),
  openmp: true,
  async probe() {
    const compiler = process.env.CC || "cc";
    const native = process.arch === "arm64" ? "-mcpu=native" : "-march=native";
    const flags = ["-O3", native, "-ffast-math", "-std=gnu11", file("limit.c"), "-o", this.program, "-lm"];
    const compile = (extra) => spawnSync(compiler, [...extra, ...flags], { encoding: "utf8" });
    let result = compile(["-fopenmp"]);
    if (result.status !== 0) {
      this.openmp = false;
      result = compile([]);
    }
    if (result.error) throw new Error(`no C compiler: ${result.error.message}`);
    if (result.status !== 0) throw new Error(`${compiler} fails: ${result.stderr.trim().split("\n")[0]}`);
    return spawnSync(compiler, ["--version"], { encoding: "utf8" }).stdout.split("\n")[0];
  },
  time({ name, kind, size, threads, warmup, seconds, expect, tolerance }) {
    return ask(this.program, [name, kind, size, threads, warmup, seconds, expect, tolerance].map(String));
  },
  takes: ({ name, kind }) => name === "seed-1" || (name.endsWith("-4M") && ["add", "exp", "sum"].includes(kind)),
  threaded({ kind }) {
    return this.openmp && kind !== "seed";
  },
};

const all = () => true;
const never = () => false;
const compiledSteps = ["seed-1", "seed-64", "refined-1"];

/**
 * In the order of the tables. `takes(workload)`: whether it has that workload (which may name its contenders itself);
 * `threaded(workload)`: whether it can use more than one thread for it.
 */
export const contenders = [
  { id: "native", title: "cresset native", takes: all, threaded: all, ...cresset("native") },
  {
    id: "compiled",
    title: "native, compiled",
    takes: ({ name }) => compiledSteps.includes(name),
    threaded: all,
    ...cresset("native", { BENCH_COMPILE: "1" }),
  },
  { id: "wasm", title: "cresset wasm", takes: all, threaded: all, ...cresset("wasm") },
  { id: "pytorch", title: "PyTorch", takes: all, threaded: all, warmup: warmup.compiled, ...pytorch },
  {
    id: "openblas",
    title: "OpenBLAS",
    takes: ({ kind }) => kind === "matmul",
    threaded: all,
    warmup: warmup.compiled,
    ...openblas,
  },
  { id: "jax-js", title: "jax-js", takes: all, threaded: never, ...script(process.execPath, "workloads/jax-js.mjs") },
  { id: "tfjs", title: "tfjs-wasm", takes: all, threaded: never, ...script(process.execPath, "workloads/tfjs.mjs") },
  { id: "limit", title: "C limit", warmup: warmup.compiled, ...limit },
];
