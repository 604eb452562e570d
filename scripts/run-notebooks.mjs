/**
 * Runs the seed's notebook with real Jupyter, through the kernels of Deno and of tslab, on cresset as it is packed. Ends
 * with an error when a cell does, or when an output is not there. Needs `jupyter nbconvert` (Debian: jupyter-nbconvert);
 * the kernels come from npm, into a folder of their own. `node scripts/run-notebooks.mjs [deno|tslab]`
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** Runs every cell of a notebook, in place; what is wrong afterwards. */
function execute(file, kernel) {
  const args = ["nbconvert", "--to", "notebook", "--execute", "--inplace", "--ExecutePreprocessor.timeout=300", file];
  run("jupyter", args, folder, {
    JUPYTER_PATH: join(folder, "jupyter"),
    IPYTHONDIR: join(folder, "ipython"),
    EPOCHS: process.env["EPOCHS"] ?? "1",
    CRESSET_QUIET: "1",
    CRESSET_PICTURES: join(folder, `pictures-${kernel}`),
  });
  return faults(file);
}

let failed = false;
try {
  install();
  kernelSpecs();
  for (const kernel of asked.length === 0 ? ["deno", "tslab"] : asked) {
    const file = join(folder, `${kernel}.ipynb`);
    writeFileSync(file, notebook(source, kernel));
    const found = execute(file, kernel);
    for (const fault of found) console.error(`${kernel}: ${fault}`);
    failed ||= found.length > 0;
    if (process.env["CRESSET_NOTEBOOKS"]) {
      mkdirSync(process.env["CRESSET_NOTEBOOKS"], { recursive: true });
      writeFileSync(join(process.env["CRESSET_NOTEBOOKS"], `${kernel}.ipynb`), readFileSync(file));
    }
    if (found.length === 0) console.log(`${kernel}: every cell ran`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
