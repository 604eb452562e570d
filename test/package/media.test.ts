/** Images, training and loader workers in a page: bundled by Vite as a user would, in a real browser. */
import { cpSync, createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "./bundle.js";
import { launch } from "./chromium.js";
import { beside, type Installed, install, remove } from "./installed.js";
import type { Report } from "./media/main.js";

const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript" };

describe.skipIf(process.env["CRESSET_SKIP_BROWSER"] === "1")("a page in Chromium", () => {
  let project: Installed | undefined;
  let server: Server | undefined;
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launch();
    project = install();
    const root = join(project.folder, "media");
    cpSync(beside("media"), root, { recursive: true });
    const { folder } = await bundle(root);
    server = createServer((request, response) => {
      const path = new URL(request.url ?? "/", "http://localhost").pathname;
      const file = join(folder, path === "/" ? "index.html" : path);
      if (!existsSync(file)) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
      createReadStream(file).pipe(response);
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
    if (project !== undefined) remove(project.folder);
  });

  it("decodes and encodes images, trains with a bar of plain lines, and gets batches from workers", async () => {
    const page = await browser!.newPage();
    const errors: string[] = [];
    page.on("console", (message) => void (message.type() === "error" && errors.push(message.text())));
    page.on("pageerror", (error) => void errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server!.address() as AddressInfo).port}/`);
    await page
      .waitForFunction(() => "report" in globalThis, undefined, { timeout: 60_000 })
      .catch((error: unknown) => {
        throw new Error(`the page left no report: ${errors.join("; ") || String(error)}`);
      });
    const report = await page.evaluate(() => (globalThis as unknown as { report: Report }).report);
    expect(errors).toEqual([]);
    expect(report.lossless).toBe(true);
    expect(report.jpegError).toBeLessThan(0.06);
    expect(report.refused).toMatch(/^image data: is no PNG/);
    expect(report.resized).toEqual([3, 7, 22]);
    expect(report.lines).toEqual([expect.stringMatching(/^page 100 % {2}2\/2 /)]);
    expect(report.loss).toBeGreaterThan(0);
    expect(report.flops).toBeGreaterThan(3);
    expect(report.together).toEqual(report.alone);
    expect(report.noFiles).toMatch(/there are no files in a browser/);
  }, 120_000);
});
