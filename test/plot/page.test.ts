/** Figures in a page of the user's own: what was built, bundled by Vite with the libraries that draw, in Chromium. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launch } from "../package/chromium.js";

const repository = fileURLToPath(new URL("../../", import.meta.url));
const program = `
import { ones, tensor } from "cresset";
import { DataFrame } from "cresset/data";
import * as plot from "cresset/plot";
const x = tensor(3.5, { requiresGrad: true });
const figures = {
  line: plot.line([3, 1, 2], { title: "선" }),
  image: plot.imshow(ones([3, 3]), { cmap: "Blues" }),
  table: new DataFrame([0.5, 1]).plot({ kind: "bar" }),
  graph: plot.graph(x.mul(x), { names: { x } }),
};
for (const [name, figure] of Object.entries(figures)) {
  const place = document.body.appendChild(document.createElement("div"));
  place.id = name;
  await figure.mount(place);
}
const png = await figures.line.png({ scale: 1 });
const refused = await figures.line.save("x.svg").catch(String);
globalThis.report = { png: [...png.slice(0, 24)], refused };
`;

describe.skipIf(process.env["CRESSET_SKIP_BROWSER"] === "1")("a page in Chromium", () => {
  let folder = "";
  let browser: Browser | undefined;
  let server: Server | undefined;
  beforeAll(async () => {
    browser = await launch();
    // Below the repository, so that its libraries are found.
    folder = mkdtempSync(join(repository, "node_modules/.page-"));
    writeFileSync(
      join(folder, "index.html"),
      '<!doctype html><meta charset="utf-8"><body><script type="module" src="./main.js"></script>',
    );
    writeFileSync(join(folder, "main.js"), program);
    const built = (entry: string) => join(repository, "dist", entry, "index.js");
    const alias = [
      { find: /^cresset$/, replacement: join(repository, "dist/index.js") },
      { find: "cresset/data", replacement: built("data") },
      { find: "cresset/plot", replacement: built("plot") },
    ];
    await build({
      root: folder,
      configFile: false,
      logLevel: "error",
      resolve: { alias },
      build: { target: "esnext" },
    });
    server = createServer((request, response) => {
      const path = request.url === "/" ? "index.html" : (request.url as string).slice(1);
      const type = extname(path) === ".js" ? "text/javascript" : "text/html";
      const file = join(folder, "dist", path);
      if (!existsSync(file)) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": type }).end(readFileSync(file));
    });
    await new Promise<void>((done) => (server as Server).listen(0, "127.0.0.1", done));
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("mounts figures, and makes a PNG by itself", async () => {
    const page = await browser!.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => void errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server!.address() as AddressInfo).port}/`);
    await page.waitForFunction(() => "report" in globalThis, undefined, { timeout: 60_000 }).catch(() => undefined);
    expect(errors).toEqual([]);
    const { png, refused } = await page.evaluate(
      () => (globalThis as unknown as { report: { png: number[]; refused: string } }).report,
    );
    expect(png.slice(0, 8)).toEqual([137, 80, 78, 71, 13, 10, 26, 10]);
    expect(new DataView(Uint8Array.from(png).buffer).getUint32(16)).toBe(540);
    expect(refused).toContain("there are no files in a browser");
    for (const name of ["line", "image", "table", "graph"]) {
      const box = await page.locator(`#${name} svg`).boundingBox();
      expect(box!.width).toBeGreaterThan(100);
    }
    await page.close();
  }, 120_000);
});
