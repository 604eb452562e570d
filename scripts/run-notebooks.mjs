/**
 * Runs the seed's notebook with real Jupyter, through the kernels of Deno and of tslab, on cresset as it is packed. Ends
 * with an error when a cell does, or when an output is not there. Deno's kernel at times ends before it has begun; where
 * no cell was run, it is started a second time, and never after a cell failed. Needs `jupyter nbconvert` (Debian: jupyter-nbconvert);
 * the kernels come from npm, into a folder of their own. `node scripts/run-notebooks.mjs [deno|tslab]`
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { notebook } from "./notebook.mjs";

const repository = fileURLToPath(new URL("../", import.meta.url));
const manifest = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));
const source = readFileSync(join(repository, "examples/05-notebook.ts"), "utf8");
const asked = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "cresset-notebooks-"));

function run(command, args, cwd, env = {}) {
  const { status, error, signal } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
    timeout: 420_000,
    killSignal: "SIGKILL",
  });
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with ${error?.message ?? signal ?? status}`);
}

/** A project with what is packed here, the libraries that draw and read, and the kernels. */
function install() {
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], repository);
  const tarball = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "notebooks", private: true, type: "module" }));
  const libraries = Object.keys(manifest.peerDependencies).map((name) => `${name}@${manifest.devDependencies[name]}`);
  const kernels = ["tslab@1.0.22", "deno@2.9.6"];
  run(
    "npm",
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", `./${tarball}`, ...libraries, ...kernels],
    folder,
  );
}

/** Where the kernels are is told to Jupyter by hand: no installer, nothing of the user's is changed. */
function kernelSpecs() {
  const programs = {
    deno: [
      process.execPath,
      join(folder, "node_modules/deno/bin.cjs"),
      "jupyter",
      "--kernel",
      "--conn",
      "{connection_file}",
    ],
    tslab: [
      process.execPath,
      join(folder, "node_modules/tslab/bin/tslab"),
      "kernel",
      "--config-path",
      "{connection_file}",
    ],
  };
  for (const [name, argv] of Object.entries(programs)) {
    const place = join(folder, "jupyter/kernels", name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "kernel.json"), JSON.stringify({ argv, display_name: name, language: "typescript" }));
  }
}

/** What a notebook printed and showed. */
function outputsOf(file) {
  const { cells } = JSON.parse(readFileSync(file, "utf8"));
  const outputs = cells.flatMap((cell) => cell.outputs ?? []);
  const text = outputs.flatMap((output) => (output.output_type === "stream" ? [output.text].flat() : [])).join("");
  const shown = outputs.flatMap((output) => [output.data?.["text/html"] ?? []].flat().join(""));
  return { text, shown, errors: outputs.filter((output) => output.output_type === "error") };
}

/** What is wrong with a notebook that ran. */
function faults(file) {
  const { text, shown, errors } = outputsOf(file);
  const wanted = (source.match(/^\s*await show\(/gm) ?? []).length;
  const figures = shown.filter((html) => html.startsWith("<img") && html.includes("data:image/svg+xml")).length;
  return [
    ...errors.map((error) => `a cell failed: ${error.ename}: ${error.evalue}`),
    ...(figures === wanted ? [] : [`${figures} figures are shown, not ${wanted}`]),
    ...(shown.some((html) => html.startsWith("<table")) ? [] : ["no table is shown"]),
    ...["5.75", "14", "64", "12.25"].filter((line) => !text.includes(line)).map((line) => `${line} is not printed`),
  ];
}

/** What nbconvert says where a kernel did not answer: before any cell's code was run. */
const noKernel = /Kernel died before replying to kernel_info|Kernel didn't respond in|Timeout waiting for kernel/;
const minutes = 60_000;

/** Jupyter and the kernel it starts, in a group of processes that ends as one. */
function jupyter(args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn("jupyter", args, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let log = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (log += text));
    const end = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {} // nobody of the group is left
    };
    const timer = setTimeout(() => {
      log += "\nended after 7 minutes";
      end();
    }, 7 * minutes);
    const interrupted = () => {
      end();
      process.exit(130);
    };
    process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
    const finished = () => {
      clearTimeout(timer);
      process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
      end();
    };
    child.once("error", (error) => {
      finished();
      reject(new Error(`jupyter is not here (Debian: jupyter-nbconvert): ${error.message}`));
    });
    child.once("close", (code) => {
      finished();
      resolve({ code, log });
    });
  });
}

/** Runs every cell of a notebook; what is wrong afterwards. */
async function execute(file, kernel, attempt = 1) {
  const output = `${kernel}-ran`;
  const args = ["nbconvert", "--to", "notebook", "--execute", "--allow-errors", "--output", output];
  args.push("--ExecutePreprocessor.timeout=300", "--ExecutePreprocessor.startup_timeout=60", file);
  const { code, log } = await jupyter(args, {
    JUPYTER_PATH: join(folder, "jupyter"),
    IPYTHONDIR: join(folder, "ipython"),
    EPOCHS: process.env["EPOCHS"] ?? "1",
    CRESSET_QUIET: "1",
    CRESSET_PICTURES: join(folder, `pictures-${kernel}`),
  });
  const ran = join(folder, `${output}.ipynb`);
  const found = existsSync(ran) ? faults(ran) : ["the notebook did not run"];
  if (code === 0 && found.length === 0) return [];
  console.error(log);
  if (attempt === 1 && !existsSync(ran) && noKernel.test(log)) {
    console.error(`${kernel}: the kernel did not start; once more`);
    return execute(file, kernel, 2);
  }
  return code === 0 ? found : [...found, `jupyter ended with ${code}`];
}

let failed = false;
try {
  install();
  kernelSpecs();
  for (const kernel of asked.length === 0 ? ["deno", "tslab"] : asked) {
    const file = join(folder, `${kernel}.ipynb`);
    writeFileSync(file, notebook(source, kernel));
    const found = await execute(file, kernel);
    for (const fault of found) console.error(`${kernel}: ${fault}`);
    failed ||= found.length > 0;
    if (process.env["CRESSET_NOTEBOOKS"]) {
      mkdirSync(process.env["CRESSET_NOTEBOOKS"], { recursive: true });
      writeFileSync(
        join(process.env["CRESSET_NOTEBOOKS"], `${kernel}.ipynb`),
        readFileSync(join(folder, `${kernel}-ran.ipynb`)),
      );
    }
    if (found.length === 0) console.log(`${kernel}: every cell ran`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
