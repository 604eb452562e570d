/**
 * What a program costs besides its steps: how long until its first result, how much memory a thousand steps take, and how
 * large a page becomes. One thread count, one round; each figure is the median of some processes.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { median, tolerance, warmup, workloads } from "./lib.mjs";

const here = import.meta.dirname;
const cresset = path.join(here, "../dist/index.js");

/** Programs that import and compute one number. The first is what the interpreter takes by itself. */
const programs = [
  { id: "node", title: "Node alone", node: "console.log(2)" },
  ...["native", "wasm"].map((engine) => ({
    id: engine,
    title: `cresset ${engine}`,
    env: { CRESSET_CPU: engine, CRESSET_QUIET: "1" },
    node: `import * as torch from "cresset"; console.log(torch.ones([2]).sum().item())`,
  })),
  {
    id: "jax-js",
    title: "jax-js",
    node: `import { defaultDevice, init, numpy as np } from "@jax-js/jax";
      await init("wasm"); defaultDevice("wasm"); console.log((await np.ones([2]).sum().data())[0])`,
  },
  {
    id: "tfjs",
    title: "tfjs-wasm",
    node: `import * as tf from "@tensorflow/tfjs-core"; import "@tensorflow/tfjs-backend-wasm";
      await tf.setBackend("wasm"); await tf.ready(); console.log(tf.sum(tf.ones([2])).dataSync()[0])`,
  },
  { id: "python", title: "Python alone", python: "print(2)" },
  { id: "pytorch", title: "PyTorch", python: "import torch; print(torch.ones(2).sum().item())" },
];

/** Milliseconds from the start of a process to what it prints. */
function untilResult(command, args, env) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let [time, errors] = [null, ""];
    const child = spawn(command, args, { cwd: here, env: { ...process.env, ...env }, timeout: 60_000 });
    child.stdout.on("data", (text) => {
      if (String(text).startsWith("2")) time ??= performance.now() - start;
    });
    child.stderr.on("data", (text) => (errors += text));
    child.on("error", reject);
    child.on("close", () => (time === null ? reject(new Error(errors.trim().split("\n").at(-1))) : resolve(time)));
  });
}

const commandOf = (program, python) =>
  program.node === undefined
    ? [python, ["-c", program.python]]
    : [
        process.execPath,
        ["--input-type=module", "-e", program.node.replace(`"cresset"`, JSON.stringify(pathToFileURL(cresset).href))],
      ];

async function startUp(present, runs) {
  // The interpreter that the contender has found: with torch, or none.
  const python = present.find((c) => c.id === "pytorch")?.python;
  const results = {};
  for (const { id, title, ...program } of programs) {
    if (program.python !== undefined && python === undefined) results[id] = { title, error: "no Python with torch" };
  }
  for (let round = 0; round <= runs; round++) {
    for (const program of programs) {
      const { id, title, env } = program;
      results[id] ??= { title, rounds: [] };
      if (results[id].error !== undefined) continue;
      try {
        const ms = await untilResult(...commandOf(program, python), env);
        if (round > 0) results[id].rounds.push(ms); // the first fills the caches of files and kernels
      } catch (error) {
        results[id] = { title, error: error.message };
      }
    }
  }
  for (const result of Object.values(results)) if (result.error === undefined) result.ms = median(result.rounds);
  return results;
}

async function memory(present) {
  const job = { ...workloads.find((w) => w.name === "seed-1"), threads: 1, tolerance, steps: 1000, seconds: 0 };
  const results = {};
  for (const { id, title, time, takes } of present) {
    if (!takes(job) || id === "limit") continue;
    try {
      const { bytes, absent } = await time({ ...job, warmup: warmup.script });
      results[id] = absent === undefined ? { title, bytes } : { title, error: absent };
    } catch (error) {
      results[id] = { title, error: error.message };
    }
  }
  return results;
}

/** The whole of a package as a page loads it: minified by Vite, everything kept. */
async function bundles() {
  // Vite is a devDependency of cresset, found from here.
  const vite = await import(pathToFileURL(createRequire(import.meta.url).resolve("vite")).href);
  const entries = {
    cresset: [cresset],
    "jax-js": ["@jax-js/jax"],
    "tfjs-wasm": ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-wasm", "@tensorflow/tfjs-layers"],
  };
  const results = {};
  for (const [title, names] of Object.entries(entries)) {
    const root = mkdtempSync(path.join(tmpdir(), "cresset-bundle-"));
    try {
      const lines = names.map((name, i) => `import * as p${i} from ${JSON.stringify(name)}; globalThis.p${i} = p${i};`);
      writeFileSync(path.join(root, "index.html"), `<script type="module" src="./main.js"></script>`);
      writeFileSync(path.join(root, "main.js"), lines.join("\n"));
      const modules = { name: "modules", resolveId: (id) => (names.includes(id) ? resolve(id) : null) };
      const resolve = (id) => (path.isAbsolute(id) ? id : browserFile(id));
      await vite.build({
        root,
        configFile: false,
        logLevel: "silent",
        plugins: [{ ...modules, enforce: "pre" }],
        build: { modulePreload: { polyfill: false } },
      });
      const assets = path.join(root, "dist/assets");
      const code = readdirSync(assets)
        .filter((name) => name.endsWith(".js"))
        .map((name) => readFileSync(path.join(assets, name)));
      const all = Buffer.concat(code);
      results[title] = { title, bytes: all.length, gzip: gzipSync(all).length };
    } catch (error) {
      results[title] = { title, error: error.message.split("\n")[0] };
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  }
  return results;
}

/** The file that a page gets of a package in bench/node_modules. */
function browserFile(name) {
  const folder = path.join(here, "node_modules", name);
  const manifest = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
  const entry = manifest.exports?.["."];
  const main =
    entry?.browser ?? entry?.import?.default ?? entry?.import ?? entry?.default ?? manifest.module ?? manifest.main;
  return path.join(folder, typeof main === "string" ? main : manifest.module);
}

/** What of it is chosen by name, and how each is measured. */
export const measures = {
  "start-up": ({ quick, present }) => startUp(present, quick ? 1 : 5),
  memory: ({ present }) => memory(present),
  bundle: () => bundles(),
};

const table = (head, rows) =>
  [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const cell = (result, text) => (result.error === undefined ? text(result) : `– (${result.error})`);

/** The measures as Markdown. */
export function wholeTables(whole) {
  const parts = [];
  const { "start-up": start, memory: resident, bundle } = whole;
  if (start !== undefined) {
    const rows = Object.values(start).map((r) => [r.title, cell(r, ({ ms }) => ms.toFixed(0))]);
    parts.push(`### From the start of a process to its first result, ms\n\n${table(["", "ms"], rows)}`);
  }
  if (resident !== undefined) {
    const rows = Object.values(resident).map((r) => [r.title, cell(r, ({ bytes }) => (bytes / 1e6).toFixed(0))]);
    parts.push(`### Greatest resident memory of a process of 1000 steps of seed-1, MB\n\n${table(["", "MB"], rows)}`);
  }
  if (bundle !== undefined) {
    const kilobytes = (n) => (n / 1000).toFixed(0);
    const rows = Object.values(bundle).map((r) => [
      r.title,
      cell(r, ({ bytes }) => kilobytes(bytes)),
      cell(r, ({ gzip }) => kilobytes(gzip)),
    ]);
    parts.push(
      `### The whole package in a page, kB of JavaScript (tfjs and its .wasm files besides)\n\n${table(["", "minified", "gzip"], rows)}`,
    );
  }
  return parts.join("\n\n");
}
