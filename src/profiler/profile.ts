/** `profile` and what it gives. */
import { writeFileAtomic } from "#files";
import { ValueError } from "../errors.js";
import { EventAverage, KeyAverages } from "./averages.js";
import { around, Recorder, type Span } from "./recorder.js";
import { type ChromeTrace, chromeTrace } from "./trace.js";

export interface ProfileOptions {
  /** Keep the sizes of each launch, for the trace and for `keyAverages({ groupByInputShape: true })`. */
  readonly recordShapes?: boolean;
}

/** What happened between a beginning and `stop`. */
export class Profile {
  private readonly recorder: Recorder;
  private readonly recordShapes: boolean;

  /** Begins at once. @internal Use `profile` or `start`. */
  constructor({ recordShapes = false }: ProfileOptions = {}) {
    this.recordShapes = recordShapes;
    this.recorder = new Recorder(recordShapes);
  }

  /** Ends the profile; what happens later is not in it. A second call does nothing. */
  stop(): void {
    this.recorder.stop();
  }

  /** From beginning to end, in microseconds. */
  get duration(): number {
    return (this.ended("duration") - this.recorder.start) * 1000;
  }

  /**
   * The launches summed by kernel and the ranges summed by name.
   * `groupByInputShape`: launches of one kernel with other sizes are another row.
   */
  keyAverages({ groupByInputShape = false }: { readonly groupByInputShape?: boolean } = {}): KeyAverages {
    this.ended("keyAverages");
    if (groupByInputShape && !this.recordShapes) {
      throw new ValueError("keyAverages: groupByInputShape needs a profile made with { recordShapes: true }");
    }
    const { duration } = this;
    const rows = new Map<string, EventAverage>();
    const rowOf = (span: Span): EventAverage => {
      const sizes = groupByInputShape && span.sizes.length > 0 ? ` [${span.sizes.join(", ")}]` : "";
      const key = `${span.name}${sizes}`;
      const row = rows.get(`${span.kind} ${key}`) ?? new EventAverage(key, span.kind, duration);
      rows.set(`${span.kind} ${key}`, row);
      return row;
    };
    const within = new Map<Span, number>();
    for (const { parent, start, end } of this.recorder.spans) {
      if (parent === null) continue;
      // Of a range that outlives the one it began in (async code), the part that lies in it.
      const part = Math.max(0, Math.min(end, parent.end) - start);
      within.set(parent, (within.get(parent) ?? 0) + part);
    }
    for (const span of this.recorder.spans) {
      const total = (span.end - span.start) * 1000;
      const row = rowOf(span);
      row.add(total, Math.max(0, total - (within.get(span) ?? 0) * 1000));
      if (span.kind !== "kernel") continue;
      const seen = new Set([row]);
      row.addLaunch(span);
      for (let range = span.parent; range !== null; range = range.parent) {
        const outer = rowOf(range);
        // A range inside one of its own name counts once.
        if (!seen.has(outer) && range.end >= span.end) outer.addLaunch(span);
        seen.add(outer);
      }
    }
    return new KeyAverages([...rows.values()], duration);
  }

  /**
   * The profile as Chrome's trace events, for chrome://tracing, ui.perfetto.dev or speedscope: written to a file, or given
   * back where there is no path (in a browser there are no files).
   */
  exportChromeTrace(): ChromeTrace;
  exportChromeTrace(path: string): void;
  exportChromeTrace(path?: string): ChromeTrace | undefined {
    this.ended("exportChromeTrace");
    const trace = chromeTrace(this.recorder.spans, this.recorder.start);
    if (path === undefined) return trace;
    writeFileAtomic(path, JSON.stringify(trace));
    return undefined;
  }

  private ended(what: string): number {
    const { end } = this.recorder;
    if (end === null) throw new ValueError(`${what}: the profile still runs; call stop() first`);
    return end;
  }
}

/**
 * Runs `fn` and gives the profile of it: every kernel that was launched, with its time, bytes and operations. Where `fn` is
 * async, everything counts until its promise is settled. An error in `fn` ends the profile and passes on.
 * https://pytorch.org/docs/stable/profiler.html
 *
 * ```ts
 * const model = new nn.Linear(784, 10);
 * const x = torch.rand([64, 784]);
 * model.forward(x).sum().backward(); // the first step compiles kernels
 * const profile = torch.profiler.profile(() => model.forward(x).sum().backward());
 * console.log(profile.keyAverages().table({ sortBy: "selfCpuTimeTotal", rowLimit: 10 }));
 * profile.exportChromeTrace("trace.json"); // open it in ui.perfetto.dev
 * ```
 */
export function profile(fn: () => PromiseLike<unknown>, options?: ProfileOptions): Promise<Profile>;
export function profile(fn: () => unknown, options?: ProfileOptions): Profile;
export function profile(fn: () => unknown, options: ProfileOptions = {}): Profile | Promise<Profile> {
  if (typeof fn !== "function") throw new ValueError("profile: needs the function to run; see start() for open ends");
  const made = new Profile(options);
  const result = around(fn, () => made.stop());
  return result instanceof Promise ? result.then(() => made) : made;
}

/**
 * Begins a profile that `stop` ends, where one function cannot hold what is of interest.
 *
 * ```ts
 * const profile = torch.profiler.start({ recordShapes: true });
 * torch.ones([8]).add(1);
 * profile.stop();
 * profile.exportChromeTrace().traceEvents.length; // 2: the fill and the sum
 * ```
 */
export const start = (options: ProfileOptions = {}): Profile => new Profile(options);
