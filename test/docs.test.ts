/**
 * Every example runs: the ts blocks of docstrings in src/ and of the documents. A block that imports nothing gets
 * `torch`, `nn` and `optim`; one that begins with `// fragment` shows a shape and is not run.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

const repository = fileURLToPath(new URL("../", import.meta.url));
const header = 'import * as torch from "cresset";\nconst { nn, optim } = torch;\n';

interface Block {
  /** The file and the line of its first line of code. */
  readonly place: string;
  readonly code: string;
}

function filesBelow(folder: string, extension: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(extension))
    .map((file) => join(repository, folder, file));
}

/** Blocks between fences; in a docstring each line begins with " * ". */
function blocksIn(file: string): Block[] {
  const blocks: Block[] = [];
  let open: { line: number; code: string[] } | null = null;
  for (const [i, line] of readFileSync(file, "utf8").split("\n").entries()) {
    const text = file.endsWith(".md") ? line : line.replace(/^\s*\* ?/, "");
    if (open === null) {
      if (/^\s*```ts\s*$/.test(text)) open = { line: i + 2, code: [] };
    } else if (/^\s*```\s*$/.test(text)) {
      blocks.push({ place: `${relative(repository, file)}:${open.line}`, code: open.code.join("\n") });
      open = null;
    } else open.code.push(text);
  }
  if (open !== null) throw new Error(`${file}:${open.line - 1}: the block has no end`);
  return blocks;
}

const documents = ["README.md", "README.ko.md"].map((file) => join(repository, file));
const all = [...filesBelow("src", ".ts"), ...documents, ...filesBelow("docs", ".md")].flatMap(blocksIn);
const run = all.filter(({ code }) => !/^\s*\/\/ fragment\b/.test(code));

describe("examples", () => {
  let folder = "";
  const before = process.cwd();
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "cresset-docs-"));
    mkdirSync(join(folder, "work"));
    process.chdir(join(folder, "work")); // what an example writes lands here
  });
  afterAll(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  it("are found", () => {
    expect(run.length).toBeGreaterThan(40);
    expect(new Set(run.map(({ place }) => place)).size).toBe(run.length);
  });

  it.each(run)("$place", async ({ place, code }) => {
    const file = join(folder, `${place.replaceAll(/\W/g, "-")}.ts`);
    writeFileSync(file, /^\s*import\s/m.test(code) ? code : header + code);
    const torch = await import("cresset");
    const quiet = ["log", "table", "dir"].map((name) => vi.spyOn(console, name as "log").mockImplementation(() => {}));
    try {
      await import(/* @vite-ignore */ pathToFileURL(file).href);
    } catch (error) {
      throw new Error(`${place}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    } finally {
      for (const spy of quiet) spy.mockRestore();
      torch.setGradEnabled(true);
      torch.setDefaultDType("float32");
      torch.setDefaultDevice("cpu");
    }
  });
});
