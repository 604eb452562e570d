/**
 * When to look for tensors that a program has dropped. JavaScript's collector runs when it likes, and until then every result
 * is memory that the cache does not hold. Collecting what is young takes a fraction of a millisecond, so it is done whenever so
 * much has been allocated as the cache holds of it. Nothing depends on it but speed.
 */
import v8 from "node:v8";
import { youngCollector } from "../collector-node.js";

/** Bytes that a collection must free in a millisecond: writing as many outside the cache takes as long. */
const leastPerMillisecond = 16 * 2 ** 20;
/** However little collections free, one is tried whenever so much has been allocated. */
const seldom = 2 ** 30;

/** What the host's collector is asked. */
export interface YoungCollector {
  /** Collects what is young and dropped, and frees its memory. */
  collect(): void;
  /** Bytes that JavaScript's objects hold outside its heap. */
  external(): number;
}

const node = (): YoungCollector | null => {
  const collect = youngCollector();
  return collect && { collect, external: () => v8.getHeapStatistics().external_memory };
};

export class Scavenger {
  private collector: YoungCollector | null | undefined;
  private allocated = 0;
  private sinceBackward = 0;
  /** So much allocated brings the next collection. */
  private due: number;
  /** The last collection freed too little for its time. */
  private disappointed = false;

  /**
   * `interval`: bytes that are allocated between two collections that free much. `letGo` is called before each, `find` at the first
   * need.
   */
  constructor(
    private readonly interval: number,
    private readonly letGo: () => void,
    private readonly find: () => YoungCollector | null = node,
  ) {
    this.due = interval;
  }

  /** Notes that so many bytes will be allocated, and collects before that where it is time. */
  before(bytes: number): void {
    this.allocated += bytes;
    this.sinceBackward += bytes;
    if (this.allocated >= this.due) this.collect();
  }

  /**
   * What a backward pass needed is dropped now. A collection in the midst of the next step would find most of it in use, and make it
   * old; so there shall be none.
   */
  backwardEnded(): void {
    const made = this.sinceBackward;
    this.sinceBackward = 0;
    if (Math.max(made, this.allocated) < this.interval) return;
    this.collect();
    this.due = Math.max(this.due, 2 * made);
  }

  private collect(): void {
    if (this.collector === undefined) this.collector = this.find();
    if (this.collector === null) this.due = Infinity;
    else this.run(this.collector);
  }

  private run(collector: YoungCollector): void {
    this.allocated = 0;
    this.letGo();
    const held = collector.external();
    const start = performance.now();
    collector.collect();
    const least = (performance.now() - start) * leastPerMillisecond;
    const freed = held - collector.external();
    if (freed < least) {
      // What a variable still holds is freed one collection later: one that finds nothing is no sign.
      if (this.disappointed) this.due = Math.min(seldom, 2 * this.due);
      this.disappointed = true;
    } else {
      if (freed >= 2 * least) this.due = Math.max(this.interval, this.due / 2);
      this.disappointed = false;
    }
  }
}
