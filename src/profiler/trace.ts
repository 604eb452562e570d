/**
 * A profile as Chrome's trace events (chrome://tracing, ui.perfetto.dev, speedscope):
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
import type { Span } from "./recorder.js";

export interface TraceEvent {
  readonly name: string;
  readonly cat: "kernel" | "user_annotation";
  /** A complete event: it has a begin and a duration. */
  readonly ph: "X";
  /** Microseconds since the profile began. */
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, number | string | readonly number[]>>;
}
export interface ChromeTrace {
  readonly displayTimeUnit: "ms";
  readonly traceEvents: readonly TraceEvent[];
}

/**
 * Events of one track must nest. Those of synchronous code do; ranges of async functions that overlap get a track each,
 * the lowest that holds them.
 */
function trackOf(span: Span, tracks: Span[][]): number {
  for (let i = 0; ; i++) {
    const open = tracks[i] ?? [];
    tracks[i] = open;
    while (open.length > 0 && (open[open.length - 1] as Span).end <= span.start) open.pop();
    const outer = open[open.length - 1];
    if (outer === undefined || outer.end >= span.end) {
      open.push(span);
      return i;
    }
  }
}

export function chromeTrace(spans: readonly Span[], origin: number): ChromeTrace {
  const tracks: Span[][] = [];
  const sorted = [...spans].sort((a, b) => a.start - b.start || b.end - a.end);
  const traceEvents = sorted.map((span): TraceEvent => {
    const ts = Math.round((span.start - origin) * 1e6) / 1e3;
    const end = Math.round((span.end - origin) * 1e6) / 1e3;
    return {
      name: span.name,
      cat: span.kind === "kernel" ? "kernel" : "user_annotation",
      ph: "X",
      ts,
      dur: Math.round((end - ts) * 1e3) / 1e3,
      pid: 0,
      tid: trackOf(span, tracks),
      args: {
        ...(span.engine === null ? {} : { engine: span.engine.name }),
        ...(span.sizes.length === 0 ? {} : { sizes: span.sizes }),
        ...(span.cost === null ? {} : { bytes: span.cost.bytes, flops: span.cost.flops }),
      },
    };
  });
  return { displayTimeUnit: "ms", traceEvents };
}
