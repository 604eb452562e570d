/**
 * A progress bar around anything that can be iterated. The bar itself is cli-progress's; here is what stands beside it, and
 * what happens where there is no terminal: nothing, or a plain line now and then.
 */
import { makeBar } from "#terminal";
import { ValueError } from "../errors.js";

export interface ProgressOptions {
  /** What stands in front of the bar. */
  description?: string;
  /** How many items there are; by default the `length` or `size` of what is iterated. Without it there is no bar but a count. */
  total?: number | undefined;
  /** How many of them were done before: 0 by default. They do not count for the speed. */
  initial?: number;
  /** What an item is called: "it" by default. */
  unit?: string;
  /** False wipes the bar when the loop has ended. */
  leave?: boolean;
  /** False shows nothing. */
  enabled?: boolean;
  /** Where there is no terminal, plain lines go here: `console.log` in a notebook, for instance. By default nothing does. */
  print?: ((line: string) => void) | undefined;
  /** Milliseconds between plain lines; 10,000 by default. The last one always comes. */
  printInterval?: number;
}

/** A progress bar that only `for await` can go through. */
export type AsyncProgress<T> = Omit<Progress<T>, typeof Symbol.iterator>;

/**
 * Shows how far a loop is, how fast it goes and when it will end, in the manner of tqdm: on the terminal where there is one
 * (on stderr, so that results can be piped), silent elsewhere.
 *
 * ```ts
 * import { progress } from "cresset/training";
 *
 * const bar = progress([1, 2, 3], { description: "adding" });
 * let sum = 0;
 * for (const item of bar) {
 *   sum += item;
 *   bar.postfix({ sum });
 * }
 * // adding ━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 100 %  3/3  1,200 it/s  0:00 left  sum 6
 * ```
 *
 * Errors: ValueError for a total that is not a count, and for `for` over what only comes asynchronously.
 */
export function progress<T>(items: Iterable<T>, options?: ProgressOptions): Progress<T>;
export function progress<T>(items: AsyncIterable<T>, options?: ProgressOptions): AsyncProgress<T>;
export function progress<T>(items: Iterable<T> | AsyncIterable<T>, options: ProgressOptions = {}): Progress<T> {
  return new Progress(items, options);
}

type Figure = number | string;

/** What `progress` gives. It can be iterated as often as what is inside it. */
export class Progress<T> implements Iterable<T>, AsyncIterable<T> {
  readonly #items: Iterable<T> | AsyncIterable<T>;
  readonly #options: ProgressOptions;
  #bar: ProgressBar | undefined;

  /** @internal Use `progress`. */
  constructor(items: Iterable<T> | AsyncIterable<T>, options: ProgressOptions) {
    this.#options = { ...options, total: checked(options.total ?? sizeOf(items)) };
    this.#items = items;
  }

  /** Figures that stand behind the bar from now on: a loss, a rate. */
  postfix(figures: Readonly<Record<string, Figure>>): void {
    this.#bar?.postfix(figures);
  }

  /** Changes what stands in front of the bar. */
  describe(text: string): void {
    this.#bar?.describe(text);
  }

  *[Symbol.iterator](): Iterator<T> {
    if (!(Symbol.iterator in this.#items)) throw new ValueError("progress: these items come asynchronously: for await");
    const bar = this.#begin();
    try {
      for (const item of this.#items) {
        yield item;
        bar.update();
      }
    } finally {
      bar.close();
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    const bar = this.#begin();
    try {
      for await (const item of this.#items as AsyncIterable<T>) {
        yield item;
        bar.update();
      }
    } finally {
      bar.close();
    }
  }

  #begin(): ProgressBar {
    this.#bar = new ProgressBar(this.#options);
    return this.#bar;
  }
}

/**
 * The same bar, moved by hand.
 *
 * ```ts
 * import { ProgressBar } from "cresset/training";
 *
 * const bar = new ProgressBar({ total: 1000, unit: "bytes" });
 * bar.update(400);
 * bar.update(600);
 * bar.close();
 * ```
 */
export class ProgressBar {
  readonly #options: ProgressOptions;
  readonly #bar: ReturnType<typeof makeBar>;
  readonly #start = performance.now();
  #printed = this.#start;
  #done: number;
  #description: string;
  #postfix: Readonly<Record<string, Figure>> = {};
  #closed = false;

  constructor(options: ProgressOptions = {}) {
    checked(options.total);
    this.#done = checked(options.initial, "initial") ?? 0;
    this.#options = options;
    this.#description = options.description ?? "";
    if (options.enabled === false) return;
    this.#bar = makeBar({ total: options.total, leave: options.leave ?? true, line: (bar) => this.#line(bar) });
  }

  /** `count` more items are done. */
  update(count = 1): void {
    this.#done += count;
    this.#bar?.update(this.#done);
    if (performance.now() - this.#printed >= (this.#options.printInterval ?? 10_000)) this.#print();
  }

  /** Figures that stand behind the bar from now on. */
  postfix(figures: Readonly<Record<string, Figure>>): void {
    this.#postfix = figures;
  }

  /** Changes what stands in front of the bar. */
  describe(text: string): void {
    this.#description = text;
  }

  /** Draws the last state. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#bar?.stop();
    this.#print();
  }

  #print(): void {
    const { print, enabled } = this.#options;
    if (this.#bar !== undefined || enabled === false || print === undefined) return;
    print(this.#line());
    this.#printed = performance.now();
  }

  #line(bar?: (share: number) => string): string {
    const { total, unit = "it" } = this.#options;
    const done = this.#done;
    const seconds = (performance.now() - this.#start) / 1000;
    const worked = done - (this.#options.initial ?? 0);
    const rate = worked / seconds;
    const parts: string[] = [];
    if (total === undefined) parts.push(`${count(done)} ${unit}`);
    else {
      const share = total === 0 ? 1 : Math.min(1, done / total);
      const drawn = bar === undefined ? "" : `${bar(share)} `;
      parts.push(`${drawn}${Math.floor(100 * share)} %`, `${count(done)}/${count(total)}`);
    }
    parts.push(worked === 0 ? `… ${unit}/s` : `${rateText(rate)} ${unit}/s`);
    if (total !== undefined && worked > 0) parts.push(`${minutes((total - done) / rate)} left`);
    for (const [name, value] of Object.entries(this.#postfix)) {
      parts.push(`${name} ${typeof value === "number" ? figure(value) : value}`);
    }
    return (this.#description === "" ? "" : `${this.#description} `) + parts.join("  ");
  }
}

function checked(value: number | undefined, name = "total"): number | undefined {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
    throw new ValueError(`progress: ${name} is ${value}; it must be a whole number, 0 or more`);
  }
  return value;
}

function sizeOf(items: object): number | undefined {
  const { length, size } = items as { length?: unknown; size?: unknown };
  try {
    return typeof length === "number" ? length : typeof size === "number" ? size : undefined;
  } catch {
    return undefined;
  }
}

const count = (value: number): string => value.toLocaleString("en");
const rateText = (rate: number): string => (rate < 10 ? rate.toFixed(2) : count(Math.round(rate)));
const figure = (value: number): string =>
  Number.isInteger(value) ? count(value) : Number(value.toPrecision(4)).toString();

/** 75 → "1:15", 4000 → "1:06:40". */
export function minutes(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${hours > 0 ? two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}
