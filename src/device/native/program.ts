/** Launches prepared once: their argument blocks lie in memory, and one call runs them all. */
import type { Buffer } from "../engine.js";
import type { Each, PreparedLaunch, Program } from "../program.js";
import type { NativeExecutable } from "./engine.js";
import type { NativeBuffer } from "./memory.js";

export interface ProgramHost {
  addressOf(memory: ArrayBuffer): number;
  readonly launch: Each;
  replay(list: number, from: number, to: number): void;
  together(list: number, chunks: number, threads: number): void;
  threads(): number;
  division(units: number, cost: number): { threads: number; chunk: number };
  /** Whether a loop is one run of its kernel. */
  plain(executable: NativeExecutable, buffers: readonly (Buffer | null)[], params: Float64Array, work: number): boolean;
}

/** Numbers of a launch in the table: address of its arguments, kernel, units, chunk, threads. */
const entry = 5;

export class NativeProgram implements Program {
  private readonly table: Float64Array;
  private readonly tableAddress: number;
  private readonly args: Float64Array;
  /** Where each launch's arguments begin; −1 for those the engine launches itself (products, which it cuts into tasks; folds in parts). */
  private readonly start: number[] = [];
  private readonly buffers: Buffer[][];
  private readonly offsets: number[][];
  /** The setting of threads that the table is divided for, and into how many chunks in all; 0 where for launches in a row. */
  private dividedFor = -1;
  private chunks = 0;
  private readonly allPlain: boolean;

  constructor(
    private readonly launches: readonly PreparedLaunch[],
    private readonly host: ProgramHost,
  ) {
    let size = 0;
    for (const { executable, buffers, params, work } of launches) {
      const plain =
        executable.kernel.kind === "loop" && host.plain(executable as NativeExecutable, buffers, params, work);
      this.start.push(plain ? size : -1);
      if (plain) size += Math.ceil((buffers.length + params.length) / 8) * 8;
    }
    this.allPlain = this.start.every((at) => at >= 0);
    this.args = new Float64Array(new ArrayBuffer(Math.max(1, size) * 8));
    this.table = new Float64Array(new ArrayBuffer(Math.max(1, launches.length) * entry * 8));
    const address = host.addressOf(this.args.buffer as ArrayBuffer);
    this.tableAddress = host.addressOf(this.table.buffer as ArrayBuffer);
    this.buffers = launches.map((l) => [...l.buffers] as Buffer[]);
    this.offsets = launches.map((l) => [...l.offsets]);
    launches.forEach(({ executable, buffers, offsets, params }, i) => {
      const at = this.start[i] as number;
      if (at < 0) return;
      this.args.set(params, at + buffers.length);
      buffers.forEach((b, operand) => {
        if (b !== null) this.bind(i, operand, b, offsets[operand] as number);
      });
      this.table.set([address + at * 8, (executable as NativeExecutable).id], i * entry);
    });
  }

  bind(launch: number, operand: number, buffer: Buffer, offset: number): void {
    // The list keeps the memory alive.
    (this.buffers[launch] as Buffer[])[operand] = buffer;
    (this.offsets[launch] as number[])[operand] = offset;
    const at = this.start[launch] as number;
    if (at < 0) return;
    const { itemBytes } = (this.launches[launch] as PreparedLaunch).executable as NativeExecutable;
    this.args[at + operand] = (buffer as NativeBuffer).address + offset * (itemBytes[operand] as number);
  }

  set(launch: number, param: number, value: number): void {
    const { params, buffers } = this.launches[launch] as PreparedLaunch;
    const at = this.start[launch] as number;
    if (at < 0) params[param] = value;
    else this.args[at + buffers.length + param] = value;
  }

  run(from: number, to: number, each?: Each): void {
    if (each !== undefined) {
      for (let i = from; i < to; i++) this.one(i, each);
      return;
    }
    if (this.dividedFor !== this.host.threads() || this.chunks > 0) this.divide();
    for (let i = from; i < to; ) {
      if ((this.start[i] as number) < 0) {
        this.one(i, this.host.launch);
        i += 1;
        continue;
      }
      let end = i + 1;
      while (end < to && (this.start[end] as number) >= 0) end += 1;
      this.host.replay(this.tableAddress, i, end);
      i = end;
    }
  }

  runTogether(): void {
    if (!this.allPlain) {
      this.run(0, this.launches.length);
      return;
    }
    if (this.dividedFor !== this.host.threads() || this.chunks === 0) this.divideTogether();
    this.host.together(this.tableAddress, this.chunks, this.table[entry - 1] as number);
  }

  private one(i: number, each: Each): void {
    const { executable, params, units, work } = this.launches[i] as PreparedLaunch;
    const buffers = this.buffers[i] as Buffer[];
    const at = (this.start[i] as number) + buffers.length;
    const now = (this.start[i] as number) < 0 ? params : this.args.subarray(at, at + params.length);
    each(executable, buffers, this.offsets[i] as number[], now, units, work);
  }

  private divide(): void {
    this.launches.forEach(({ executable, units, work }, i) => {
      if ((this.start[i] as number) < 0) return;
      const { threads, chunk } = this.host.division(units, work * (executable as NativeExecutable).cost);
      this.table.set([units, chunk, threads], i * entry + 2);
    });
    this.dividedFor = this.host.threads();
    this.chunks = 0;
  }

  private divideTogether(): void {
    const costs = this.launches.map(({ executable, work }) => work * (executable as NativeExecutable).cost);
    const total = costs.reduce((sum, cost) => sum + cost, 0);
    const { threads } = this.host.division(1, total);
    this.chunks = 0;
    this.launches.forEach(({ units }, i) => {
      const pieces = threads === 1 ? 1 : Math.max(1, Math.round(((costs[i] as number) / total) * threads * 4));
      const chunk = Math.max(1, Math.ceil(units / pieces));
      this.table.set([units, chunk, threads], i * entry + 2);
      this.chunks += Math.ceil(units / chunk);
    });
    this.dividedFor = this.host.threads();
  }
}
