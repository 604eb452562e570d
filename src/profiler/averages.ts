/** The spans of a profile, summed by name: rows with PyTorch's fields (times in microseconds), and their table. */
import { ValueError } from "../errors.js";
import { limitOf, shortest } from "./limit.js";
import type { Span } from "./recorder.js";

/** All launches of one kernel, or all ranges of one name. */
export class EventAverage {
  count = 0;
  /** From begin to end, with what happened inside. */
  cpuTimeTotal = 0;
  /** Without the launches and ranges inside; for a kernel the same as `cpuTimeTotal`. */
  selfCpuTimeTotal = 0;
  /** Moved by the launches inside, as derived from their kernels (see docs/performance.md). */
  bytes = 0;
  flops = 0;
  /** Time in launches, and in those whose bytes and operations are known. */
  private launchTime = 0;
  private knownTime = 0;
  private readonly launches: Span[] = [];

  constructor(
    readonly key: string,
    readonly kind: "kernel" | "range",
    /** What all shares are of: the profile's duration. */
    private readonly duration: number,
  ) {}

  /** @internal */
  add(total: number, self: number): void {
    this.count++;
    this.cpuTimeTotal += total;
    this.selfCpuTimeTotal += self;
  }

  /** @internal */
  addLaunch(span: Span): void {
    const time = (span.end - span.start) * 1000;
    this.launchTime += time;
    if (span.cost === null) return;
    this.knownTime += time;
    this.bytes += span.cost.bytes;
    this.flops += span.cost.flops;
    this.launches.push(span);
  }

  /** Mean time of one call. */
  get cpuTime(): number {
    return this.cpuTimeTotal / this.count;
  }
  /** Self time over the profile's duration. */
  get selfShare(): number {
    return this.selfCpuTimeTotal / this.duration;
  }
  /** 10⁹ bytes a second, over the time in launches. Null where a kernel's bytes are not known or nothing ran. */
  get gigabytesPerSecond(): number | null {
    return this.known ? this.bytes / this.launchTime / 1e3 : null;
  }
  /** 10⁹ floating-point operations a second, over the time in launches. */
  get gigaflopsPerSecond(): number | null {
    return this.known ? this.flops / this.launchTime / 1e3 : null;
  }
  /**
   * The time this machine needs at least for these bytes and operations, over the time in launches. Asking for it the first
   * time measures the machine, which takes some tenths of a second. More than 1 is possible: operands in the
   * processor's cache move faster than the big copy that is the measure.
   */
  get limitShare(): number | null {
    if (!this.known) return null;
    let least = 0;
    for (const { cost, engine } of this.launches) {
      if (cost !== null && engine !== null) least += shortest(cost, limitOf(engine));
    }
    return least / this.launchTime;
  }

  private get known(): boolean {
    return this.launchTime > 0 && this.knownTime === this.launchTime;
  }
}

const sortable = [
  "count",
  "cpuTime",
  "cpuTimeTotal",
  "selfCpuTimeTotal",
  "bytes",
  "flops",
  "gigabytesPerSecond",
  "gigaflopsPerSecond",
  "limitShare",
] as const;
export type SortKey = (typeof sortable)[number];

export interface TableOptions {
  /** The column that decides, largest first. "selfCpuTimeTotal" unless given. */
  readonly sortBy?: SortKey;
  /** Rows at most; 100 unless given, as in PyTorch. */
  readonly rowLimit?: number;
}

const widest = 55;
const cut = (name: string): string => (name.length > widest ? `${name.slice(0, widest - 3)}...` : name);

function time(us: number): string {
  if (us >= 1e6) return `${(us / 1e6).toFixed(3)}s`;
  return us >= 1e3 ? `${(us / 1e3).toFixed(3)}ms` : `${us.toFixed(3)}us`;
}
function size(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(2)} MB`;
  return bytes >= 1e3 ? `${(bytes / 1e3).toFixed(2)} kB` : `${bytes} B`;
}
const percent = (share: number): string => `${(share * 100).toFixed(2)}%`;
const rate = (value: number | null): string => (value === null ? "--" : value.toFixed(2));

const columns: readonly (readonly [string, (row: EventAverage, duration: number) => string])[] = [
  ["Name", (row) => cut(row.key)],
  ["Self CPU %", (row) => percent(row.selfShare)],
  ["Self CPU", (row) => time(row.selfCpuTimeTotal)],
  ["CPU total %", (row, duration) => percent(row.cpuTimeTotal / duration)],
  ["CPU total", (row) => time(row.cpuTimeTotal)],
  ["CPU time avg", (row) => time(row.cpuTime)],
  ["# of Calls", (row) => String(row.count)],
  ["Bytes", (row) => (row.gigabytesPerSecond === null ? "--" : size(row.bytes))],
  ["GB/s", (row) => rate(row.gigabytesPerSecond)],
  ["GFLOP/s", (row) => rate(row.gigaflopsPerSecond)],
  ["of limit", (row) => (row.limitShare === null ? "--" : percent(row.limitShare))],
];

/** What `keyAverages` gives: the rows, in the order in which their names first came. */
export class KeyAverages implements Iterable<EventAverage> {
  constructor(
    readonly rows: readonly EventAverage[],
    private readonly duration: number,
  ) {}

  [Symbol.iterator](): Iterator<EventAverage> {
    return this.rows[Symbol.iterator]();
  }

  /** The row of that name. */
  get(key: string): EventAverage | undefined {
    return this.rows.find((row) => row.key === key);
  }

  /** The rows as text, in PyTorch's form. It measures the machine's limit first, once a process. */
  table({ sortBy = "selfCpuTimeTotal", rowLimit = 100 }: TableOptions = {}): string {
    if (!sortable.includes(sortBy)) {
      throw new ValueError(`table: there is no sortBy '${String(sortBy)}'; expected one of ${sortable.join(", ")}`);
    }
    if (!Number.isInteger(rowLimit) || rowLimit < 1) {
      throw new ValueError(`table: rowLimit is ${rowLimit}; expected a positive integer`);
    }
    const value = (row: EventAverage): number => row[sortBy] ?? -1;
    const shown = [...this.rows].sort((a, b) => value(b) - value(a)).slice(0, rowLimit);
    const cells = [
      columns.map(([title]) => title),
      ...shown.map((row) => columns.map(([, f]) => f(row, this.duration))),
    ];
    const widths = columns.map((_, c) => Math.max(...cells.map((row) => (row[c] as string).length)) + 2);
    const rule = widths.map((n) => "-".repeat(n)).join("  ");
    const lines = cells.map((row) => row.map((cell, c) => cell.padStart(widths[c] as number)).join("  "));
    const launches = this.rows.reduce((sum, row) => sum + (row.kind === "kernel" ? row.selfCpuTimeTotal : 0), 0);
    return [
      rule,
      lines[0],
      rule,
      ...lines.slice(1),
      rule,
      `CPU time total: ${time(this.duration)}, of it in kernels ${time(launches)} (${percent(launches / this.duration)})`,
      "",
    ].join("\n");
  }
}
