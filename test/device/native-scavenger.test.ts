/** When the native engine looks for what a program has dropped: often where that frees much, seldom where it does not pay. */
import { describe, expect, it } from "vitest";
import { youngCollector } from "../../src/device/collector-node.js";
import { Scavenger } from "../../src/device/native/scavenger.js";

const MiB = 2 ** 20;
const nothing = (): void => {};

/** A collector that frees a share of all that is allocated, and takes so many milliseconds. */
function pretend(share: number, milliseconds: number) {
  const seen = { collections: 0, held: 0 };
  const collect = (): void => {
    seen.collections += 1;
    seen.held *= 1 - share;
    const end = performance.now() + milliseconds;
    while (performance.now() < end);
  };
  return { seen, find: () => ({ collect, external: () => seen.held }) };
}

function allocate(scavenger: Scavenger, seen: { held: number }, megabytes: number): void {
  for (let i = 0; i < megabytes; i++) {
    scavenger.before(MiB);
    seen.held += MiB;
  }
}

describe("Scavenger", () => {
  it("collects each time so many bytes were allocated, while that frees them", () => {
    const { seen, find } = pretend(1, 0);
    allocate(new Scavenger(8 * MiB, nothing, find), seen, 800);
    expect(seen.collections).toBe(100);
  });

  it("collects seldom where nothing is freed, and again once it is", () => {
    const useless = pretend(0, 0.01);
    const scavenger = new Scavenger(8 * MiB, nothing, useless.find);
    allocate(scavenger, useless.seen, 8000);
    expect(useless.seen.collections).toBeGreaterThan(5);
    expect(useless.seen.collections).toBeLessThan(20);
  });

  it("lets more gather where a collection is slow", () => {
    const { seen, find } = pretend(1, 4);
    allocate(new Scavenger(8 * MiB, nothing, find), seen, 6400);
    // 4 ms are worth 64 MiB
    expect(seen.collections).toBeGreaterThan(6400 / 256);
    expect(seen.collections).toBeLessThan(6400 / 32);
  });

  it("lets go of what is kept young before each collection", () => {
    const { seen, find } = pretend(1, 0);
    const order: string[] = [];
    const scavenger = new Scavenger(8 * MiB, () => order.push(`let go at ${seen.collections}`), find);
    allocate(scavenger, seen, 16);
    expect(order).toEqual(["let go at 0", "let go at 1"]);
  });

  it("collects when a backward pass has ended, and not before, once it has seen one", () => {
    const { seen, find } = pretend(1, 0);
    const scavenger = new Scavenger(8 * MiB, nothing, find);
    allocate(scavenger, seen, 4);
    scavenger.backwardEnded();
    expect(seen.collections).toBe(0); // too little to look for
    for (let step = 0; step < 10; step++) {
      allocate(scavenger, seen, 20);
      scavenger.backwardEnded();
    }
    // The first step was interrupted twice; then there is one collection a step.
    expect(seen.collections).toBeGreaterThanOrEqual(10);
    expect(seen.collections).toBeLessThanOrEqual(13);
  });

  it("does without where the host has no such collector", () => {
    let asked = 0;
    const scavenger = new Scavenger(MiB, nothing, () => {
      asked += 1;
      return null;
    });
    for (let i = 0; i < 100; i++) scavenger.before(MiB);
    expect(asked).toBe(1);
  });
});

it("Node's collector gives back what is young and dropped, and nothing else", async () => {
  const collect = youngCollector();
  expect(collect).not.toBeNull();
  const kept = Buffer.allocUnsafeSlow(MiB).fill(7);
  const bytes = (): number => process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 16; i++) Buffer.allocUnsafeSlow(MiB).fill(i);
  const full = bytes();
  collect?.();
  await expect.poll(bytes).toBeLessThan(full - 12 * MiB);
  expect(kept.every((x) => x === 7)).toBe(true);
});
