/** Turns results into tables: times or rates of every contender, then cresset's ratios. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import os from "node:os";

const flops = {
  matmul: ({ shape: [m, k, n] }) => 2 * m * k * n,
  // forward, and twice as much for the gradients of weight and input
  conv: ({ size, channels: [from, to], image }) => 3 * 2 * size * from * to * 9 * image ** 2,
};
/** Passes over the numbers, of those that must read or write all of them. */
const passes = { add: 3, exp: 2, sum: 1, softmax: 2, layernorm: 2, copy: 2 };

const rate = (us, workload) => flops[workload.kind](workload) / us / 1e3;
const groups = [
  { id: "step", title: "Training steps, µs (less is better)", value: (us) => us },
  { id: "matmul", title: "Matrix products, GFLOP/s (more is better)", value: rate },
  { id: "conv", title: "Convolutions forward and backward, GFLOP/s (more is better)", value: rate },
  {
    id: "pass",
    title: "Passes over 4M float32 numbers, GB/s read and written (more is better)",
    value: (us, { size, kind }) => (4 * size * passes[kind]) / us / 1e3,
  },
  { id: "small", title: "One eager operation; a lookup and its gradient, µs (less is better)", value: (us) => us },
  { id: "growth", title: "How the seed's step grows with batch and width, µs (less is better)", value: (us) => us },
];
/** The table that a workload stands in. */
export function groupOf({ name, kind, group }) {
  if (group !== undefined) return group;
  if (["seed", "refined", "gan", "block", "cnn"].includes(kind)) return "step";
  if (kind in flops) return kind;
  return name !== "add-10" && kind in passes ? "pass" : "small";
}

const number = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));

/** Rounds that lie further apart than this are marked: the machine was busy, or the contender is unsteady. */
const unsteady = 1.3;

/** A result with as many threads as asked for, or with one where that is all there is. */
export function find(results, workload, threads, id) {
  const exact = results[workload.name]?.[threads]?.[id];
  if (exact !== undefined || threads === 1) return [exact, ""];
  const single = results[workload.name]?.[1]?.[id];
  return [single, single === undefined ? "" : "¹"];
}

const ratios = [
  ["native", "pytorch", "native : PyTorch"],
  ["compiled", "pytorch", "compiled : PyTorch"],
  ["native", "openblas", "native : OpenBLAS"],
  ["native", "jax-js", "native : jax-js"],
  ["native", "limit", "native : limit"],
  ["wasm", "pytorch", "wasm : PyTorch"],
  ["wasm", "jax-js", "wasm : jax-js"],
  ["wasm", "tfjs", "wasm : tfjs"],
];

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length), 3));
  const line = (row) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join("\n");
}

/** The tables of a run, as Markdown. `present` are the contenders that took part. */
export function tables({ workloads, threadCounts, present, results }) {
  const parts = [];
  for (const threads of threadCounts) {
    for (const group of groups) {
      const members = workloads.filter((w) => groupOf(w) === group.id && results[w.name]?.[threads] !== undefined);
      if (members.length === 0) continue;
      const has = (id) => members.some((w) => find(results, w, threads, id)[0] !== undefined);
      const columns = present.filter((c) => has(c.id));
      const pairs = ratios.filter(([ours, theirs]) =>
        members.some((w) => [ours, theirs].every((id) => find(results, w, threads, id)[0]?.median_us !== undefined)),
      );
      const rows = [["", ...columns.map((c) => c.title), ...pairs.map(([, , title]) => title)]];
      for (const workload of members) {
        const cell = ({ id }) => {
          const [result, mark] = find(results, workload, threads, id);
          if (result === undefined || result.absent !== undefined) return "–";
          if (result.error !== undefined) return "failed";
          const shaky = Math.max(...result.rounds) / Math.min(...result.rounds) > unsteady ? "~" : "";
          return `${shaky}${number(group.value(result.median_us, workload))}${mark}`;
        };
        const ratio = ([ours, theirs]) => {
          const [[a, one], [b, other]] = [ours, theirs].map((id) => find(results, workload, threads, id));
          return a?.median_us && b?.median_us ? `${number(b.median_us / a.median_us)}×${one || other}` : "–";
        };
        rows.push([workload.name, ...columns.map(cell), ...pairs.map(ratio)]);
      }
      parts.push(`### ${group.title}: ${threads === 1 ? "1 thread" : `${threads} threads`}\n\n${table(rows)}`);
    }
  }
  return parts.join("\n\n");
}

/** "contender, workload, threads: why" for everything whose cell says why there is no figure. */
function reasons({ present, results }, key) {
  const lines = [];
  for (const [name, byThreads] of Object.entries(results)) {
    for (const [threads, byContender] of Object.entries(byThreads)) {
      for (const { id, title } of present) {
        const why = byContender[id]?.[key];
        if (why !== undefined) lines.push(`${title}, ${name}, ${threads} thread${threads === "1" ? "" : "s"}: ${why}`);
      }
    }
  }
  return lines;
}
export const failures = (run) => reasons(run, "error");
export const notMeasured = (run) => reasons(run, "absent");

export const legend = `\`a : b\` is how many times as fast a is as b (native : limit is the share of the limit that is reached).
¹ one thread: the contender has no more. ~ the rounds differ by more than ${unsteady}×. – not measured.`;

/** The machine in words, for the head of a report. */
export function machine() {
  const read = (file) => (existsSync(file) ? readFileSync(file, "utf8") : "");
  const cpuinfo = read("/proc/cpuinfo");
  const field = (key) => new RegExp(`^${key}\\s*: (.*)$`, "m").exec(cpuinfo)?.[1];
  const family = field("cpu family") ? ` (family ${field("cpu family")}, model ${field("model")})` : "";
  const vectors = ["avx512f", "avx2", "asimd"].find((flag) => new RegExp(`\\b${flag}\\b`).test(cpuinfo));
  const release = /^PRETTY_NAME="?([^"\n]*)/m.exec(read("/etc/os-release"))?.[1] ?? os.type();
  const git = spawnSync("git", ["describe", "--always", "--dirty"], { cwd: import.meta.dirname, encoding: "utf8" });
  const parts = [`${os.cpus()[0]?.model.trim() ?? "unknown"}${family}`, `${os.availableParallelism()} cores`];
  if (vectors) parts.push(vectors);
  return {
    cpu: parts.join(", "),
    memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`,
    system: `${release}, ${os.type()} ${os.release()}, ${os.arch()}`,
    node: process.version,
    commit: git.status === 0 ? git.stdout.trim() : "unknown",
  };
}
