/** What a recording stands on, when it holds, and how it is run again. */
import { isGradEnabled } from "../autograd/mode.js";
import type { Deferred } from "../autograd/tape.js";
import type { Buffer } from "../device/engine.js";
import { defaultDevice } from "../device/index.js";
import { AutogradError } from "../errors.js";
import { markRecorded, structuralChanges } from "../ops/capture.js";
import { freshBuffer, wrap } from "../ops/core.js";
import { type Shape, sameShape } from "../ops/shape.js";
import { Tensor } from "../tensor/index.js";
import { type Place, placesRead, placesWritten } from "./graph.js";
import { optimise } from "./passes.js";
import { Replay } from "./program.js";
import type { Recorder, TouchedLeaf } from "./recorder.js";

/** What stands for a gradient that a compiled step used and did not keep. */
export const lost: Deferred = {
  deferred: true,
  lost: true,
  compute(): never {
    throw new AutogradError(
      "grad: a compiled step has used this gradient and not kept it; compile with { keepGradients: true } to read it",
    );
  },
  keep: () => [],
  release: () => {},
};

export interface ArgumentKind {
  readonly shape: Shape;
  readonly strides: Shape;
  readonly dtype: Tensor["dtype"];
  readonly device: Tensor["device"];
  readonly requiresGrad: boolean;
  readonly offset: number;
  readonly place: Place;
  /** The first argument in the same memory: this one or an earlier one. */
  readonly alias: number;
  /** A parameter: nothing else may stand in its place. */
  readonly fixed: Buffer | null;
}

export interface Output {
  readonly place: Place;
  readonly shape: Shape;
  readonly strides: Shape;
  readonly offset: number;
  readonly dtype: Tensor["dtype"];
  readonly contiguous: boolean;
}

/** A result: made by the function, found by it, or the argument of that number. */
export type Result = Output | Tensor | number;
const isOutput = (r: Result): r is Output => typeof r === "object" && !(r instanceof Tensor);

export interface LeafEnd {
  readonly leaf: Tensor;
  readonly end: "none" | "lost" | "unchanged" | Output;
}

export class Recording {
  readonly madeAt = structuralChanges();
  private readonly grad = isGradEnabled();
  private readonly device = defaultDevice();
  private readonly found = new Set<Buffer>();
  private readonly touched: readonly TouchedLeaf[];
  private readonly guards: readonly (() => boolean)[];
  private readonly oldGradients: readonly Place[];
  private readonly written: readonly Place[];
  private readonly fresh: readonly Place[];
  private readonly replayer: Replay;
  private readonly memory = new Map<Place, { buffer: Buffer; moved: number }>();

  constructor(
    recorder: Recorder,
    private readonly args: readonly ArgumentKind[],
    private readonly rest: readonly unknown[],
    private readonly outputs: readonly Result[],
    private readonly leaves: readonly LeafEnd[],
  ) {
    const needed = new Set<Place>();
    for (const o of outputs) if (isOutput(o) && o.place.kind === "made") needed.add(o.place);
    for (const { end } of leaves) if (typeof end === "object") needed.add(end.place);
    this.fresh = [...needed];
    const steps = optimise(recorder.steps, needed);
    const written = new Set<Place>();
    const used = new Set<Place>(this.fresh);
    for (const step of steps) {
      for (const p of placesWritten(step)) if (p.kind !== "made") written.add(p);
      for (const p of [...placesRead(step), ...placesWritten(step)]) {
        if (p.kind === "argument" || p.kind === "gradient") used.add(p);
        if (p.buffer !== null) {
          this.found.add(p.buffer);
          markRecorded(p.buffer);
        }
      }
    }
    this.touched = [...recorder.leaves.values()];
    this.guards = recorder.guards;
    this.written = [...written];
    this.oldGradients = [...used].filter((p) => p.kind === "gradient");
    this.replayer = new Replay(defaultEngine(args, this.device), steps, used);
  }

  /** Whether these arguments, and the world as it is, are those that were recorded. */
  holds(tensors: readonly Tensor[], rest: readonly unknown[]): boolean {
    const { args } = this;
    if (this.madeAt !== structuralChanges() || this.grad !== isGradEnabled() || this.device !== defaultDevice())
      return false;
    if (tensors.length !== args.length || rest.length !== this.rest.length) return false;
    for (let i = 0; i < rest.length; i++) if (!Object.is(rest[i], this.rest[i])) return false;
    for (let i = 0; i < args.length; i++) {
      const t = tensors[i] as Tensor;
      const a = args[i] as ArgumentKind;
      if (t.dtype !== a.dtype || t.device !== a.device || t.requiresGrad !== a.requiresGrad) return false;
      if (!sameShape(t.shape, a.shape) || !sameShape(t.strides, a.strides)) return false;
      if (a.fixed === null ? this.found.has(t.buffer) : t.buffer !== a.fixed) return false;
      for (let j = 0; j <= i; j++) {
        if ((tensors[j] as Tensor).buffer !== t.buffer) continue;
        if (
          j !== a.alias ||
          (j < i && t.offset - (tensors[j] as Tensor).offset !== a.offset - (args[j] as ArgumentKind).offset)
        )
          return false;
        break;
      }
    }
    for (const { leaf, had, dropped } of this.touched) {
      if (!dropped && (leaf.gradOrDeferred !== null) !== had) return false;
    }
    for (const holds of this.guards) if (!holds()) return false;
    return true;
  }

  /** The results, in their order. */
  replay(tensors: readonly Tensor[]): Tensor[] {
    const { replayer, memory, args } = this;
    const bind = (place: Place, buffer: Buffer, moved: number): void => {
      const known = memory.get(place);
      if (known !== undefined && known.buffer === buffer && known.moved === moved) return;
      memory.set(place, { buffer, moved });
      replayer.bind(place, buffer, moved);
    };
    for (let i = 0; i < args.length; i++) {
      const a = args[i] as ArgumentKind;
      const t = tensors[i] as Tensor;
      if (a.alias === i) bind(a.place, t.buffer, t.offset - a.offset);
    }
    for (const place of this.oldGradients) {
      const { leaf } = this.touched[place.index] as { leaf: Tensor };
      bind(place, (leaf.gradUnseen as Tensor).buffer, 0);
    }
    const device = args[0]?.device ?? this.device;
    for (const place of this.fresh) bind(place, freshBuffer(place.bytes, device), 0);
    replayer.run((place) => memory.get(place) as { buffer: Buffer; moved: number });
    for (const place of this.written) {
      const buffer = memory.get(place)?.buffer ?? (place.buffer as Buffer);
      buffer.version += 1;
    }
    const show = (o: Output): Tensor => {
      const at = memory.get(o.place);
      return wrap(
        at?.buffer ?? (o.place.buffer as Buffer),
        device,
        o.dtype,
        o.shape,
        o.strides,
        o.offset + (at?.moved ?? 0),
        o.contiguous,
      );
    };
    for (const { leaf, end } of this.leaves) {
      if (end === "unchanged" || (end === "lost" && leaf.gradOrDeferred === lost)) continue;
      leaf.dropGrad();
      if (end === "lost") leaf.setDeferred(lost);
      else if (end !== "none") {
        const g = show(end);
        g.buffer.claimed = true;
        leaf.setGrad(g, false);
      }
    }
    const results = this.outputs.map((o) =>
      isOutput(o) ? show(o) : typeof o === "number" ? (tensors[o] as Tensor) : o,
    );
    // What was handed out is the caller's: the next run gets memory of its own.
    for (const place of this.fresh) memory.delete(place);
    return results;
  }
}

const defaultEngine = (args: readonly ArgumentKind[], device: Tensor["device"]) => (args[0]?.device ?? device).engine;

/** What an argument was like when it was recorded. */
export function kindsOf(recorder: Recorder, tensors: readonly Tensor[]): ArgumentKind[] {
  return tensors.map((t) => ({
    shape: t.shape,
    strides: t.strides,
    dtype: t.dtype,
    device: t.device,
    requiresGrad: t.requiresGrad,
    offset: t.offset,
    place: recorder.placeOf(t.buffer),
    alias: tensors.findIndex((other) => other.buffer === t.buffer),
    fixed: t.requiresGrad && t.isLeaf ? t.buffer : null,
  }));
}

export const outputOf = (recorder: Recorder, t: Tensor): Output => ({
  place: recorder.placeOf(t.buffer),
  shape: t.shape,
  strides: t.strides,
  offset: t.offset,
  dtype: t.dtype,
  contiguous: t.contiguous_,
});

/** A result: an argument, what the function made, or what it found and gave back. */
export function resultOf(recorder: Recorder, tensors: readonly Tensor[], t: Tensor): Result {
  const argument = tensors.indexOf(t);
  if (argument >= 0) return argument;
  return recorder.owns(t.buffer) || tensors.some((a) => a.buffer === t.buffer) ? outputOf(recorder, t) : t;
}
