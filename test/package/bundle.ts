/** The test page, bundled by Vite as a user would bundle it: the installed package, a production build. */
import { copyFileSync, cpSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, createLogger } from "vite";
import { beside, filesIn, repository } from "./installed.js";

export interface Bundle {
  readonly folder: string;
  /** The JavaScript, all files together. */
  readonly code: string;
  /** The page's script, and that with what it imports at once: what is loaded before the program runs. */
  readonly first: string;
  readonly codeAtOnce: string;
  /** The size of `codeAtOnce`. */
  readonly gzipBytes: number;
  readonly warnings: readonly string[];
}

/** Builds a folder of the project, whose index.html is the entry. */
export async function bundle(root: string): Promise<Bundle> {
  const warnings: string[] = [];
  const customLogger = createLogger("warn", { allowClearScreen: false });
  customLogger.warn = (message) => void warnings.push(message);
  customLogger.warnOnce = customLogger.warn;
  // Without module preloading the result of a page without a document runs in Node, too.
  await build({
    root,
    base: "./",
    configFile: false,
    logLevel: "warn",
    customLogger,
    build: { modulePreload: false },
  });
  const folder = join(root, "dist");
  const code = filesIn(folder)
    .filter((file) => file.endsWith(".js"))
    .map((file) => readFileSync(join(folder, file), "utf8"))
    .join("\n");
  const html = readFileSync(join(folder, "index.html"), "utf8");
  const scripts = [...html.matchAll(/<script[^>]* src="\.\/([^"]+\.js)"/g)].map(([, path]) =>
    join(folder, path as string),
  );
  const atOnce = new Set<string>();
  for (const script of scripts) importedAtOnce(script, atOnce);
  const codeAtOnce = [...atOnce].map((file) => readFileSync(file, "utf8")).join("\n");
  return { folder, code, first: scripts[0] as string, codeAtOnce, gzipBytes: gzipSync(codeAtOnce).length, warnings };
}

/** The page of test/package/page with the seed's program 01 beside it, in a project where cresset is installed. */
export function bundlePage(project: string): Promise<Bundle> {
  const root = join(project, "page");
  cpSync(beside("page"), root, { recursive: true });
  copyFileSync(join(repository, "examples/01-autograd.ts"), join(root, "01-autograd.ts"));
  return bundle(root);
}

/** A script and those that it imports at once. */
function importedAtOnce(file: string, found: Set<string>): void {
  if (found.has(file)) return;
  found.add(file);
  const imports = readFileSync(file, "utf8").matchAll(/(?:from|import)\s*["'](\.[^"']+\.js)["']/g);
  for (const [, path] of imports) importedAtOnce(join(dirname(file), path as string), found);
}
