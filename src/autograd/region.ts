/**
 * Regions: stretches of the library's own work whose temporaries nobody else can see. Buffers allocated inside one are
 * released together at its end, except those it was told to keep.
 */
import type { Buffer } from "../device/engine.js";

export interface Region {
  /** The buffer outlives the region. */
  keep(buffer: Buffer): void;
}

class Arena implements Region {
  readonly buffers: Buffer[] = [];
  readonly kept = new Set<Buffer>();
  keep(buffer: Buffer): void {
    this.kept.add(buffer);
  }
  /** What was kept is the surrounding region's to release. */
  end(free: (buffer: Buffer) => void, outer: Arena | null): void {
    for (const b of this.buffers) {
      if (!this.kept.has(b)) free(b);
      else outer?.buffers.push(b);
    }
  }
}

let current: Arena | null = null;
let release: (buffer: Buffer) => void = () => {};

/** Called once, by the layer that knows engines. */
export function setRelease(free: (buffer: Buffer) => void): void {
  release = free;
}

/** Every allocation passes here. */
export function allocated(buffer: Buffer): void {
  if (current !== null) current.buffers.push(buffer);
}

/** Runs `fn` in a region of its own if `own`; else allocations belong to nobody but the collector. */
export function withRegion<T>(own: boolean, fn: (region: Region | null) => T): T {
  const outer = current;
  const arena = own ? new Arena() : null;
  current = arena;
  let done = false;
  try {
    const result = fn(arena);
    done = true;
    return result;
  } finally {
    current = outer;
    // After an error the collector sees to it: somebody may hold what we think is ours.
    if (done) arena?.end(release, outer);
    else if (outer !== null && arena !== null) outer.buffers.push(...arena.buffers);
  }
}
