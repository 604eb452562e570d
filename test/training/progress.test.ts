/** Progress bars: what is drawn on a terminal, what is printed without one, and that nothing is otherwise. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ProgressBar, progress } from "cresset/training";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

/** What a terminal of 120 columns was sent. */
let sent = "";
const screen = () =>
  sent
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's own
    .replaceAll(/\x1b(\[[\d;?]*[A-Za-z]|\d)/g, "\n")
    .split(/[\r\n]+/)
    .filter((line) => line.trim() !== "");

describe("on a terminal", () => {
  const { isTTY, columns } = process.stderr;
  beforeEach(() => {
    sent = "";
    Object.assign(process.stderr, { isTTY: true, columns: 120 });
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      sent += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    Object.assign(process.stderr, { isTTY, columns });
  });

  it("draws a bar with count, rate, time left and figures", () => {
    const bar = progress([1, 2, 3, 4], { description: "adding", unit: "numbers" });
    let sum = 0;
    for (const item of bar) {
      sum += item;
      bar.postfix({ sum, loss: 0.123456 });
    }
    expect(sum).toBe(10);
    expect(screen().at(-1)).toMatch(
      /^adding ━{28} 100 % {2}4\/4 {2}[\d,.]+ numbers\/s {2}0:00 left {2}sum 10 {2}loss 0\.1235$/,
    );
    expect(screen()[0]).toMatch(/^adding ╌{28} 0 % {2}0\/4 {2}… numbers\/s$/);
  });

  it("counts where the total is not known", async () => {
    async function* stream() {
      yield* ["a", "b"];
    }
    for await (const _ of progress(stream()));
    expect(screen().at(-1)).toMatch(/^2 it {2}[\d,.]+ it\/s$/);
  });

  it("is moved by hand, and by leaving the loop early stays where it was", () => {
    const bar = new ProgressBar({ total: 1000, description: "first" });
    bar.update(400);
    bar.describe("second");
    bar.close();
    bar.close();
    expect(screen().at(-1)).toMatch(/^second ━{11}╌{17} 40 % {2}400\/1,000 /);
    for (const item of progress([1, 2, 3])) if (item === 2) break;
    expect(screen().at(-1)).toMatch(/33 % {2}1\/3/);
  });

  it("counts from where it went on, for the place and not for the speed", () => {
    const bar = new ProgressBar({ total: 10, initial: 8 });
    expect(screen().at(-1)).toMatch(/ 80 % {2}8\/10 {2}… it\/s$/);
    bar.update();
    bar.close();
    expect(screen().at(-1)).toMatch(/ 90 % {2}9\/10 {2}[\d,.]+ it\/s {2}\d+:\d\d left$/);
    expect(() => new ProgressBar({ initial: 0.5 })).toThrow("initial is 0.5");
  });

  it("gets a shorter bar, or none, on a narrow terminal, and is cut instead of wrapped", () => {
    Object.assign(process.stderr, { columns: 50 });
    for (const _ of progress([1, 2], { description: "narrow" }));
    expect(screen().at(-1)).toMatch(/^narrow ━{5,27} 100 % {2}2\/2 .* left$/);
    expect(screen().at(-1)?.length).toBeLessThan(50);
    Object.assign(process.stderr, { columns: 20 });
    for (const _ of progress([1, 2], { description: "narrow" }));
    expect(screen().at(-1)).toMatch(/^narrow {2}100 % {2}2\/2/);
    expect(screen().at(-1)?.length).toBeLessThan(21);
  });

  it("hides no cursor and turns no wrapping off, which a killed process could not undo", () => {
    for (const _ of progress([1]));
    expect(sent).toContain("100 %");
    expect(sent).not.toContain("\x1b[?");
  });

  it("keeps no process alive that has forgotten to close it", () => {
    const script = fileURLToPath(new URL("unclosed.mjs", import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8", timeout: 20_000 });
    expect([status, stderr]).toEqual([0, expect.stringContaining("open ╌")]);
  });

  it("shows nothing when it is not enabled", () => {
    for (const _ of progress([1], { enabled: false }));
    expect(sent).toBe("");
  });
});

describe("without a terminal", () => {
  it("is silent", () => {
    const write = vi.spyOn(process.stderr, "write");
    expect([...progress(new Set([1, 2]))]).toEqual([1, 2]);
    expect(write).not.toHaveBeenCalled();
    write.mockRestore();
  });

  it("prints plain lines where it is told to, the last one always", async () => {
    const lines: string[] = [];
    for (const _ of progress([1, 2], { print: (line) => lines.push(line), printInterval: 0 }));
    expect(lines.map((line) => line.split("  ").slice(0, 2).join(" "))).toEqual(["50 % 1/2", "100 % 2/2", "100 % 2/2"]);
    for await (const _ of progress([], { print: (line) => lines.push(line) }));
    expect(lines.at(-1)).toBe("100 %  0/0  … it/s");
  });

  it("refuses totals that are none, and for over a stream", () => {
    expect(() => progress([1], { total: -1 })).toThrow("total is -1");
    const stream = progress((async function* () {})()) as unknown as Iterable<number>;
    expect(() => [...stream]).toThrow("for await");
  });
});
