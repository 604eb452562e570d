/**
 * Regions: stretches of the library's own work whose temporaries nobody else can see. Buffers allocated inside one are
 * released together at its end, except those it was told to keep.
 */
import type { Buffer } from "../device/engine.js";

export interface Region {
  /** The buffer outlives the region. */
  keep(buffer: Buffer): void;
  /** All of them do: somebody outside holds a graph, and what its gradients read is nobody's to list. */
  keepAll(): void;
}

class Arena implements Region {
  constructor(readonly outer: Arena | null) {}
  readonly buffers: Buffer[] = [];
  readonly kept = new Set<Buffer>();
  private all = false;
  keep(buffer: Buffer): void {
    this.kept.add(buffer);
  }
  keepAll(): void {
    this.all = true;
  }
  /** What was kept is the surrounding region's to release; what is claimed belongs to a leaf or to the user. */
  end(): void {
    for (const b of this.buffers) {
      if (!this.all && !this.kept.has(b) && !b.claimed) b.release();
      else this.outer?.buffers.push(b);
    }
  }
}

let current: Arena | null = null;

/** A graph made just now outlives every region. */
export function outlive(): void {
  for (let arena = current; arena !== null; arena = arena.outer) arena.keepAll();
}

/** Whether what is allocated now is released when a region ends. */
export const inRegion = (): boolean => current !== null;

/** Every allocation passes here. */
export function allocated(buffer: Buffer): void {
  if (current !== null) current.buffers.push(buffer);
}

/** Runs `fn` in a region of its own if `own`; else allocations belong to nobody but the collector. */
export function withRegion<T>(own: boolean, fn: (region: Region | null) => T): T {
  const outer = current;
  const arena = own ? new Arena(outer) : null;
  current = arena;
  let done = false;
  try {
    const result = fn(arena);
    done = true;
    return result;
  } finally {
    current = outer;
    // After an error the collector sees to it: somebody may hold what we think is ours.
    if (done) arena?.end();
    else if (outer !== null && arena !== null) outer.buffers.push(...arena.buffers);
  }
}
