/**
 * What training needs of the terminal and its signals, on Node. The package's `#terminal` import picks this file in Node and
 * `terminal-browser.ts` elsewhere. What is shown is the business of `progress.ts`.
 */
import { createRequire } from "node:module";
import { constants, hostname } from "node:os";

/** A line that is drawn over again. */
export interface Bar {
  update(done: number): void;
  /** Draws the last state, and goes to the next line or wipes the bar. */
  stop(): void;
}

export interface BarOptions {
  readonly total: number | undefined;
  /** The line; `bar` draws a bar for a share from 0 to 1. */
  line(bar: (share: number) => string): string;
  /** False wipes the bar when it is done. */
  readonly leave: boolean;
}

/** Characters of the bar itself; less where the terminal has no room beside the figures. */
const width = 28;

/**
 * A bar on the terminal; undefined where there is none. Cursor and wrapping are left alone, so that whatever ends the process
 * leaves the terminal as it was.
 */
export function makeBar({ total, line, leave }: BarOptions): Bar | undefined {
  const stream = process.stderr;
  if (!stream.isTTY) return undefined;
  // Loaded only where it draws, and at once: a plain `for` loop cannot wait for an import.
  const { SingleBar, Format } = createRequire(import.meta.url)("cli-progress") as typeof import("cli-progress");
  class Unheld extends SingleBar {
    override render(): void {
      super.render();
      // A bar that nobody closes does not keep the process alive.
      (this as unknown as { timer: NodeJS.Timeout | null }).timer?.unref();
    }
  }
  const bar = new Unheld({
    format(options) {
      const room = (stream.columns || 80) - 1 - line(() => "").length;
      const barsize = Math.max(0, Math.min(width, room));
      return line((share) => Format.BarFormat(share, { ...options, barsize }));
    },
    barCompleteChar: "━",
    barIncompleteChar: "╌",
    // Long lines are cut, not wrapped.
    linewrap: true,
    clearOnComplete: !leave,
    // Ctrl-C is the program's: training finishes its step first.
    gracefulExit: false,
    stream,
  });
  bar.start(total ?? 0, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
}

/** npm passes the terminal's signal on a second time; within this many milliseconds it is the same Ctrl-C. */
const echoMs = 500;

/** SIGHUP is left alone: a listener would undo `nohup`. */
const stopSignals = ["SIGINT", "SIGTERM"] as const;
export type StopSignal = (typeof stopSignals)[number];

/** Calls `listener` at the first Ctrl-C or SIGTERM; a second one ends the process. Gives the function that ends it. */
export function onInterrupt(listener: (signal: StopSignal) => void): () => void {
  let at: number | undefined;
  const heard = (signal: StopSignal): void => {
    if (at === undefined) {
      at = performance.now();
      listener(signal);
    } else if (performance.now() - at > echoMs) process.exit(exitCodeOf(signal));
  };
  for (const signal of stopSignals) process.on(signal, heard);
  return () => {
    for (const signal of stopSignals) process.off(signal, heard);
  };
}

/** The exit code of a process that a signal has ended, as shells give it: 130 for Ctrl-C. */
export const exitCodeOf = (signal: StopSignal): number => 128 + constants.signals[signal];

/** This machine and process: part of the names of files that several may write. */
export const processName = (): string => `${hostname().replaceAll(/[^\w.-]/g, "-")}.${process.pid}`;
