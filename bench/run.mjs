/**
 * `npm run bench`: the same work on cresset and the others, in turn, each in a process of its own; tables of times and
 * ratios. See README.md.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { chart } from "./chart.mjs";
import { contenders, stop } from "./contenders.mjs";
import { median, tolerance, warmup, workloads } from "./lib.mjs";
import { failures, groupOf, legend, machine, notMeasured, tables } from "./report.mjs";
import { measures, wholeTables } from "./whole.mjs";

const usage = `node bench/run.mjs [options]
  --quick              one short round: for a look, not for figures
  --only <regex>       only the workloads whose name matches (also: ${Object.keys(measures).join(", ")})
  --contenders <a,b>   only these: ${contenders.map((c) => c.id).join(", ")}
  --threads <1,2>      thread counts (1 and all cores)
  --rounds <n>         rounds (3; with --quick 1)
  --seconds <s>        measuring time of a process (0.4; with --quick 0.2)
  --out <path>         where to write <path>.md, <path>.json and chart.svg (bench/results; unless given, only a whole run writes)`;

function fail(message) {
  console.error(`${message}\n${usage}`);
  process.exit(2);
}

function options() {
  const text = { type: "string" };
  const flag = { type: "boolean" };
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        quick: flag,
        only: text,
        contenders: text,
        threads: text,
        rounds: text,
        seconds: text,
        out: text,
        help: flag,
      },
    }));
  } catch (error) {
    fail(error.message);
  }
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const { quick = false } = values;
  const positive = (name, value) =>
    Number(value) > 0 ? Number(value) : fail(`--${name}: '${value}' is not a positive number`);
  const ids = values.contenders?.split(",") ?? contenders.map((c) => c.id);
  for (const id of ids) if (!contenders.some((c) => c.id === id)) fail(`--contenders: there is no '${id}'`);
  const pattern = new RegExp(values.only ?? "");
  const whole = !quick && values.only === undefined && values.contenders === undefined && values.threads === undefined;
  return {
    quick,
    chosen: contenders.filter((c) => ids.includes(c.id)),
    work: workloads.filter((w) => pattern.test(w.name)),
    around: Object.keys(measures).filter((name) => pattern.test(name)),
    threadCounts: values.threads?.split(",").map((n) => positive("threads", n)) ?? [
      ...new Set([1, os.availableParallelism()]),
    ],
    rounds: positive("rounds", values.rounds ?? (quick ? 1 : 3)),
    seconds: positive("seconds", values.seconds ?? (quick ? 0.2 : 0.4)),
    out: values.out ?? (whole ? path.join(import.meta.dirname, "results") : null),
  };
}

const { quick, chosen, work, around, threadCounts, rounds, seconds, out } = options();
// Before anything is measured, so that no half hour is lost on a folder that cannot be made.
if (out !== null) mkdirSync(path.dirname(out), { recursive: true });
const say = (text) => process.stderr.write(text);
const load = () => os.loadavg()[0].toFixed(2);
const loadBefore = load();

let interrupted = false;
process.on("SIGINT", () => {
  if (interrupted) process.exit(130);
  interrupted = true;
  stop();
});

const present = [];
const missing = [];
for (const contender of chosen) {
  if (interrupted) break;
  try {
    contender.version = await contender.probe();
    present.push(contender);
    say(`${contender.title}: ${contender.version}\n`);
  } catch (error) {
    missing.push({ title: contender.title, why: error.message });
    say(`${contender.title}: missing: ${error.message}\n`);
  }
}

const plan = work.flatMap((workload) =>
  threadCounts
    .filter((threads) => workload.threads?.includes(threads) ?? true)
    .map((threads) => ({ workload, threads })),
);
const oneKernel = new Set(["matmul", "conv", "pass"]);
const results = {};
const time = (us) =>
  us >= 1e4 ? `${(us / 1e3).toFixed(1)} ms` : us >= 100 ? `${us.toFixed(0)} µs` : `${us.toFixed(2)} µs`;

for (const [index, { workload, threads }] of plan.entries()) {
  const able = present.filter(
    (c) => c.takes(workload) && (threads === 1 || c.threaded(workload)) && (workload.only?.includes(c.id) ?? true),
  );
  if (able.length === 0) continue;
  const cells = {};
  results[workload.name] = { ...results[workload.name], [threads]: cells };
  const mine = Math.min(rounds, workload.rounds ?? rounds);
  for (let round = 1; round <= mine && !interrupted; round++) {
    const ofRounds = mine > 1 ? `, round ${round} of ${mine}` : "";
    say(`[${index + 1}/${plan.length}] ${workload.name}, ${threads} thread${threads === 1 ? "" : "s"}${ofRounds}:`);
    for (const contender of able) {
      const known = cells[contender.id];
      if (interrupted || known?.error !== undefined || known?.absent !== undefined) continue;
      try {
        const warm = contender.warmup ?? (oneKernel.has(groupOf(workload)) ? warmup.kernel : warmup.script);
        const result = await contender.time({ ...workload, threads, warmup: warm, seconds, tolerance });
        if (result.absent !== undefined) {
          cells[contender.id] = { absent: result.absent };
          say(` ${contender.id} not measured (${result.absent})`);
          continue;
        }
        cells[contender.id] ??= { rounds: [], min_us: Infinity, reps: 0 };
        const cell = cells[contender.id];
        cell.rounds.push(result.median_us);
        cell.median_us = median(cell.rounds);
        cell.min_us = Math.min(cell.min_us, result.min_us);
        cell.reps += result.reps;
        say(` ${contender.id} ${time(result.median_us)}`);
      } catch (error) {
        if (interrupted) break;
        cells[contender.id] = { error: error.message };
        say(` ${contender.id} FAILED (${error.message})`);
      }
    }
    say("\n");
  }
  if (interrupted) break;
}

const whole = {};
for (const name of around) {
  if (interrupted) break;
  say(`${name} …\n`);
  whole[name] = await measures[name]({ quick, present });
}

const about = machine();
const date = new Date().toISOString().slice(0, 10);
const failed = failures({ present, results });
const absent = notMeasured({ present, results });
const list = (title, lines) =>
  lines.length > 0 ? `\n### ${title}\n\n${lines.map((line) => `- ${line}`).join("\n")}\n` : "";
const report = `# Benchmark

${date}, cresset at ${about.commit}${quick ? ", **a quick run: one short round**" : `, ${rounds} rounds (2 of long workloads, 1 of growth) of ${seconds} s, medians`}.

- Processor: ${about.cpu}
- Memory ${about.memory}; load average ${loadBefore} before, ${load()} after
- System: ${about.system}
- Node ${about.node}
${present.map((c) => `- ${c.title}: ${c.version}`).join("\n")}
${missing.map((c) => `- ${c.title}: **missing**: ${c.why}\n`).join("")}
${legend}

${[tables({ workloads, threadCounts, present, results }), wholeTables(whole)].filter(Boolean).join("\n\n")}
${list("Not measured", absent)}${list("Failed", failed)}`;

console.log(`\n${report}`);
if (interrupted) {
  say("Interrupted: this is what was measured; nothing is written.\n");
  process.exitCode = 130;
} else if (out !== null) {
  const versions = Object.fromEntries(present.map((c) => [c.id, c.version]));
  const data = {
    date,
    machine: about,
    load: [loadBefore, load()],
    quick,
    rounds,
    seconds,
    versions,
    missing,
    results,
    whole,
  };
  for (const [ending, text] of [
    ["md", report],
    ["json", `${JSON.stringify(data, null, 1)}\n`],
  ]) {
    writeFileSync(`${out}.${ending}.part`, text);
    renameSync(`${out}.${ending}.part`, `${out}.${ending}`);
  }
  say(`Written: ${out}.md and ${out}.json\n`);
  const picture = path.join(path.dirname(out), "chart.svg");
  try {
    const svg = await chart(data);
    if (svg !== null) {
      writeFileSync(picture, svg);
      say(`Written: ${picture}\n`);
    }
  } catch (error) {
    say(`No chart: ${error.message}\n`);
  }
}
