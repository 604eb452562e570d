/**
 * Runs a program of examples/ as it stands: `npm run example 01-autograd`. Its types are stripped as it is loaded, and
 * its `import "cresset"` finds what was built in dist.
 */
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";

/** Node's hook: called in the loader's own thread, where this module is imported again. */
export async function load(url, context, nextLoad) {
  if (!url.endsWith(".ts")) return nextLoad(url, context);
  const { transformWithOxc } = await import("vite");
  const file = fileURLToPath(url);
  const { code } = await transformWithOxc(await readFile(file, "utf8"), file, { sourcemap: false });
  return { format: "module", source: code, shortCircuit: true };
}

if (isMainThread) {
  const folder = new URL("../examples/", import.meta.url);
  const names = readdirSync(folder).flatMap((file) => (file.endsWith(".ts") ? [file.slice(0, -3)] : []));
  const name = process.argv[2]?.replace(/\.ts$/, "");
  if (name === undefined || !names.includes(name)) {
    console.error(`usage: npm run example <name>, where <name> is one of ${names.join(", ")}`);
    process.exit(2);
  }
  register(import.meta.url);
  await import(new URL(`${name}.ts`, folder).href);
}
