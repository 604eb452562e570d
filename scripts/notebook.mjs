/**
 * Keeps examples/notebook/05-notebook.ipynb equal to examples/05-notebook.ts, of which it is made: `// %%` begins a cell
 * there, `// %% [markdown]` one of text. `node scripts/notebook.mjs` writes it, `--check` says whether it is up to date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const kernels = {
  deno: {
    kernelspec: { display_name: "Deno", language: "typescript", name: "deno" },
    language_info: { name: "typescript", file_extension: ".ts", mimetype: "text/x.typescript" },
  },
  tslab: {
    kernelspec: { display_name: "TypeScript", language: "typescript", name: "tslab" },
    language_info: { name: "typescript", file_extension: ".ts", mimetype: "text/typescript" },
  },
};

/** The notebook's JSON for a kernel, "deno" or "tslab". */
export function notebook(source, kernel = "deno") {
  const cells = source
    .split(/^\/\/ %%/m)
    .slice(1)
    .map((part, i) => {
      const [head, ...lines] = part.split("\n");
      const id = `cell-${i + 1}`;
      const text = lines.join("\n").trim();
      if (head.trim() !== "[markdown]") {
        return { cell_type: "code", execution_count: null, id, metadata: {}, outputs: [], source: linesOf(text) };
      }
      return { cell_type: "markdown", id, metadata: {}, source: linesOf(text.replace(/^\/\/ ?/gm, "")) };
    });
  return `${JSON.stringify({ cells, metadata: kernels[kernel], nbformat: 4, nbformat_minor: 5 }, null, 1)}\n`;
}

/** The format wants a line an entry, each but the last with its end. */
const linesOf = (text) => text.split(/(?<=\n)/);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = new URL("../examples/notebook/05-notebook.ipynb", import.meta.url);
  const wanted = notebook(readFileSync(new URL("../examples/05-notebook.ts", import.meta.url), "utf8"));
  if (!process.argv.includes("--check")) writeFileSync(target, wanted);
  else if (readFileSync(target, "utf8") !== wanted) {
    console.error(
      "examples/notebook/05-notebook.ipynb is not what examples/05-notebook.ts makes: node scripts/notebook.mjs",
    );
    process.exit(1);
  }
}
