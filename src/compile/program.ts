/** From a graph to something that runs: memory planned, kernels compiled, launches prepared. */

import type { Buffer, Engine, Executable } from "../device/engine.js";
import { type Each, LaunchList, type PreparedLaunch, type Program } from "../device/program.js";
import { itemBytes } from "../ops/dtype.js";
import { Executables } from "../ops/executables.js";
import { isObserved, launch } from "../ops/launch.js";
import { readNumber } from "../tensor/read.js";
import {
  type Access,
  type CheckStep,
  type LoopStep,
  type Place,
  type ProductStep,
  type Provider,
  placesRead,
  placesWritten,
  type Step,
} from "./graph.js";
import { kernelKey } from "./passes.js";

/** What changes between runs: where a place lies, and how far its start has moved. */
interface Binding {
  readonly launch: number;
  readonly operand: number;
  readonly offset: number;
}
interface Slot {
  readonly provider: Provider;
  readonly uses: readonly { launch: number; param: number; index: number }[];
}
/** Launches up to a look at values. */
interface Segment {
  readonly from: number;
  readonly to: number;
  readonly slots: readonly Slot[];
  readonly check: CheckStep | null;
}

const executables = new Executables();

export class Replay {
  private readonly program: Program;
  private readonly segments: Segment[] = [];
  private readonly bindings = new Map<Place, Binding[]>();
  private readonly home = new Map<Place, { buffer: Buffer; offset: number }>();

  /** `bound`: places whose memory is given anew for each run. */
  constructor(
    private readonly engine: Engine,
    steps: readonly Step[],
    bound: ReadonlySet<Place>,
  ) {
    this.plan(steps, bound);
    const launches: PreparedLaunch[] = [];
    let from = 0;
    let slots = new Map<Provider, { launch: number; param: number; index: number }[]>();
    const close = (check: CheckStep | null): void => {
      const list = [...slots].map(([provider, uses]) => ({ provider, uses }));
      this.segments.push({ from, to: launches.length, slots: list, check });
      from = launches.length;
      slots = new Map();
    };
    for (const step of steps) {
      if (step.kind === "check") {
        close(step);
        continue;
      }
      const launch = launches.length;
      const buffers: (Buffer | null)[] = [];
      const offsets: number[] = [];
      step.accesses.forEach((a, operand) => {
        const at = this.home.get(a.place);
        buffers.push(at?.buffer ?? null);
        if (at !== undefined) offsets.push(a.offset + at.offset / bytesOfOperand(step, operand));
        else {
          offsets.push(a.offset);
          const list = this.bindings.get(a.place) ?? [];
          this.bindings.set(a.place, list);
          list.push({ launch, operand, offset: a.offset });
        }
      });
      const { params, units, work } = step.kind === "loop" ? argumentsOf(step) : step;
      const scalars = step.kind === "opaque" ? [] : step.scalars;
      const base = params.length - scalars.length;
      scalars.forEach((s, i) => {
        if (typeof s === "number") params[base + i] = s;
        else {
          const uses = slots.get(s.provider) ?? [];
          slots.set(s.provider, uses);
          uses.push({ launch, param: base + i, index: s.index });
        }
      });
      const known = step.kind === "loop" ? null : step.executable;
      const executable = known ?? this.compiled(step as LoopStep | ProductStep);
      launches.push({ executable, buffers, offsets, params, units, work });
    }
    close(null);
    this.program = engine.prepare?.(launches) ?? new LaunchList(engine, launches);
  }

  private compiled({ kernel }: LoopStep | ProductStep): Executable {
    return executables.get(this.engine, kernelKey(kernel), () => kernel);
  }

  /** Says where a place lies in the next run: `moved` elements from where it was recorded. */
  bind(place: Place, buffer: Buffer, moved: number): void {
    const list = this.bindings.get(place);
    if (list === undefined) return;
    for (let i = 0; i < list.length; i++) {
      const b = list[i] as Binding;
      this.program.bind(b.launch, b.operand, buffer, b.offset + moved);
    }
  }

  run(locate: (place: Place) => { buffer: Buffer; moved: number }): void {
    for (const { from, to, slots, check } of this.segments) {
      for (let i = 0; i < slots.length; i++) {
        const { provider, uses } = slots[i] as Slot;
        const numbers = provider.compute();
        for (let j = 0; j < uses.length; j++) {
          const u = uses[j] as Slot["uses"][number];
          this.program.set(u.launch, u.param, numbers[u.index] as number);
        }
      }
      this.program.run(from, to, isObserved() ? this.seen : undefined);
      if (check === null) continue;
      check.check(
        check.values.map(({ place, offset, dtype }) => {
          const at = this.home.get(place);
          if (at !== undefined) return readNumber(this.engine, at.buffer, at.offset + offset * itemBytes[dtype], dtype);
          const { buffer, moved } = locate(place);
          return readNumber(this.engine, buffer, (offset + moved) * itemBytes[dtype], dtype);
        }),
      );
    }
  }

  /** With an observer, launches go through the door one by one. */
  private readonly seen: Each = (executable, buffers, offsets, params, units, work) =>
    launch(this.engine, executable, buffers, offsets, params, params.length, units, work);

  /** Gives what the function makes a place in one run of memory, where places that are never alive together may overlap. */
  private plan(steps: readonly Step[], bound: ReadonlySet<Place>): void {
    const life = new Map<Place, { first: number; last: number }>();
    steps.forEach((step, i) => {
      for (const p of [...placesRead(step), ...placesWritten(step)]) {
        const known = life.get(p);
        if (known === undefined) life.set(p, { first: i, last: i });
        else known.last = i;
      }
    });
    const laid: { at: number; bytes: number; first: number; last: number; place: Place }[] = [];
    const made = [...life].filter(([p]) => p.kind === "made" && !bound.has(p));
    let total = 0;
    for (const [place, { first, last }] of made.sort(([a], [b]) => b.bytes - a.bytes)) {
      const bytes = Math.max(64, Math.ceil(place.bytes / 64) * 64);
      const others = laid.filter((o) => o.first <= last && first <= o.last).sort((a, b) => a.at - b.at);
      let at = 0;
      for (const o of others) {
        if (at + bytes <= o.at) break;
        at = Math.max(at, o.at + o.bytes);
      }
      laid.push({ at, bytes, first, last, place });
      total = Math.max(total, at + bytes);
    }
    if (total > 0) {
      const arena = this.engine.alloc(total);
      for (const { place, at } of laid) this.home.set(place, { buffer: arena, offset: at });
    }
    for (const place of life.keys()) {
      if (place.kind === "found" && !bound.has(place))
        this.home.set(place, { buffer: place.buffer as Buffer, offset: 0 });
    }
  }
}

const bytesOfOperand = (step: Exclude<Step, CheckStep>, operand: number): number => {
  if (step.kind === "loop") return itemBytes[(step.kernel.operands[operand] as { type: keyof typeof itemBytes }).type];
  const kernel = step.kind === "product" ? step.kernel : step.executable.kernel;
  // The taps of a convolution are int32.
  return kernel.kind === "loop" || (kernel.kind === "convolution" && operand === 3) ? 4 : itemBytes[kernel.type];
};

/** The argument block after the addresses (see LoopKernel), and what the launch covers. */
function argumentsOf(step: LoopStep): { params: Float64Array; units: number; work: number } {
  const { kernel, sizes, accesses, scalars } = step;
  const axes = sizes.length;
  const params = new Float64Array(axes + axes * accesses.length + scalars.length);
  params.set(sizes);
  accesses.forEach((a: Access, i) => {
    params.set(a.strides, axes + i * axes);
  });
  const product = (list: readonly number[]): number => list.reduce((n, s) => n * s, 1);
  const outer = sizes.slice(0, kernel.outer);
  const down = kernel.vector === "outer" && kernel.outer > 1;
  return { params, units: product(down ? outer.slice(0, -1) : outer), work: product(sizes) };
}
