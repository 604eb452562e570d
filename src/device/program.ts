/** Launches prepared once and run many times: what `torch.compile` leaves of a function. */
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

export interface Program {
  /** Points an operand of a launch to `offset` elements into `buffer`. */
  bind(launch: number, operand: number, buffer: Buffer, offset: number): void;
  /** Sets a number that follows the addresses in the argument block. */
  set(launch: number, param: number, value: number): void;
  /** Runs the launches from `from` to before `to`. */
  run(from: number, to: number): void;
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

  run(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const { executable, params, units, work } = this.launches[i] as PreparedLaunch;
      const buffers = this.buffers[i] as Buffer[];
      this.engine.launch(executable, buffers, this.offsets[i] as number[], params, params.length, units, work);
    }
  }
}
