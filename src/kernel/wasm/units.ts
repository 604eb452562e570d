/**
 * Walks the units of a launch that have several axes: the index on each axis, and the pointers of the operands there. What is done
 * in a unit is left to `loop.ts`.
 */
import type { FunctionBuilder } from "./encoder.js";
import type { Registers } from "./values.js";

/** The parameters of `run`. */
export const [ARGS, BEGIN, END] = [0, 1, 2];

/** The local that points into each operand. */
export type Pointers = ReadonlyMap<number, number>;

/** A part of the vector axis: the locals that hold its ends. */
export interface Part {
  readonly from: number;
  readonly end: number;
}

/** Units and elements of a tile. */
const [TILE_ROWS, TILE_COLUMNS] = [16, 8];

export class Units {
  /** A unit is one index of the first `axes` axes. */
  constructor(
    private readonly f: FunctionBuilder,
    private readonly at: Registers,
    private readonly axes: number,
    private readonly pointers: Pointers,
  ) {}

  /** Runs `row` for each unit: an odometer over the axes, and pointers to the row. */
  each(row: () => void): void {
    const { f, axes } = this;
    this.start();
    const unit = f.local("i32");
    f.get(BEGIN).set(unit);
    f.repeat(
      () => f.get(unit).get(END).op("i32.lt_s"),
      () => {
        this.point();
        row();
        this.carry(axes - 1);
        f.get(unit).i32(1).op("i32.add").set(unit);
      },
    );
  }

  /**
   * The same by tiles: a few units at a time, and of each a part of the axis `vector`, so that the cache lines of an operand which
   * is strided along that axis are read once, by all the units whose numbers lie in them.
   */
  tiles(vector: number, row: (part: Part) => void): void {
    const { f, axes } = this;
    const { counters, size } = this.at;
    const near = axes - 1;
    const [unit, high, first, stop, from, end] = Array.from({ length: 6 }, () => f.local("i32"));
    const least = (limit: () => void): void => {
      // the smaller of what is on the stack and `limit`
      const [a, b] = [f.local("i32"), f.local("i32")];
      f.set(a);
      limit();
      f.set(b).get(a).get(b).get(a).get(b).op("i32.lt_s").op("select");
    };
    this.start();
    f.get(BEGIN).set(unit);
    f.repeat(
      () => f.get(unit).get(END).op("i32.lt_s"),
      () => {
        f.get(counters[near]).set(first);
        f.get(size[near]).get(first).op("i32.sub");
        least(() => f.get(END).get(unit).op("i32.sub"));
        least(() => f.i32(TILE_ROWS));
        f.tee(high).get(first).op("i32.add").set(stop);
        f.i32(0).set(from);
        f.repeat(
          () => f.get(from).get(size[vector]).op("i32.lt_s"),
          () => {
            f.get(from).i32(TILE_COLUMNS).op("i32.add");
            least(() => f.get(size[vector]));
            f.set(end).get(first).set(counters[near]);
            f.repeat(
              () => f.get(counters[near]).get(stop).op("i32.lt_s"),
              () => {
                this.point();
                row({ from, end });
                f.get(counters[near]).i32(1).op("i32.add").set(counters[near]);
              },
            );
            f.get(end).set(from);
          },
        );
        f.get(stop).i32(1).op("i32.sub").set(counters[near]);
        this.carry(near);
        f.get(unit).get(high).op("i32.add").set(unit);
      },
    );
  }

  /** The index of unit `begin` on each axis. */
  private start(): void {
    const { f, axes } = this;
    const { counters, size } = this.at;
    const rest = f.local("i32");
    f.get(BEGIN).set(rest);
    for (let a = axes - 1; a >= 0; a--) {
      f.get(rest);
      if (a > 0) f.get(size[a]).op("i32.rem_u");
      f.set(counters[a]);
      if (a > 0) f.get(rest).get(size[a]).op("i32.div_u").set(rest);
    }
  }

  /** Moves the index of axis `a` by one, and those before it where it is at its end. */
  private carry(a: number): void {
    const { f } = this;
    const { counters, size } = this.at;
    f.get(counters[a]).i32(1).op("i32.add").set(counters[a]);
    if (a === 0) return;
    f.get(counters[a]).get(size[a]).op("i32.eq");
    f.if(() => {
      f.i32(0).set(counters[a]);
      this.carry(a - 1);
    });
  }

  /** Points every operand at the unit of the current indices. */
  private point(): void {
    const { f, axes } = this;
    const { counters, base, stride } = this.at;
    for (const [s, p] of this.pointers) {
      f.get(base[s]);
      for (let a = 0; a < axes; a++) f.get(counters[a]).get(stride[s][a]).op("i32.mul").op("i32.add");
      f.set(p);
    }
  }
}
