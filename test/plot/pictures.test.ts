/**
 * How figures look: each kind, light and dark, as PNG and as a page in Chromium, against the pictures of
 * test/plot/pictures. Text is left out of the comparison, so that no font makes a difference; it is laid out by rules
 * that know no font, so all else stays in its place. `UPDATE_PICTURES=1 npx vitest run test/plot/pictures` makes the
 * pictures anew: look at them before they are committed.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decode, encode } from "fast-png";
import pixelmatch from "pixelmatch";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rasterize } from "../../src/plot/raster-node.js";
import { launch } from "../package/chromium.js";
import { gallery } from "./gallery.js";

const themes = ["light", "dark"] as const;
const figures = gallery();
const cases = Object.keys(figures).flatMap((name) => themes.map((theme) => [name, theme] as const));
const pictureOf = (name: string, theme: string) =>
  fileURLToPath(new URL(`pictures/${name}-${theme}.png`, import.meta.url));
const withoutText = (svg: string): string => svg.replace(/<text[\s\S]*?<\/text>/g, "");

/** The share of pixels that differ from the kept picture. */
function difference(png: Uint8Array, name: string, theme: string): number {
  const seen = decode(png);
  const kept = decode(readFileSync(pictureOf(name, theme)));
  // A browser rounds a page's sizes.
  expect(Math.abs(seen.width - kept.width)).toBeLessThanOrEqual(1);
  expect(Math.abs(seen.height - kept.height)).toBeLessThanOrEqual(1);
  const width = Math.min(seen.width, kept.width);
  const height = Math.min(seen.height, kept.height);
  const part = ({ data, width: across, channels }: typeof seen): Uint8Array => {
    const out = new Uint8Array(width * height * 4).fill(255);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < 3; c++) out[(y * width + x) * 4 + c] = data[(y * across + x) * channels + c]!;
      }
    }
    return out;
  };
  return pixelmatch(part(seen), part(kept), undefined, width, height, { threshold: 0.15 }) / (width * height);
}

describe("pictures", () => {
  it.each(cases)("%s, %s, as PNG", async (name, theme) => {
    const png = await rasterize(withoutText(await figures[name]!.svg({ theme })), 1);
    if (process.env["UPDATE_PICTURES"]) {
      mkdirSync(fileURLToPath(new URL("pictures", import.meta.url)), { recursive: true });
      writeFileSync(pictureOf(name, theme), encode(decode(png)));
    }
    expect(difference(png, name, theme)).toBeLessThan(0.002);
  });

  it("are told apart", async () => {
    const png = await rasterize(withoutText(await figures["bar"]!.svg({ theme: "light" })), 1);
    expect(difference(png, "hist", "light")).toBeGreaterThan(0.01);
    expect(difference(png, "bar", "dark")).toBeGreaterThan(0.9);
  });
});

describe.skipIf(process.env["CRESSET_SKIP_BROWSER"] === "1")("pages in Chromium", () => {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launch();
  }, 60_000);
  afterAll(() => browser?.close());

  it.each(cases)("%s, %s", async (name, theme) => {
    const page = await browser!.newPage({ colorScheme: theme, viewport: { width: 1400, height: 1000 } });
    const problems: string[] = [];
    page.on("console", (message) => void problems.push(message.text()));
    page.on("pageerror", (error) => void problems.push(String(error)));
    await page.setContent(await figures[name]!.html());
    // Text is inside the figure, wherever this machine's fonts put it.
    const outside = await page.evaluate((shown) => {
      const svg = document.querySelector(`figure.${shown} svg`)!;
      const frame = svg.getBoundingClientRect();
      return [...svg.querySelectorAll("text")]
        .filter((text) => {
          const box = text.getBoundingClientRect();
          const slack = 2;
          return (
            box.left < frame.left - slack ||
            box.right > frame.right + slack ||
            box.top < frame.top - slack ||
            box.bottom > frame.bottom + slack
          );
        })
        .map((text) => text.textContent);
    }, theme);
    await page.addStyleTag({ content: "text { display: none } body { display: block !important }" });
    const png = await page.locator(`figure.${theme} svg`).screenshot();
    await page.close();
    expect(outside).toEqual([]);
    expect(problems).toEqual([]);
    // Another renderer: edges are blended differently.
    expect(difference(png, name, theme)).toBeLessThan(0.02);
  });
});
