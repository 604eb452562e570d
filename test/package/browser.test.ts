/** The bundled page in a real browser: the seed's program 01, and a classifier trained on the wasm engine. */
import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundlePage } from "./bundle.js";
import { launch } from "./chromium.js";
import { type Installed, install, remove } from "./installed.js";
import type { Report } from "./page/train.js";

const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript" };

/** Serves a folder on the loopback. */
async function serve(folder: string): Promise<Server> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const file = join(folder, path === "/" ? "index.html" : path);
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describe.skipIf(process.env["CRESSET_SKIP_BROWSER"] === "1")("a page in Chromium", () => {
  let project: Installed | undefined;
  let server: Server | undefined;
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launch();
    project = install();
    server = await serve((await bundlePage(project.folder)).folder);
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
    if (project !== undefined) remove(project.folder);
  });

  it("runs program 01 and trains a classifier on the wasm engine", async () => {
    const page = await browser!.newPage();
    const printed: string[] = [];
    const errors: string[] = [];
    page.on("console", (message) => void (message.type() === "error" ? errors : printed).push(message.text()));
    page.on("pageerror", (error) => void errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server!.address() as AddressInfo).port}/`);
    await page
      .waitForFunction(() => "report" in globalThis, undefined, { timeout: 120_000 })
      .catch((error: unknown) => {
        throw new Error(`the page left no report: ${errors.join("; ") || String(error)}`);
      });
    const { engine, losses, accuracy, milliseconds } = await page.evaluate(
      () => (globalThis as unknown as { report: Report }).report,
    );
    console.log(
      `Chromium ${browser!.version()}: ${losses.length} steps and the test in ${milliseconds.toFixed(0)} ms, accuracy ${accuracy}`,
    );
    expect(errors).toEqual([]);
    expect(printed.slice(0, 3)).toEqual(["5.75", "14", "64"]);
    expect(engine).toBe("wasm");
    const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(mean(losses.slice(-10))).toBeLessThan(0.5 * mean(losses.slice(0, 10)));
    expect(accuracy).toBeGreaterThan(0.6);
  }, 180_000);
});
