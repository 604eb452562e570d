/**
 * Collects what happens while a profile runs: launches, seen at the door they all pass, and the ranges that the user names.
 * When no profile runs nobody stands at the door, and a range is a plain call.
 */
import type { Engine } from "../device/engine.js";
import { ValueError } from "../errors.js";
import { observe } from "../ops/launch.js";
import { type Cost, costOf, sizesOf } from "./cost.js";
import { measuring } from "./limit.js";

/** A launch or a range; times in milliseconds of `performance.now()`. */
export interface Span {
  readonly kind: "kernel" | "range";
  readonly name: string;
  readonly start: number;
  end: number;
  /** The innermost range that was open when it began. */
  readonly parent: Span | null;
  readonly cost: Cost | null;
  readonly engine: Engine | null;
  /** Empty unless shapes are recorded. */
  readonly sizes: readonly number[];
}

const running = new Set<Recorder>();
const nothing: readonly number[] = [];

export class Recorder {
  readonly spans: Span[] = [];
  readonly start: number;
  end: number | null = null;
  private readonly open: Span[] = [];
  private readonly leave: () => void;

  constructor(recordShapes: boolean) {
    this.leave = observe((run) => (engine, executable, buffers, offsets, params, count, units, work) => {
      // A profile that began later may still call this one when it has ended.
      if (this.end !== null || measuring) {
        run(engine, executable, buffers, offsets, params, count, units, work);
        return;
      }
      const { kernel } = executable;
      const start = performance.now();
      run(engine, executable, buffers, offsets, params, count, units, work);
      const end = performance.now();
      this.spans.push({
        kind: "kernel",
        name: kernel.name,
        start,
        end,
        parent: this.innermost(),
        cost: costOf(kernel, buffers, offsets, params),
        engine,
        sizes: recordShapes ? sizesOf(kernel, params) : nothing,
      });
    });
    running.add(this);
    this.start = performance.now();
  }

  stop(): void {
    if (this.end !== null) return;
    this.end = performance.now();
    for (const span of this.open) span.end = this.end;
    this.leave();
    running.delete(this);
  }

  begin(name: string): Span {
    const start = performance.now();
    const span: Span = {
      kind: "range",
      name,
      start,
      end: start,
      parent: this.innermost(),
      cost: null,
      engine: null,
      sizes: nothing,
    };
    this.spans.push(span);
    this.open.push(span);
    return span;
  }

  finish(span: Span): void {
    if (this.end !== null) return;
    span.end = performance.now();
    this.open.splice(this.open.lastIndexOf(span), 1);
  }

  private innermost(): Span | null {
    return this.open[this.open.length - 1] ?? null;
  }
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function";

/** Calls `fn`, then `after`: at once, or when the promise that `fn` gives is settled. */
export function around<T>(fn: () => T, after: () => void): T {
  let result: T;
  try {
    result = fn();
  } catch (error) {
    after();
    throw error;
  }
  if (!isPromise(result)) {
    after();
    return result;
  }
  const settled = async (promise: PromiseLike<unknown>): Promise<unknown> => {
    try {
      return await promise;
    } finally {
      after();
    }
  };
  return settled(result) as T;
}

/**
 * Names what happens in `fn` in every profile that runs: a range in the trace, a row of `keyAverages`. Gives what `fn` gives;
 * the range of an async function ends when its promise is settled. Without a profile it is a plain call.
 * https://pytorch.org/docs/stable/generated/torch.autograd.profiler.record_function.html
 *
 * ```ts
 * const x = torch.ones([4, 4]);
 * const profile = torch.profiler.profile(() => {
 *   torch.profiler.recordFunction("square", () => x.matmul(x));
 * });
 * profile.keyAverages().get("square")!.count; // 1
 * ```
 */
export function recordFunction<T>(name: string, fn: () => T): T {
  if (typeof name !== "string" || name === "") throw new ValueError("recordFunction: needs a name, a non-empty string");
  if (running.size === 0) return fn();
  const spans = [...running].map((recorder) => [recorder, recorder.begin(name)] as const);
  return around(fn, () => {
    for (const [recorder, span] of spans) recorder.finish(span);
  });
}
