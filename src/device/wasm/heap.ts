/**
 * The WebAssembly engine's memory: one growable linear memory, an allocator in it, and the rule that keeps a plain loop of
 * a million steps in constant memory. Kernels and launches are left to `engine.ts`.
 *
 * JavaScript has no destructor; within a synchronous loop no finaliser runs and a WeakRef keeps its target. So an engine
 * cannot learn there that a buffer was dropped. What it can do is let go: when the soft limit is reached, the buffers idle
 * for longest are SPILLED. Their bytes move into arrays that JavaScript's collector owns and their linear memory is freed; who
 * still has the buffer can load it again, and the unreachable ones are collected with their arrays.
 *
 * For that, a Buffer is only a handle to a Cell, and the table of residents holds cells. Nothing leads from a cell to its
 * Buffer, so the finaliser of a large buffer can return its memory as soon as the event loop turns.
 */
import { DeviceError } from "../../errors.js";
import { Buffer } from "../engine.js";

const PAGE = 65536;
const GRAIN = 64;
/** Buffers up to this many bytes come from slabs of equal pieces, larger ones from the list of free blocks. */
const SMALL = 16384;
const SLAB = 65536;
/** Buffers of at least this many bytes are finalised when the event loop turns. */
const LARGE = 65536;
/** Buffers of at least this many bytes are looked after, where there is a Collector, before anything is spilled. */
const WATCHED = 262144;
/** References made before those that JavaScript keeps for their sake are let go. */
const KEPT_REFERENCES = 256;
/** Bytes that a collection must free in a millisecond; copying is as fast. */
const COLLECTED_PER_MILLISECOND = 4 * 2 ** 20;
/**
 * A collection takes much the same time whatever it frees. Where it frees most of the memory, the soft limit rises until it frees
 * so many times as much as it must, or to PATIENT.
 */
const WORTHWHILE = 4;
const PATIENT = 256 * 2 ** 20;
/** A buffer of at least ROOMY bytes raises the soft limit to ROOM of its size, and no further than GENEROUS. */
const ROOMY = 4 * 2 ** 20;
const ROOM = 16;
const GENEROUS = 512 * 2 ** 20;

interface Slab {
  readonly address: number;
  readonly grade: number;
  used: number;
}

/** Where a buffer's bytes are. */
export class Cell {
  /** In linear memory; −1 while spilled or freed. */
  address = -1;
  /** The bytes while they are spilled. */
  spilled: Uint8Array | null = null;
  slab: Slab | null = null;
  /** Its place in the table of residents; −1 if not there. */
  place = -1;
  /** When it was used last. */
  tick = 0;
  /** Where there is a Collector: whether anybody still has the buffer. */
  holder: WeakRef<WasmBuffer> | null = null;
  constructor(readonly bytes: number) {}
}

export class WasmBuffer extends Buffer {
  constructor(
    readonly heap: Heap,
    readonly cell: Cell,
  ) {
    super(cell.bytes);
  }
}

/** A host's way to find dropped objects without a turn of the event loop. */
export interface Collector {
  /** Collects what nobody holds. */
  collect(): void;
  /** Lets go of what JavaScript keeps because a WeakRef was made of it or gave it. */
  release(): void;
}

export interface HeapOptions {
  /** Bytes in use before idle buffers are spilled; doubles when buffers come back faster than they go. 64 MiB by default. */
  readonly softLimit?: number;
  /** Bytes that linear memory may grow to. 4 GiB by default. */
  readonly maximum?: number;
  /** Bytes at the start of memory that the heap leaves alone. */
  readonly reserved?: number;
  /** Memory that threads may share. */
  readonly shared?: boolean;
  /** Asked for at the first need. */
  readonly collector?: () => Collector | null;
}

/** Sizes of slab pieces: four for each doubling, multiples of 64. */
const grades: number[] = [];
for (let size = GRAIN; size <= SMALL; ) {
  grades.push(size);
  const step = Math.max(GRAIN, 2 ** Math.floor(Math.log2(size)) / 4);
  size += step;
}
/** Grade by (bytes + 63) / 64. */
const gradeOf = new Uint8Array(SMALL / GRAIN + 1);
for (let n = 1; n < gradeOf.length; n++) gradeOf[n] = grades.findIndex((size) => size >= n * GRAIN);

const blockSize = (bytes: number): number =>
  bytes <= SMALL ? grades[gradeOf[(bytes + 63) >>> 6]] : Math.ceil(bytes / 1024) * 1024;

export class Heap {
  readonly memory: WebAssembly.Memory;
  /** Views of the whole memory; replaced when it grows. */
  u8: Uint8Array;
  f64: Float64Array;
  /** Bytes given out, as rounded. */
  inUse = 0;
  /** How often buffers were spilled and loaded back; for tests and for diagnosis. */
  spills = 0;
  reloads = 0;
  softLimit: number;

  private readonly maximum: number;
  private readonly residents: Cell[] = [];
  private residentLimit = 1 << 16;
  private tick = 1;
  private pinned = 0;
  private reloadedBytes = 0;
  private reloadedCells = 0;
  /** Free pieces and their slabs, by grade. */
  private readonly pieces: number[][] = grades.map(() => []);
  private readonly owners: Slab[][] = grades.map(() => []);
  /** Free blocks by address: starts and lengths. */
  private readonly starts: number[] = [];
  private readonly lengths: number[] = [];
  private readonly nowhere: number;
  /** What is left of the last piece of memory that is kept for good. */
  private keptAt = 0;
  private keptEnd = 0;
  private readonly registry: FinalizationRegistry<Cell> | null;
  /** Undefined until a buffer is large enough to be watched. */
  private collector: Collector | null | undefined;
  private references = 0;
  /** Collections to leave out, since one freed little for its time; and how many after the next such. */
  private pause = 0;
  private nextPause = 1;

  constructor(private readonly options: HeapOptions = {}) {
    this.softLimit = options.softLimit ?? 64 * 2 ** 20;
    const reserved = Math.ceil((options.reserved ?? 0) / GRAIN) * GRAIN;
    let maximum = Math.min(65536, Math.ceil((options.maximum ?? 2 ** 32) / PAGE));
    const initial = Math.min(maximum, Math.ceil((reserved + GRAIN) / PAGE) + 16);
    // some hosts reserve the maximum at once and refuse a large one
    let memory: WebAssembly.Memory | null = null;
    while (memory === null) {
      try {
        memory = new WebAssembly.Memory({ initial, maximum, shared: options.shared ?? false });
      } catch (cause) {
        if (maximum <= initial)
          throw new DeviceError(`wasm: the host grants no memory of ${initial * PAGE} bytes`, { cause });
        maximum = Math.max(initial, maximum >> 1);
      }
    }
    this.memory = memory;
    this.maximum = maximum * PAGE;
    this.u8 = new Uint8Array(memory.buffer);
    this.f64 = new Float64Array(memory.buffer);
    // buffers of no bytes have an address as well: a kernel may read ahead there before it finds that it has nothing to do
    this.nowhere = reserved;
    this.release(reserved + GRAIN, initial * PAGE - reserved - GRAIN);
    this.registry =
      typeof FinalizationRegistry === "undefined" ? null : new FinalizationRegistry((cell) => this.dispose(cell));
  }

  alloc(bytes: number): WasmBuffer {
    const cell = new Cell(bytes);
    cell.tick = this.pinned = ++this.tick;
    this.place(cell);
    const buffer = new WasmBuffer(this, cell);
    if (bytes >= LARGE) this.watch(buffer);
    return buffer;
  }

  /** The address of memory that is never spilled or freed. */
  keep(bytes: number): number {
    const size = Math.ceil(bytes / GRAIN) * GRAIN;
    if (this.keptAt + size > this.keptEnd) {
      const piece = Math.max(size, SLAB);
      this.keptAt = this.block(piece, bytes);
      this.keptEnd = this.keptAt + piece;
    }
    const address = this.keptAt;
    this.keptAt += size;
    return address;
  }

  /** Returns the memory at once. Freeing twice is harmless. */
  free(buffer: WasmBuffer): void {
    const cell = buffer.cell;
    if (cell.bytes >= LARGE) this.registry?.unregister(cell);
    this.dispose(cell);
  }

  /** Buffers touched until the next call (or `alloc`) are not spilled to make room for one another. */
  pin(): void {
    this.pinned = ++this.tick;
  }

  /** Notes that a buffer is in use now: after `pin`. True where it has an address. */
  touch(buffer: WasmBuffer): boolean {
    const cell = buffer.cell;
    cell.tick = this.pinned;
    return cell.address >= 0;
  }

  /** The buffer's address, loading it back if it was spilled. May grow memory and spill others. */
  address(buffer: WasmBuffer): number {
    const cell = buffer.cell;
    return cell.address >= 0 ? cell.address : this.load(buffer);
  }

  view(buffer: WasmBuffer): Uint8Array {
    this.pin();
    this.touch(buffer);
    const address = this.address(buffer);
    return new Uint8Array(this.memory.buffer, address, buffer.bytes);
  }

  private load(buffer: WasmBuffer): number {
    const cell = buffer.cell;
    const bytes = cell.spilled;
    if (bytes === null) throw new DeviceError(`wasm: a buffer of ${cell.bytes} bytes was used after it was freed`);
    this.place(cell);
    this.u8.set(bytes, cell.address);
    cell.spilled = null;
    this.reloads++;
    this.reloadedCells++;
    this.reloadedBytes += cell.bytes;
    if (cell.bytes >= LARGE) this.watch(buffer);
    return cell.address;
  }

  /** Has a large buffer's memory returned when nobody holds it any more. */
  private watch(buffer: WasmBuffer): void {
    const { cell } = buffer;
    this.registry?.register(buffer, cell, cell);
    if (cell.bytes < WATCHED) return;
    if (this.collector === undefined) this.collector = this.options.collector?.() ?? null;
    if (this.collector === null) return;
    cell.holder = new WeakRef(buffer);
    if (++this.references < KEPT_REFERENCES) return;
    this.references = 0;
    this.collector.release();
  }

  /** Frees the watched buffers that nobody holds; not where that has lately cost more than it gave. */
  private collect(): void {
    const { collector } = this;
    if (collector === undefined || collector === null || this.pause-- > 0) return;
    const start = performance.now();
    const before = this.inUse;
    collector.release();
    collector.collect();
    for (const cell of this.residents.filter((c) => c.holder !== null && c.holder.deref() === undefined)) {
      this.registry?.unregister(cell);
      this.dispose(cell);
    }
    collector.release();
    const freed = before - this.inUse;
    const price = (performance.now() - start) * COLLECTED_PER_MILLISECOND;
    const roomier = 2 * this.softLimit <= Math.min(PATIENT, this.maximum / 2);
    if (freed > before / 2 && freed < price * WORTHWHILE && roomier) {
      this.softLimit *= 2;
      return;
    }
    const poor = freed < price;
    this.nextPause = poor ? Math.min(64, 2 * this.nextPause) : 1;
    this.pause = poor ? this.nextPause : 0;
  }

  // ── residents ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives a cell linear memory and enters it in the table. */
  private place(cell: Cell): void {
    if (cell.bytes === 0) {
      cell.address = this.nowhere;
      return;
    }
    const size = blockSize(cell.bytes);
    if (size >= ROOMY) {
      const room = Math.min(ROOM * size, GENEROUS, this.maximum / 2);
      if (this.softLimit < room) this.softLimit = room;
    }
    if (this.inUse + size > this.softLimit || this.residents.length >= this.residentLimit) this.makeRoom(size);
    cell.address = this.take(cell, size);
    this.inUse += size;
    cell.place = this.residents.length;
    this.residents.push(cell);
  }

  /** Takes a cell's linear memory back. */
  private dispose(cell: Cell): void {
    cell.spilled = null;
    cell.holder = null;
    if (cell.place < 0) {
      // of no bytes, spilled or freed already
      if (cell.bytes > 0) cell.address = -1;
      return;
    }
    const last = this.residents.pop() as Cell;
    if (last !== cell) {
      this.residents[cell.place] = last;
      last.place = cell.place;
    }
    cell.place = -1;
    const size = blockSize(cell.bytes);
    this.inUse -= size;
    if (cell.slab !== null) {
      const grade = cell.slab.grade;
      cell.slab.used--;
      this.pieces[grade].push(cell.address);
      this.owners[grade].push(cell.slab);
      cell.slab = null;
    } else this.release(cell.address, size);
    cell.address = -1;
  }

  /** Spills what has been idle longest, or raises the limit if what is spilled keeps coming back. */
  private makeRoom(size: number): void {
    if (this.reloadedBytes >= this.softLimit / 4 && this.softLimit < this.maximum) this.softLimit *= 2;
    if (this.reloadedCells > this.residentLimit / 4) this.residentLimit *= 2;
    this.reloadedBytes = 0;
    this.reloadedCells = 0;
    if (this.inUse + size > this.softLimit) this.collect();
    const bytes = Math.max(0, Math.min(this.softLimit / 2, this.softLimit - size));
    const count = this.residentLimit / 2;
    if (this.inUse + size > this.softLimit) this.spill(bytes, count);
    else if (this.residents.length >= this.residentLimit) this.spill(Infinity, count);
    // what is pinned may be more than the limit allows
    while (this.inUse + size > this.softLimit) this.softLimit *= 2;
    while (this.residents.length >= this.residentLimit) this.residentLimit *= 2;
  }

  /** Spills idle buffers, oldest first, until at most so many bytes and residents are left, or none is idle. */
  private spill(bytes: number, count: number): void {
    const idle = this.residents.filter((c) => c.tick !== this.pinned).sort((a, b) => a.tick - b.tick);
    for (const cell of idle) {
      if (this.inUse <= bytes && this.residents.length <= count) return;
      const copy = this.u8.slice(cell.address, cell.address + cell.bytes);
      if (cell.bytes >= LARGE) this.registry?.unregister(cell);
      this.dispose(cell);
      cell.spilled = copy;
      this.spills++;
    }
  }

  // ── linear memory ────────────────────────────────────────────────────────────────────────────────────────────────────

  private take(cell: Cell, size: number): number {
    if (size > SMALL) return this.block(size, cell.bytes);
    const grade = gradeOf[(cell.bytes + 63) >>> 6];
    const free = this.pieces[grade];
    if (free.length === 0) {
      const slab: Slab = { address: this.block(SLAB, cell.bytes), grade, used: 0 };
      for (let at = Math.floor(SLAB / size) - 1; at >= 0; at--) {
        free.push(slab.address + at * size);
        this.owners[grade].push(slab);
      }
    }
    const slab = this.owners[grade].pop() as Slab;
    slab.used++;
    cell.slab = slab;
    return free.pop() as number;
  }

  /** The free block that fits best, growing memory if none does. */
  private block(size: number, wanted: number): number {
    let address = this.fit(size);
    if (address >= 0) return address;
    this.trim();
    address = this.fit(size);
    if (address >= 0) return address;
    if (!this.grow(size)) {
      // the last resort before giving up: everything that is idle
      this.spill(0, 0);
      this.trim();
      address = this.fit(size);
      if (address >= 0) return address;
      if (!this.grow(size)) {
        throw new DeviceError(
          `wasm: out of memory: ${wanted} bytes wanted, ${this.inUse} in use, ` +
            `${this.u8.byteLength} of at most ${this.maximum} bytes of linear memory`,
        );
      }
    }
    return this.fit(size);
  }

  private fit(size: number): number {
    const { starts, lengths } = this;
    let best = -1;
    for (let i = 0; i < lengths.length; i++) {
      if (lengths[i] < size || (best >= 0 && lengths[i] >= lengths[best])) continue;
      best = i;
      if (lengths[i] === size) break;
    }
    if (best < 0) return -1;
    const address = starts[best];
    if (lengths[best] === size) {
      starts.splice(best, 1);
      lengths.splice(best, 1);
    } else {
      starts[best] += size;
      lengths[best] -= size;
    }
    return address;
  }

  /** Enters a free block, joined with its neighbours. */
  private release(address: number, size: number): void {
    const { starts, lengths } = this;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle] < address) low = middle + 1;
      else high = middle;
    }
    const before = low > 0 && starts[low - 1] + lengths[low - 1] === address;
    const after = low < starts.length && address + size === starts[low];
    if (before && after) {
      lengths[low - 1] += size + lengths[low];
      starts.splice(low, 1);
      lengths.splice(low, 1);
    } else if (before) lengths[low - 1] += size;
    else if (after) {
      starts[low] = address;
      lengths[low] += size;
    } else {
      starts.splice(low, 0, address);
      lengths.splice(low, 0, size);
    }
  }

  /** Returns slabs of which no piece is in use. */
  private trim(): void {
    for (let grade = 0; grade < grades.length; grade++) {
      const owners = this.owners[grade];
      if (!owners.some((s) => s.used === 0)) continue;
      const pieces = this.pieces[grade];
      const kept: number[] = [];
      const keptOwners: Slab[] = [];
      const empty = new Set<Slab>();
      for (let i = 0; i < pieces.length; i++) {
        if (owners[i].used === 0) empty.add(owners[i]);
        else {
          kept.push(pieces[i]);
          keptOwners.push(owners[i]);
        }
      }
      this.pieces[grade] = kept;
      this.owners[grade] = keptOwners;
      for (const slab of empty) this.release(slab.address, SLAB);
    }
  }

  /** Doubles linear memory, or grows it by what is needed if that is more or if doubling fails. */
  private grow(size: number): boolean {
    const have = this.u8.byteLength;
    const last = this.starts.length - 1;
    const atEnd = last >= 0 && this.starts[last] + this.lengths[last] === have ? this.lengths[last] : 0;
    const least = have + Math.ceil((size - atEnd) / PAGE) * PAGE;
    if (least > this.maximum) return false;
    for (const target of [Math.min(this.maximum, Math.max(2 * have, least)), least]) {
      try {
        this.memory.grow((target - have) / PAGE);
      } catch {
        continue;
      }
      this.u8 = new Uint8Array(this.memory.buffer);
      this.f64 = new Float64Array(this.memory.buffer);
      this.release(have, target - have);
      return true;
    }
    return false;
  }
}
