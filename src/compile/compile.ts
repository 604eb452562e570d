/** `torch.compile`: a function recorded once for its kind of arguments, and replayed without its JavaScript. */
import { isGradEnabled } from "../autograd/mode.js";
import { type Deferred, isDeferred } from "../autograd/tape.js";
import type { Buffer } from "../device/engine.js";
import { defaultDevice } from "../device/index.js";
import { AutogradError, CaptureError } from "../errors.js";
import { capturing, markRecorded, structuralChanges, withCapture } from "../ops/capture.js";
import { freshBuffer, wrap } from "../ops/core.js";
import { observe } from "../ops/launch.js";
import { type Shape, sameShape } from "../ops/shape.js";
import { Tensor } from "../tensor/index.js";
import { type Place, placesRead, placesWritten } from "./graph.js";
import { optimise } from "./passes.js";
import { Replay } from "./program.js";
import { Recorder } from "./recorder.js";
import { flatten, type Structure } from "./structure.js";

export interface CompileOptions {
  /**
   * Keep the gradients that an optimiser's step inside the function has used. They are temporaries otherwise: reading such a
   * `.grad` afterwards is an AutogradError.
   */
  keepGradients?: boolean;
}

/** Recordings of one function; the oldest goes when there are more. */
const mostRecordings = 16;

/** What stands for a gradient that a compiled step used and did not keep. */
const lost: Deferred = {
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

interface ArgumentKind {
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

interface Output {
  readonly place: Place;
  readonly shape: Shape;
  readonly strides: Shape;
  readonly offset: number;
  readonly dtype: Tensor["dtype"];
  readonly contiguous: boolean;
}

/** A result: made by the function, found by it, or the argument of that number. */
type Result = Output | Tensor | number;
const isOutput = (r: Result): r is Output => typeof r === "object" && !(r instanceof Tensor);

interface LeafEnd {
  readonly leaf: Tensor;
  readonly end: "none" | "lost" | "unchanged" | Output;
}

class Recording {
  readonly madeAt = structuralChanges();
  private readonly grad = isGradEnabled();
  private readonly device = defaultDevice();
  private readonly found = new Set<Buffer>();
  private readonly written: readonly Place[];
  private readonly fresh: readonly Place[];
  private readonly replayer: Replay;
  private readonly memory = new Map<Place, { buffer: Buffer; moved: number }>();

  constructor(
    private readonly recorder: Recorder,
    private readonly args: readonly ArgumentKind[],
    private readonly rest: readonly unknown[],
    private readonly outputs: readonly Result[],
    private readonly build: (tensors: readonly Tensor[]) => unknown,
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
        if (p.kind === "found") {
          this.found.add(p.buffer);
          markRecorded(p.buffer);
        }
      }
    }
    this.written = [...written];
    this.oldGradients = [...used].filter((p) => p.kind === "gradient");
    this.replayer = new Replay(defaultEngine(args, this.device), steps, used);
  }
  private readonly oldGradients: readonly Place[];

  get launches(): number {
    return this.replayer.launches;
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
    for (const { leaf, before, dropped } of this.recorder.leaves.values()) {
      if (!dropped && (leaf.gradOrDeferred === null) !== (before === null)) return false;
    }
    for (const holds of this.recorder.guards) if (!holds()) return false;
    return true;
  }

  replay(tensors: readonly Tensor[]): unknown {
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
      const { leaf } = [...this.recorder.leaves.values()][place.index] as { leaf: Tensor };
      bind(place, (leaf.gradUnseen as Tensor).buffer, 0);
    }
    const device = args[0]?.device ?? this.device;
    for (const place of this.fresh) bind(place, freshBuffer(place.bytes, device), 0);
    replayer.run((place) => memory.get(place) as { buffer: Buffer; moved: number });
    for (const place of this.written) {
      const buffer = memory.get(place)?.buffer ?? place.buffer;
      buffer.version += 1;
    }
    const show = (o: Output): Tensor => {
      const at = memory.get(o.place);
      return wrap(
        at?.buffer ?? o.place.buffer,
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
    const results = this.build(
      this.outputs.map((o) => (isOutput(o) ? show(o) : typeof o === "number" ? (tensors[o] as Tensor) : o)),
    );
    // What was handed out is the caller's: the next run gets memory of its own.
    for (const place of this.fresh) memory.delete(place);
    return results;
  }
}

const defaultEngine = (args: readonly ArgumentKind[], device: Tensor["device"]) => (args[0]?.device ?? device).engine;

/**
 * The same function, without its JavaScript: the first call for arguments of these shapes and dtypes runs `fn` and records
 * every kernel it launches; later calls replay them, fused, in memory planned once. Modules, losses, `backward` and the
 * steps of SGD, Adam and AdamW are recorded like any operation, so a whole training step becomes a handful of launches.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn, optim } from "cresset";
 *
 * const model = new nn.Linear(4, 1);
 * const optimiser = new optim.SGD(model.parameters(), { lr: 0.1 });
 * const step = torch.compile((x: torch.Tensor, y: torch.Tensor) => {
 *   optimiser.zeroGrad();
 *   const loss = nn.functional.mseLoss(model.forward(x), y);
 *   loss.backward();
 *   optimiser.step();
 *   return loss;
 * });
 * for (let i = 0; i < 100; i++) step(torch.ones([8, 4]), torch.zeros([8, 1]));
 * ```
 *
 * - Arguments and results are tensors, or arrays and plain objects of them; numbers, strings, booleans and anything else are
 *   compared by identity, and another value is recorded anew. Results are new tensors, outside any graph.
 * - A recording is made anew when shapes, dtypes, grad mode, a module's `training`, the kind of an optimiser's options or
 *   the modules themselves change. A learning rate may change at any time, and random numbers go on as they would have.
 * - JavaScript in `fn` runs only while it is recorded. A number it takes from outside is what it was then: pass it as an
 *   argument.
 * - What cannot be recorded is a CaptureError that names the line: reading values (`item`, `tolist`, boolean indexing),
 *   results that still have a graph, optimisers other than those, a scheduler's step.
 *
 * A module may stand in the function's place: its `forward` is compiled.
 * Source: https://docs.pytorch.org/docs/stable/generated/torch.compile.html
 */
export function compile<F extends (...args: never[]) => unknown>(fn: F, options?: CompileOptions): F;
export function compile<M extends { forward: (...args: never[]) => unknown }>(
  module: M,
  options?: CompileOptions,
): M["forward"];
export function compile(
  target: ((...args: never[]) => unknown) | { forward: (...args: never[]) => unknown },
  { keepGradients = false }: CompileOptions = {},
): (...args: never[]) => unknown {
  const fn = typeof target === "function" ? target : (...args: never[]) => target.forward(...args);
  const recordings: Recording[] = [];
  const compiled = (...args: never[]): unknown => {
    // Inside another recording it is a part of that.
    if (capturing() !== null) return fn(...args);
    const { tensors, rest } = flatten(args, "argument");
    for (let i = 0; i < recordings.length; i++) {
      const r = recordings[i] as Recording;
      if (r.holds(tensors, rest)) return r.replay(tensors);
    }
    const { result, recording } = record(fn, args, tensors, rest, keepGradients);
    if (recording !== null) {
      const current = structuralChanges();
      if (recordings.length >= mostRecordings || recordings.some((r) => r.madeAt !== current)) {
        recordings.splice(
          0,
          recordings.length,
          ...recordings.filter((r) => r.madeAt === current).slice(1 - mostRecordings),
        );
      }
      recordings.push(recording);
    }
    return result;
  };
  return compiled;
}

/** Runs `fn` for its result, watching. No recording where the run made state that the next will find. */
function record(
  fn: (...args: never[]) => unknown,
  args: never[],
  tensors: readonly Tensor[],
  rest: readonly unknown[],
  keepGradients: boolean,
): { result: unknown; recording: Recording | null } {
  const device = tensors[0]?.device ?? defaultDevice();
  const recorder = new Recorder(device.engine, tensors);
  const stop = observe(recorder.observe);
  let result: unknown;
  let outputs: Structure;
  try {
    result = withCapture(recorder, () => {
      const value = fn(...args);
      for (const { leaf, used } of recorder.leaves.values()) {
        // A gradient somebody may read is computed in the recording.
        if (isDeferred(leaf.gradOrDeferred ?? leaf) && (keepGradients || !used)) void leaf.gradUnseen;
      }
      return value;
    });
    outputs = flatten([result], "result");
  } finally {
    stop();
  }
  for (const t of outputs.tensors) {
    if (t.gradFn !== null && !t.gradFn.released) {
      throw new CaptureError(
        `torch.compile: a result of shape (${t.shape.join(", ")}) still has a graph; call backward inside the function, ` +
          "return .detach(), or run the function under torch.noGrad",
      );
    }
  }
  if (!recorder.settled) return { result, recording: null };
  const outputOf = (t: Tensor): Output => ({
    place: recorder.placeOf(t.buffer),
    shape: t.shape,
    strides: t.strides,
    offset: t.offset,
    dtype: t.dtype,
    contiguous: t.contiguous_,
  });
  const ends = [...recorder.leaves.values()].map(({ leaf, used }): LeafEnd => {
    const g = leaf.gradOrDeferred;
    if (g === null) return { leaf, end: "none" };
    if (isDeferred(g) || (recorder.owns(g.buffer) && used && !keepGradients)) return { leaf, end: "lost" };
    return { leaf, end: recorder.owns(g.buffer) ? outputOf(g) : "unchanged" };
  });
  const kinds = tensors.map(
    (t): ArgumentKind => ({
      shape: t.shape,
      strides: t.strides,
      dtype: t.dtype,
      device: t.device,
      requiresGrad: t.requiresGrad,
      offset: t.offset,
      place: recorder.placeOf(t.buffer),
      alias: tensors.findIndex((other) => other.buffer === t.buffer),
      fixed: t.requiresGrad && t.isLeaf ? t.buffer : null,
    }),
  );
  const results = outputs.tensors.map((t): Result => {
    const argument = tensors.indexOf(t);
    if (argument >= 0) return argument;
    return recorder.owns(t.buffer) || tensors.some((a) => a.buffer === t.buffer) ? outputOf(t) : t;
  });
  const build = (list: readonly Tensor[]): unknown => (outputs.build(list) as unknown[])[0];
  const recording = new Recording(recorder, kinds, rest, results, build, ends);
  for (const { leaf, end } of ends) {
    if (end !== "lost") continue;
    leaf.dropGrad();
    leaf.setDeferred(lost);
  }
  return { result: build(outputs.tensors.map((t) => (t.gradFn === null ? t : t.detach()))), recording };
}
