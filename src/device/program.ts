/** Launches prepared once and run many times: what `torch.compile` leaves of a function, and an optimiser's step over all parameters. */
import type { Buffer, Engine, Executable } from "./engine.js";

export interface PreparedLaunch {
  readonly executable: Executable;
  /** Null: bound before each run. */
  readonly buffers: readonly (Buffer | null)[];
  readonly offsets: readonly number[];
  readonly params: Float64Array;
  readonly units: number;
  readonly work: number;
}

/** Runs one launch, and may look at it. */
export type Each = (
  executable: Executable,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
  units: number,
  work: number,
) => void;

export interface Program {
  /** Points an operand of a launch to `offset` elements into `buffer`. */
  bind(launch: number, operand: number, buffer: Buffer, offset: number): void;
  /** Sets a number that follows the addresses in the argument block. */
  set(launch: number, param: number, value: number): void;
  /** Runs the launches from `from` to before `to`; one at a time through `each`, if it is given. */
  run(from: number, to: number, each?: Each): void;
  /** Runs all launches, of which none needs what another does, as one. */
  runTogether(): void;
}

/** On any engine: one launch after another. */
export class LaunchList implements Program {
  private readonly buffers: Buffer[][];
  private readonly offsets: number[][];

  constructor(
    private readonly engine: Engine,
    private readonly launches: readonly PreparedLaunch[],
  ) {
    this.buffers = launches.map((l) => [...l.buffers] as Buffer[]);
    this.offsets = launches.map((l) => [...l.offsets]);
  }

  bind(launch: number, operand: number, buffer: Buffer, offset: number): void {
    (this.buffers[launch] as Buffer[])[operand] = buffer;
    (this.offsets[launch] as number[])[operand] = offset;
  }

  set(launch: number, param: number, value: number): void {
    (this.launches[launch] as PreparedLaunch).params[param] = value;
  }

  run(from: number, to: number, each: Each = this.plainly): void {
    for (let i = from; i < to; i++) {
      const { executable, params, units, work } = this.launches[i] as PreparedLaunch;
      each(executable, this.buffers[i] as Buffer[], this.offsets[i] as number[], params, units, work);
    }
  }

  runTogether(): void {
    this.run(0, this.launches.length);
  }

  private readonly plainly: Each = (executable, buffers, offsets, params, units, work) =>
    this.engine.launch(executable, buffers, offsets, params, params.length, units, work);
}
