/** The bundled page in a real browser: the seed's program 01, and a classifier trained on the wasm engine. */
import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { availableParallelism } from "node:os";
import { extname, join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundlePage } from "./bundle.js";
import { launch } from "./chromium.js";
import { type Installed, install, remove } from "./installed.js";
import type { Report } from "./page/train.js";

const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript" };

/** What a server must say for a page's threads to share memory. */
const isolation = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const headersOf: Record<string, Record<string, string>> = {
  plain: {},
  isolated: isolation,
  strict: { ...isolation, "content-security-policy": "worker-src 'none'" },
};

/** Serves a folder on the loopback, under the name of each set of headers. */
async function serve(folder: string): Promise<Server> {
  const server = createServer((request, response) => {
    const [, kind, ...rest] = new URL(request.url ?? "/", "http://localhost").pathname.split("/");
    const headers = headersOf[kind as string];
    if (headers === undefined) return void response.writeHead(404).end();
    const path = `/${rest.join("/")}`;
    const file = join(folder, path === "/" ? "index.html" : path);
    if (!existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, { ...headers, "content-type": types[extname(file)] ?? "application/octet-stream" });
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

  interface Visit {
    readonly report: Report;
    readonly printed: readonly string[];
    readonly errors: readonly string[];
  }
  async function visit(kind: string): Promise<Visit> {
    const page = await browser!.newPage();
    const printed: string[] = [];
    const errors: string[] = [];
    page.on("console", (message) => void (message.type() === "error" ? errors : printed).push(message.text()));
    page.on("pageerror", (error) => void errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server!.address() as AddressInfo).port}/${kind}/`);
    await page
      .waitForFunction(() => "report" in globalThis, undefined, { timeout: 120_000 })
      .catch((error: unknown) => {
        throw new Error(`the page left no report: ${errors.join("; ") || String(error)}`);
      });
    const report = await page.evaluate(() => (globalThis as unknown as { report: Report }).report);
    await page.close();
    return { report, printed, errors };
  }

  it("runs program 01 and trains a classifier on the wasm engine", async () => {
    const { report, printed, errors } = await visit("plain");
    const { engine, losses, accuracy, milliseconds, threads } = report;
    console.log(
      `Chromium ${browser!.version()}: ${losses.length} steps and the test in ${milliseconds.toFixed(0)} ms, accuracy ${accuracy}`,
    );
    expect(errors).toEqual([]);
    expect(printed.slice(0, 3)).toEqual(["5.75", "14", "64"]);
    expect(engine).toBe("wasm");
    expect(threads).toBe(1);
    const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(mean(losses.slice(-10))).toBeLessThan(0.5 * mean(losses.slice(0, 10)));
    expect(accuracy).toBeGreaterThan(0.6);
    expect(report.loaded).toEqual([[[1, 2.5]], 3]);
  }, 180_000);

  it("uses threads where the page is isolated, and computes the same", async () => {
    const alone = await visit("plain");
    const { report, errors } = await visit("isolated");
    expect(errors).toEqual([]);
    expect(report.threads).toBe(availableParallelism());
    if (report.threads > 1) expect(report.helped).toBeGreaterThan(0);
    expect(alone.report.helped).toBe(0);
    expect(report.losses).toEqual(alone.report.losses);
    expect(report.product).toEqual(alone.report.product);
  }, 240_000);

  it.skipIf(availableParallelism() === 1)(
    "says once that the page's policy allows no workers, and goes on with one thread",
    async () => {
      const { report, printed } = await visit("strict");
      expect(report.threads).toBe(1);
      expect(report.helped).toBe(0);
      expect(printed.filter((line) => line.startsWith("cresset:"))).toEqual([
        "cresset: one thread: the page's content security policy allows no workers from blob:",
      ]);
    },
    180_000,
  );
});
