/**
 * Gradients of compiled functions. What a function leaves of a graph becomes one node: its backward is recorded too, and
 * reads what the forward recording lends it, memory that is given out anew with each call.
 */
import { grad } from "../autograd/backward.js";
import { isGradEnabled } from "../autograd/mode.js";
import { leavesBelow, record } from "../autograd/tape.js";
import type { Buffer } from "../device/engine.js";
import { AutogradError } from "../errors.js";
import { withCapture } from "../ops/capture.js";
import { wrap } from "../ops/core.js";
import { onesLike, zeros } from "../ops/creation.js";
import { observe } from "../ops/launch.js";
import { contiguous } from "../ops/view.js";
import type { Tensor } from "../tensor/index.js";
import { Recorder } from "./recorder.js";
import { kindsOf, Recording, resultOf } from "./recording.js";

/** The arguments, and in the place of those that come with a graph, leaves in the same memory. */
export function standIns(tensors: readonly Tensor[]): Tensor[] {
  return tensors.map((t) => (t.gradFn === null || !isGradEnabled() ? t : t.detach().requiresGrad_()));
}

/** Where a gradient goes: a leaf that the function found, or the argument of that number. */
type Target = Tensor | number;

export class Gradients {
  /** Of the recorded call, until its results are connected; nothing else of it is kept. */
  private first: {
    readonly roots: readonly Tensor[];
    readonly targets: readonly Tensor[];
    readonly lent: Tensor[];
  } | null;
  private readonly count: number;
  private readonly to: readonly Target[];
  private readonly recording: Recording;
  /** For each result of the recording, the target it belongs to; targets that get nothing are left out. */
  private readonly reached: readonly number[];
  /** Arguments that the backward recording reads. */
  private readonly read: readonly number[];

  constructor(
    forward: Recorder,
    inside: readonly Tensor[],
    outputs: readonly Tensor[],
    private readonly live: readonly number[],
  ) {
    const roots = live.map((i) => outputs[i] as Tensor);
    const targets = leavesBelow(roots);
    this.to = targets.map((t) => (inside.includes(t) ? inside.indexOf(t) : t));
    const seeds = roots.map((r) => onesLike(r.detach()));
    const device = (roots[0] as Tensor).device;
    // What the forward function made or was given comes as arguments, in the order in which it is first read.
    const lent: Tensor[] = [];
    const read: number[] = [];
    const borrowed: Tensor[] = [];
    const recorder = new Recorder(device.engine, seeds, (buffer: Buffer) => {
      const place = forward.placeFor(buffer);
      if (place === null || place.kind === "gradient") return null;
      if (place.kind === "found") return place.buffer;
      if (place.kind === "argument") read.push(place.index);
      else lent.push(wrap(buffer, device, "uint8", [buffer.bytes], [1], 0, true));
      borrowed.push(place.kind === "argument" ? (inside[place.index] as Tensor).detach() : (lent.at(-1) as Tensor));
      return seeds.length + borrowed.length - 1;
    });
    const stop = observe(recorder.observe);
    let found: (Tensor | null)[];
    try {
      found = withCapture(recorder, () =>
        grad(roots, targets, { gradOutputs: seeds, retainGraph: true, allowUnused: true }),
      );
    } finally {
      stop();
    }
    this.reached = found.flatMap((g, i) => (g === null ? [] : [i]));
    const all = [...seeds, ...borrowed];
    const results = this.reached.map((i) => resultOf(recorder, all, found[i] as Tensor));
    // Lent memory first, then arguments: the order in which a call has them at hand.
    const order = [
      ...seeds,
      ...lent,
      ...read.map((i) => borrowed.find((b) => b.buffer === (inside[i] as Tensor).buffer) as Tensor),
    ];
    this.first = { roots, targets, lent };
    this.count = outputs.length;
    this.read = read;
    this.recording = new Recording(
      recorder,
      kindsOf(recorder, order),
      [],
      results.map((r) => (typeof r === "number" ? order.indexOf(all[r] as Tensor) : r)),
      [],
    );
  }

  private get recorded() {
    if (this.first === null) throw new AutogradError("torch.compile: the recorded call was connected before");
    return this.first;
  }

  /** What the backward recording reads of what the forward one made. */
  get lent(): readonly Tensor[] {
    return this.recorded.lent;
  }

  /** Gives results of a replay their place on the tape. What was lent follows them in the list. */
  attach(results: Tensor[], args: readonly Tensor[]): void {
    const lent = results.splice(this.count);
    // What no result shares is the graph's alone, and goes with it.
    for (const { buffer } of lent) buffer.transient = !results.some((r) => r.buffer === buffer);
    const saved = [...lent, ...this.read.map((i) => args[i] as Tensor)];
    this.node(results, args, saved, (seeds, load) =>
      this.recording.replay([...seeds, ...saved.map((_, i) => load(i))]),
    );
  }

  /** A node from the targets to the live results. */
  private node(
    results: readonly Tensor[],
    args: readonly Tensor[],
    saved: readonly Tensor[],
    backward: (seeds: readonly Tensor[], load: (i: number) => Tensor) => readonly (Tensor | null)[],
  ): void {
    const outs = this.live.map((i) => results[i] as Tensor);
    const inputs = this.to.map((t) => (typeof t === "number" ? (args[t] as Tensor) : t));
    const metas = outs.map(({ shape, dtype, device }) => ({ shape, dtype, device }));
    record(
      "compiled",
      inputs,
      outs,
      saved.map((t) => t.detach()),
      (grads, node) => {
        if (isGradEnabled()) {
          throw new AutogradError(
            "backward: the gradient of a compiled function has none itself; leave it uncompiled for createGraph",
          );
        }
        const seeds = metas.map((m, i) => {
          const g = grads[i];
          return g === null || g === undefined ? zeros(m.shape, m) : contiguous(g);
        });
        const found = backward(seeds, (i) => node.input(i));
        const out = new Array<Tensor | null>(inputs.length).fill(null);
        this.reached.forEach((target, i) => {
          out[target] = found[i] ?? null;
        });
        return out;
      },
    );
  }

  /** Gives results of the recorded call theirs: its own graph, walked as it is. */
  connect(results: readonly Tensor[], args: readonly Tensor[]): void {
    const { roots, targets } = this.recorded;
    this.first = null;
    this.node(results, args, [], (seeds) => {
      const found = grad(roots, targets, { gradOutputs: seeds, retainGraph: true, allowUnused: true });
      return this.reached.map((i) => found[i] ?? null);
    });
  }
}
