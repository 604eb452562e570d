/** `torch.compile`: a function recorded once for its kind of arguments, and replayed without its JavaScript. */
import { isDeferred } from "../autograd/tape.js";
import { defaultDevice } from "../device/index.js";
import { capturing, structuralChanges, withCapture } from "../ops/capture.js";
import { observe } from "../ops/launch.js";
import type { Tensor } from "../tensor/index.js";
import { Gradients, standIns } from "./gradients.js";
import { Recorder } from "./recorder.js";
import { kindsOf, type LeafEnd, lost, outputOf, Recording, resultOf } from "./recording.js";
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

/** A function as recorded for one kind of arguments. */
class Compiled {
  constructor(
    readonly recording: Recording,
    private readonly gradients: Gradients | null,
    private readonly build: (tensors: readonly Tensor[]) => unknown,
  ) {}
  run(tensors: readonly Tensor[]): unknown {
    const results = this.recording.replay(tensors);
    this.gradients?.attach(results, tensors);
    return this.build(results);
  }
}

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
 *   compared by identity, and another value is recorded anew. Results are new tensors.
 * - Without a `backward` inside, results have a gradient where they would have one: `torch.compile(model)` can be trained as
 *   `model` can. The gradient is recorded too, and has none of its own.
 * - A recording is made anew when shapes, dtypes, grad mode, a module's `training`, the kind of an optimiser's options or
 *   the modules themselves change. A learning rate may change at any time, and random numbers go on as they would have.
 * - JavaScript in `fn` runs only while it is recorded. A number it takes from outside is what it was then: pass it as an
 *   argument.
 * - What cannot be recorded is a CaptureError that names the line: reading values (`item`, `tolist`, boolean indexing),
 *   optimisers other than those, a scheduler's step.
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
  const known: Compiled[] = [];
  return (...args: never[]): unknown => {
    // Inside another recording it is a part of that.
    if (capturing() !== null) return fn(...args);
    const given = flatten(args, "argument");
    for (let i = 0; i < known.length; i++) {
      const c = known[i] as Compiled;
      if (c.recording.holds(given.tensors, given.rest)) return c.run(given.tensors);
    }
    const { result, compiled } = record(fn, given, keepGradients);
    if (compiled !== null) {
      const current = known.filter((c) => c.recording.madeAt === structuralChanges());
      known.splice(0, known.length, ...current.slice(1 - mostRecordings), compiled);
    }
    return result;
  };
}

/** Runs `fn` for its result, watching. Nothing compiled where the run made state that the next will find. */
function record(
  fn: (...args: never[]) => unknown,
  given: Structure,
  keepGradients: boolean,
): { result: unknown; compiled: Compiled | null } {
  const { tensors, rest } = given;
  const device = tensors[0]?.device ?? defaultDevice();
  // What comes with a graph takes part without it: the graph of the function begins at its arguments.
  const inside = standIns(tensors);
  const recorder = new Recorder(device.engine, inside);
  const stop = observe(recorder.observe);
  let outputs: Structure;
  try {
    const value = withCapture(recorder, () => {
      const value = fn(...(given.build(inside) as never[]));
      for (const { leaf, used } of recorder.leaves.values()) {
        if (inside.includes(leaf) && !tensors.includes(leaf)) recorder.refuse("backward through an argument's graph");
        // A gradient somebody may read is computed in the recording.
        if (isDeferred(leaf.gradOrDeferred ?? leaf) && (keepGradients || !used)) void leaf.gradUnseen;
      }
      return value;
    });
    outputs = flatten([value], "result");
  } finally {
    stop();
  }
  const build = (list: readonly Tensor[]): unknown => (outputs.build(list) as unknown[])[0];
  const live = outputs.tensors.flatMap((t, i) => (t.gradFn !== null && !t.gradFn.released ? [i] : []));
  const settled = recorder.settled;
  const gradients = live.length > 0 ? new Gradients(recorder, inside, outputs.tensors, live) : null;
  const own = (t: Tensor): Tensor => {
    const argument = inside.indexOf(t);
    if (argument >= 0) return tensors[argument] as Tensor;
    return t.gradFn === null ? t : t.detach();
  };
  const results = outputs.tensors.map(own);
  const lent = gradients?.lent ?? [];
  gradients?.connect(results, tensors);
  const result = build(results);
  if (!settled) return { result, compiled: null };
  const ends = [...recorder.leaves.values()].map(({ leaf, used }): LeafEnd => {
    const g = leaf.gradOrDeferred;
    if (g === null) return { leaf, end: "none" };
    if (isDeferred(g) || (recorder.owns(g.buffer) && used && !keepGradients)) return { leaf, end: "lost" };
    return { leaf, end: recorder.owns(g.buffer) ? outputOf(recorder, g) : "unchanged" };
  });
  const shown = [
    ...outputs.tensors.map((t) => resultOf(recorder, inside, t)),
    ...lent.map((t) => outputOf(recorder, t)),
  ];
  const kinds = kindsOf(recorder, inside).map((kind, i) => {
    const t = tensors[i] as Tensor;
    return t === inside[i] ? kind : { ...kind, fixed: null };
  });
  const recording = new Recording(recorder, kinds, rest, shown, ends);
  for (const { leaf, end } of ends) {
    if (end !== "lost") continue;
    leaf.dropGrad();
    leaf.setDeferred(lost);
  }
  return { result, compiled: new Compiled(recording, gradients, build) };
}
