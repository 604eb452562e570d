/** Sees a function run once: its launches, the numbers JavaScript gave it, the values it checked, the gradients it left. */
import { userLines } from "../autograd/tape.js";
import type { Buffer, Engine } from "../device/engine.js";
import { CaptureError } from "../errors.js";
import type { Kernel } from "../kernel/ir.js";
import type { Capture } from "../ops/capture.js";
import type { Launch } from "../ops/launch.js";
import type { Tensor } from "../tensor/index.js";
import type { Access, Place, Provider, Scalar, Step } from "./graph.js";

export interface TouchedLeaf {
  readonly leaf: Tensor;
  /** Whether it had a gradient when the function began. */
  had: boolean;
  /** The function forgot that one before it made its own. */
  readonly dropped: boolean;
  used: boolean;
}

export class Recorder implements Capture {
  readonly steps: Step[] = [];
  readonly places = new Map<Buffer, Place>();
  readonly guards: (() => boolean)[] = [];
  readonly leaves = new Map<Tensor, TouchedLeaf>();
  settled = true;
  private readonly made = new Set<Buffer>();
  /** Places of numbers that JavaScript gave. */
  private readonly constants = new Set<Place>();
  private pending: { provider: Provider; numbers: readonly number[] } | null = null;

  constructor(
    private readonly engine: Engine,
    args: readonly Tensor[],
    /** What an outer recording knows of a buffer: memory in its place, or which argument it is. */
    private readonly lookUp: ((buffer: Buffer) => Buffer | number | null) | null = null,
  ) {
    args.forEach((t, index) => {
      if (!this.places.has(t.buffer)) this.place(t.buffer, "argument", index);
    });
  }

  private place(buffer: Buffer, kind: Place["kind"], index = -1): Place {
    const kept = kind === "found" ? buffer : null;
    const place: Place = { id: this.places.size, kind, bytes: buffer.bytes, buffer: kept, index };
    this.places.set(buffer, place);
    return place;
  }

  /** The place of a buffer that a launch is about to use. */
  private find(buffer: Buffer, writes: boolean): Place {
    const known = this.places.get(buffer);
    if (known !== undefined) {
      if (writes && this.constants.has(known))
        this.refuse("changing numbers from JavaScript in place (clone them first)");
      return known;
    }
    if (!this.made.has(buffer)) {
      const outer = this.lookUp?.(buffer) ?? null;
      if (typeof outer === "number") return this.place(buffer, "argument", outer);
      const place = this.place(outer ?? buffer, "found");
      if (outer !== null) this.places.set(buffer, place);
      return place;
    }
    if (writes) return this.place(buffer, "made");
    // Made here, but not by a launch: JavaScript wrote it, and will not write it again. Its memory may be reused, so keep a copy.
    const kept = this.engine.alloc(buffer.bytes);
    this.engine.view(kept).set(this.engine.view(buffer).slice());
    const place: Place = { id: this.places.size, kind: "found", bytes: buffer.bytes, buffer: kept, index: -1 };
    this.places.set(buffer, place);
    this.constants.add(place);
    return place;
  }

  readonly observe =
    (run: Launch): Launch =>
    (engine, executable, buffers, offsets, params, count, units, work) => {
      if (engine !== this.engine) this.refuse("work on a second device");
      const { kernel } = executable;
      const written = writtenOperands(kernel);
      const places = buffers.map((b, i) => this.find(b, written.has(i)));
      if (kernel.kind === "loop") {
        const axes = kernel.outer + kernel.inner;
        const n = buffers.length;
        const accesses = places.map((place, i): Access => {
          const from = axes + i * axes;
          return { place, offset: offsets[i] as number, strides: Array.from(params.subarray(from, from + axes)) };
        });
        const numbers = params.subarray(axes + n * axes, count);
        const pending = this.pending;
        this.pending = null;
        if (pending !== null && pending.numbers.length !== numbers.length) this.refuse(`the numbers of ${kernel.name}`);
        const scalars = Array.from(
          numbers,
          (v, index): Scalar => (pending === null ? v : { provider: pending.provider, index }),
        );
        this.steps.push({ kind: "loop", kernel, sizes: Array.from(params.subarray(0, axes)), accesses, scalars });
      } else {
        const accesses = places.map((place, i): Access => ({ place, offset: offsets[i] as number, strides: [] }));
        const rest = { executable, accesses, written, params: params.slice(0, count), units, work };
        if (kernel.kind === "matmul") this.steps.push({ kind: "product", kernel, ...rest, scalars: [] });
        else this.steps.push({ kind: "opaque", ...rest });
      }
      run(engine, executable, buffers, offsets, params, count, units, work);
    };

  allocated(buffer: Buffer): void {
    this.made.add(buffer);
  }

  numbers(compute: () => readonly number[]): readonly number[] {
    const numbers = compute();
    this.pending = { provider: { compute }, numbers };
    return numbers;
  }

  inspect(values: readonly Tensor[], check: (numbers: readonly number[]) => void): void {
    this.steps.push({
      kind: "check",
      values: values.map((t) => ({ place: this.find(t.buffer, false), offset: t.offset, dtype: t.dtype })),
      check,
    });
  }

  guard(holds: () => boolean): void {
    this.guards.push(holds);
  }

  gradientChanges(leaf: Tensor, dropped: boolean): void {
    if (this.leaves.has(leaf)) return;
    const touched: TouchedLeaf = { leaf, had: false, dropped, used: false };
    this.leaves.set(leaf, touched);
    if (dropped) return;
    const before = leaf.gradUnseen;
    touched.had = before !== null;
    if (before !== null && !this.places.has(before.buffer) && !this.made.has(before.buffer)) {
      this.place(before.buffer, "gradient", this.leaves.size - 1);
    }
  }

  gradientUsed(leaf: Tensor): void {
    this.gradientChanges(leaf, false);
    (this.leaves.get(leaf) as TouchedLeaf).used = true;
  }

  unsettled(): void {
    this.settled = false;
  }

  refuse(what: string): never {
    const where = userLines(new Error().stack ?? "");
    throw new CaptureError(`torch.compile: ${what} cannot be recorded; it happened\n${where}`);
  }

  /** Whether the function made that memory. */
  owns(buffer: Buffer): boolean {
    return this.made.has(buffer);
  }

  /** What the recording knows of a buffer. */
  placeFor(buffer: Buffer): Place | null {
    return this.places.get(buffer) ?? null;
  }

  /** The place of memory that the function was given, made or found. */
  placeOf(buffer: Buffer): Place {
    return this.find(buffer, false);
  }
}

function writtenOperands(kernel: Kernel): Set<number> {
  if (kernel.kind === "loop") return new Set(kernel.stores.map((s) => s.operand));
  if (kernel.kind === "convolution" && kernel.pass === "weights") return new Set([1]);
  return new Set([2]);
}
