/** The packed package in a Vite production build: nothing of Node's in it, and nothing shaken off that is needed. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, bundlePage } from "./bundle.js";
import { type Installed, install, remove, run } from "./installed.js";

let project: Installed;
beforeAll(() => {
  project = install();
}, 150_000);
afterAll(() => remove(project.folder));

describe("a Vite production build", () => {
  it("of a page with cresset, its data and vision holds nothing of Node's", async () => {
    const { code, gzipBytes, warnings } = await bundlePage(project.folder);
    expect(warnings).toEqual([]);
    expect(code).not.toMatch(/["']node:|__vite-browser-external|createRequire|child_process|koffi/);
    console.log(`a page with cresset, its data and vision: ${(gzipBytes / 1000).toFixed(1)} kB of JavaScript, gzipped`);
    expect(gzipBytes).toBeLessThan(100_000);
  }, 120_000);

  it("of a page that saves and loads keeps the readers and writers of files out of its first script", async () => {
    const root = join(project.folder, "checkpoint");
    mkdirSync(root);
    writeFileSync(join(root, "index.html"), `<script type="module" src="./main.js"></script>`);
    const program = `import * as torch from "cresset";
      const pieces = [];
      await torch.save({ x: torch.tensor([1, 2]), n: 3 }, new WritableStream({ write: (piece) => void pieces.push(piece) }));
      const { x, n } = await torch.load(await new Blob(pieces).arrayBuffer());
      const model = new torch.nn.Linear(2, 1), optimiser = new torch.optim.Adam(model.parameters());
      torch.compile(() => { model.forward(x).sum().backward(); optimiser.step(); })();
      torch.profiler.profile(() => x.add(1));
      console.log(x.tolist(), n, Object.keys(torch).length > 50);`;
    writeFileSync(join(root, "main.js"), program);
    const { code, first, codeAtOnce, gzipBytes, warnings } = await bundle(root);
    expect(warnings).toEqual([]);
    expect(code).not.toMatch(/["']node:|__vite-browser-external|createRequire|child_process|koffi/);
    const size = (gzipBytes / 1000).toFixed(1);
    console.log(`all of cresset in a page: ${size} kB of JavaScript before the first file, gzipped`);
    expect(gzipBytes).toBeGreaterThan(50_000);
    expect(gzipBytes).toBeLessThan(120_000);
    expect(codeAtOnce).not.toContain("_rebuild_tensor_v2");
    expect(code).toContain("_rebuild_tensor_v2");
    const { out, err } = run(process.execPath, [first], root);
    expect(out, err.slice(-500)).toBe("[ 1, 2 ] 3 true\n");
  }, 120_000);

  // Modules of ops/ hand functions to each other when they are loaded; `sideEffects` in package.json keeps them.
  it.each([
    ["tensor", `import { tensor as make } from "cresset";`],
    ["ones", `import { ones } from "cresset"; const make = (data) => ones([1]).mul(data).reshape([]);`],
    [
      "vision",
      `import { SyntheticDigits } from "cresset/vision"; const make = (data) => new SyntheticDigits({ length: 2 }).get(0)[0].float().mul(0).add(data).mean();`,
    ],
    [
      "data",
      `import { TensorDataset } from "cresset/data"; import { full } from "cresset"; const make = (x) => new TensorDataset(full([1], x)).get(0)[0];`,
    ],
  ])(
    "keeps what operations and gradients need when a program imports %s alone",
    async (name, lines) => {
      const root = join(project.folder, `shaken-${name}`);
      mkdirSync(root);
      writeFileSync(join(root, "index.html"), `<script type="module" src="./main.js"></script>`);
      const program = `${lines}
      const x = make(3.5).detach().requiresGrad_();
      const y = x.sub(1).mul(x.sub(2)).mul(x.sub(3)).add(x.expand([2]).max(0).values.sub(x.detach()));
      y.backward();
      console.log(x.grad.item());`;
      writeFileSync(join(root, "main.js"), program);
      const { folder } = await bundle(root);
      const file = readdirSync(join(folder, "assets")).find((entry) => entry.endsWith(".js")) as string;
      const { out, err } = run(process.execPath, [join(folder, "assets", file)], root);
      expect(out, err.slice(-500)).toBe("6.75\n");
    },
    120_000,
  );
});
