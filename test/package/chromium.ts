/** Where a Chromium is, and how it is started for a test. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"];
const places = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

function findChromium(): string {
  const chosen = process.env["CHROMIUM_PATH"];
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const candidates = chosen
    ? [chosen]
    : [...folders.flatMap((folder) => names.map((name) => join(folder, name))), ...places];
  for (const file of candidates) {
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not there: look on.
    }
  }
  const looked = chosen
    ? `CHROMIUM_PATH is ${chosen}, which cannot be run`
    : `looked for ${names.join(", ")} on the PATH`;
  throw new Error(
    `no Chromium: ${looked}. Install one (Debian, Ubuntu: apt-get install chromium; macOS: brew install --cask chromium), ` +
      "name one in CHROMIUM_PATH, or leave this test out with CRESSET_SKIP_BROWSER=1",
  );
}

export function launch(): Promise<Browser> {
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
  ];
  return chromium.launch({ executablePath: findChromium(), headless: true, args, timeout: 60_000 });
}
