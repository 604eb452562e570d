/**
 * One launch over all parameters, PyTorch's `foreach`. What a step launches is noted once; from then on a step points these
 * launches at its gradients, sets its numbers and runs them as one.
 */
import { type Gradient, isDeferred } from "../autograd/tape.js";
import type { Buffer, Engine } from "../device/engine.js";
import { LaunchList, type PreparedLaunch, type Program } from "../device/program.js";
import { type Capture, withCapture } from "../ops/capture.js";
import { type Launch, observe } from "../ops/launch.js";
import { OuterProduct } from "../ops/outer.js";
import { Tensor } from "../tensor/index.js";
import type { ParamState } from "./state-dict.js";

/** A parameter to be updated. */
export interface Update {
  readonly param: Tensor;
  readonly grad: Gradient;
  readonly state: ParamState;
  /** Which kernels its group's options choose. */
  readonly kind: string;
}

interface Group {
  readonly params: readonly Tensor[];
}

/** The numbers of a launch, which each step computes anew, and how many they are. */
interface Numbers {
  readonly compute: () => readonly number[];
  readonly count: number;
}

/** Sees the launches of a step, and what computed their numbers. */
class Notes implements Capture {
  readonly launches: { engine: Engine; launch: PreparedLaunch; numbers: Numbers | null }[] = [];
  /** No update made state that the next will find. */
  settled = true;
  private pending: Numbers | null = null;

  readonly observe =
    (run: Launch): Launch =>
    (engine, executable, buffers, offsets, params, count, units, work) => {
      const launch = {
        executable,
        buffers: [...buffers],
        offsets: [...offsets],
        params: params.slice(0, count),
        units,
        work,
      };
      this.launches.push({ engine, launch, numbers: this.pending });
      this.pending = null;
      run(engine, executable, buffers, offsets, params, count, units, work);
    };

  numbers(compute: () => readonly number[]): readonly number[] {
    const numbers = compute();
    this.pending = { compute, count: numbers.length };
    return numbers;
  }

  unsettled(): void {
    this.settled = false;
  }

  // The rest is torch.compile's.
  allocated(): void {}
  inspect(): void {}
  guard(): void {}
  gradientChanges(): void {}
  gradientUsed(): void {}
  refuse(what: string): never {
    throw new Error(`foreach: ${what}`);
  }
}

/** A tensor of a parameter's state. */
interface Kept {
  readonly name: string;
  readonly tensor: Tensor;
  readonly buffer: Buffer;
}

/** One parameter's launch, and what it stands on. */
interface Member {
  readonly param: Tensor;
  readonly state: ParamState;
  readonly kind: string;
  /** The memory of the parameter and of its state. */
  readonly buffer: Buffer;
  readonly kept: readonly Kept[];
  readonly outer: boolean;
  /** The operands that are the gradient's. */
  readonly operands: readonly number[];
  readonly compute: () => readonly number[];
  /** Where the numbers begin among the parameters of the launch. */
  readonly from: number;
}

/** The two vectors or the one tensor that a gradient is read from. */
const partsOf = (grad: Gradient): readonly Tensor[] =>
  grad instanceof OuterProduct ? [grad.column, grad.row] : isDeferred(grad) ? [] : [grad];

/** Whether kernels find a part as they found it before: contiguous, of the parameter's dtype and on its device. */
const plain = (part: Tensor, param: Tensor): boolean =>
  part.contiguous_ && part.dtype === param.dtype && part.device === param.device;

export class Foreach {
  private constructor(
    private readonly members: readonly Member[],
    private readonly program: Program,
  ) {}

  /**
   * Does a step by `update`, and gives what does the next ones; null where the next will be another, or where this was not one
   * launch a parameter on one engine.
   */
  static first<U extends Update>(updates: readonly U[], update: (one: U) => void): Foreach | null {
    const notes = new Notes();
    const end = observe(notes.observe);
    const places: number[] = [];
    try {
      withCapture(notes, () => {
        for (const one of updates) {
          update(one);
          places.push(notes.launches.length);
        }
      });
    } finally {
      end();
    }
    const { launches, settled } = notes;
    if (!settled) return null;
    const engine = launches[0]?.engine;
    const members: Member[] = [];
    for (const [i, given] of updates.entries()) {
      const noted = launches[i];
      const { param, state, kind, grad } = given;
      const parts = partsOf(grad);
      if (places[i] !== i + 1 || noted === undefined || noted.engine !== engine || noted.numbers === null) return null;
      if (parts.length === 0 || !parts.every((t) => plain(t, param))) return null;
      const kept = Object.entries(state).flatMap(([name, value]) =>
        value instanceof Tensor ? [{ name, tensor: value, buffer: value.buffer }] : [],
      );
      const { buffers, offsets } = noted.launch;
      const operands = parts.map((t) => buffers.findIndex((b, j) => b === t.buffer && offsets[j] === t.offset));
      const { compute, count } = noted.numbers;
      const from = noted.launch.params.length - count;
      if (operands.includes(-1) || parts.some((t) => t.buffer === param.buffer)) return null;
      members.push({
        param,
        state,
        kind,
        buffer: param.buffer,
        kept,
        outer: grad instanceof OuterProduct,
        operands,
        compute,
        from,
      });
    }
    if (engine === undefined) return null;
    // Nothing here may keep gradients alive: they are bound for a step only.
    const prepared = launches.map(({ launch }, i) => {
      const { operands } = members[i] as Member;
      return { ...launch, buffers: launch.buffers.map((b, j) => (operands.includes(j) ? null : b)) };
    });
    return new Foreach(members, engine.prepare?.(prepared) ?? new LaunchList(engine, prepared));
  }

  /** Does a step, or gives false and does nothing: this one is not like the one that was noted. */
  step<G extends Group>(
    groups: readonly G[],
    states: ReadonlyMap<Tensor, ParamState>,
    kindOf: (group: G) => string,
  ): boolean {
    const { members, program } = this;
    let i = 0;
    for (const group of groups) {
      const kind = kindOf(group);
      for (const param of group.params) {
        const grad = param.gradOrDeferred;
        if (grad === null) continue;
        const member = members[i++];
        if (member === undefined || member.param !== param || member.kind !== kind) return false;
        if (!holds(member, grad, states.get(param))) return false;
      }
    }
    if (i < members.length) return false;
    for (i = 0; i < members.length; i++) {
      const { param, operands, compute, from, buffer, kept } = members[i] as Member;
      const grad = param.gradOrDeferred as Tensor | OuterProduct;
      if (grad instanceof OuterProduct) {
        program.bind(i, operands[0] as number, grad.column.buffer, grad.column.offset);
        program.bind(i, operands[1] as number, grad.row.buffer, grad.row.offset);
      } else program.bind(i, operands[0] as number, grad.buffer, grad.offset);
      const numbers = compute();
      for (let j = 0; j < numbers.length; j++) program.set(i, from + j, numbers[j] as number);
      buffer.version += 1;
      for (let j = 0; j < kept.length; j++) (kept[j] as Kept).buffer.version += 1;
    }
    program.runTogether();
    for (i = 0; i < members.length; i++) {
      const { operands, buffer } = members[i] as Member;
      for (let j = 0; j < operands.length; j++) program.bind(i, operands[j] as number, buffer, 0);
    }
    return true;
  }
}

/** Whether a parameter's memory, its state and its gradient's form are what they were. */
function holds(member: Member, grad: Gradient, state: ParamState | undefined): boolean {
  const { param, kept } = member;
  if (member.buffer !== param.buffer || member.state !== state) return false;
  if (member.outer !== grad instanceof OuterProduct) return false;
  for (let i = 0; i < kept.length; i++) {
    const { name, tensor, buffer } = kept[i] as Kept;
    if (state[name] !== tensor || tensor.buffer !== buffer) return false;
  }
  if (grad instanceof OuterProduct) return plain(grad.column, param) && plain(grad.row, param);
  return !isDeferred(grad) && plain(grad, param);
}
