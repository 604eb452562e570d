/** The WebAssembly heap: constant memory in plain loops, spilling and loading back, and its edges. */
import v8 from "node:v8";
import vm from "node:vm";
import { describe, expect, it } from "vitest";
import { createCollector } from "../../src/device/collector-node.js";
import { WasmEngine } from "../../src/device/wasm/engine.js";
import { Heap } from "../../src/device/wasm/heap.js";
import { DeviceError } from "../../src/errors.js";
import { constant, type LoopKernel, load, make } from "../../src/kernel/ir.js";

const MiB = 2 ** 20;

/** out = x + 1 */
const increment: LoopKernel = {
  kind: "loop",
  name: "increment",
  operands: [
    { type: "float32", step: "unit" },
    { type: "float32", step: "unit" },
  ],
  scalars: [],
  stores: [
    {
      operand: 1,
      value: make("add", "f32", [load(0, "f32"), constant(1, "f32")]),
      per: "element",
      at: null,
      accumulate: false,
    },
  ],
  outer: 1,
  inner: 0,
  vector: "outer",
};

describe("wasm heap", () => {
  it("aligns to 64 bytes and takes no bytes", () => {
    const heap = new Heap();
    for (const bytes of [0, 1, 63, 64, 65, 1000, 16384, 16385, 70000, MiB + 1]) {
      const buffer = heap.alloc(bytes);
      expect(heap.address(buffer) % 64).toBe(0);
      expect(heap.view(buffer).length).toBe(bytes);
      heap.free(buffer);
      heap.free(buffer);
    }
    expect(heap.inUse).toBe(0);
  });

  it("reuses what is freed, and joins free blocks", () => {
    const heap = new Heap();
    for (let round = 0; round < 50; round++) {
      const list = Array.from({ length: 40 }, (_, i) => heap.alloc(20000 + 5000 * ((i + round) % 7)));
      list.sort(() => ((round * 7919) % 3) - 1);
      for (const b of list) heap.free(b);
    }
    expect(heap.inUse).toBe(0);
    expect(heap.memory.buffer.byteLength).toBeLessThan(8 * MiB);
    const small = Array.from({ length: 2000 }, () => heap.alloc(1000));
    for (const b of small) heap.free(b);
    const size = heap.memory.buffer.byteLength;
    // the slabs of the small ones serve a large one
    heap.free(heap.alloc(size - 200_000));
    expect(heap.memory.buffer.byteLength).toBe(size);
  });

  it("keeps live buffers apart under random use", () => {
    const heap = new Heap({ softLimit: 2 * MiB });
    const live: { buffer: ReturnType<Heap["alloc"]>; mark: number }[] = [];
    let seed = 3;
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed / 2 ** 32;
    };
    for (let i = 0; i < 5000; i++) {
      if (live.length < 200 && random() < 0.6) {
        const buffer = heap.alloc(Math.floor(random() ** 4 * 100_000));
        heap.view(buffer).fill(i & 255);
        live.push({ buffer, mark: i & 255 });
      } else if (live.length > 0) {
        const [{ buffer, mark }] = live.splice(Math.floor(random() * live.length), 1);
        const view = heap.view(buffer);
        expect(view.every((x) => x === mark)).toBe(true);
        heap.free(buffer);
      }
    }
    for (const { buffer } of live) heap.free(buffer);
    expect(heap.inUse).toBe(0);
    expect(heap.spills).toBeGreaterThan(0);
    expect(heap.reloads).toBeGreaterThan(0);
  });

  it("spills the oldest first and brings it back unchanged", () => {
    const heap = new Heap({ softLimit: MiB });
    const first = heap.alloc(100_000);
    heap.view(first).fill(42);
    const recent = Array.from({ length: 9 }, () => heap.alloc(100_000));
    heap.alloc(200_000);
    expect(heap.spills).toBeGreaterThan(0);
    expect(first.cell.address).toBe(-1);
    expect(recent[8].cell.address).toBeGreaterThan(0);
    expect(heap.view(first).every((x) => x === 42)).toBe(true);
    expect(heap.reloads).toBe(1);
  });

  it("runs a plain loop of 100,000 steps in constant memory", () => {
    const engine = new WasmEngine({ softLimit: 8 * MiB });
    const run = engine.compile(increment);
    const n = 1000;
    const params = Float64Array.of(n, 1, 1);
    let x = engine.alloc(4 * n);
    engine.view(x).fill(0);
    const kept = x;
    for (let i = 0; i < 100_000; i++) {
      const y = engine.alloc(4 * n);
      engine.launch(run, [x, y], [0, 0], params, 3, n, n);
      x = y;
    }
    expect(new Float32Array(engine.view(x).slice().buffer).every((v) => v === 100_000)).toBe(true);
    expect(engine.view(kept).every((v) => v === 0)).toBe(true);
    expect(engine.heap.memory.buffer.byteLength).toBeLessThanOrEqual(16 * MiB);
    expect(engine.heap.softLimit).toBe(8 * MiB);
  });

  it("bounds the number of small residents too", () => {
    const heap = new Heap();
    for (let i = 0; i < 300_000; i++) heap.alloc(64);
    expect(heap.memory.buffer.byteLength).toBeLessThan(16 * MiB);
  });

  it("raises the limit when the live set is larger", () => {
    const engine = new WasmEngine({ softLimit: MiB });
    const run = engine.compile(increment);
    const n = 25_000;
    const params = Float64Array.of(n, 1, 1);
    const live = Array.from({ length: 30 }, () => {
      const b = engine.alloc(4 * n);
      engine.view(b).fill(0);
      return b;
    });
    for (let round = 1; round <= 20; round++) for (const b of live) engine.launch(run, [b, b], [0, 0], params, 3, n, n);
    for (const b of live) expect(new Float32Array(engine.view(b).slice().buffer).every((v) => v === 20)).toBe(true);
    expect(engine.heap.softLimit).toBeGreaterThan(MiB);
    const before = engine.heap.reloads;
    for (const b of live) engine.launch(run, [b, b], [0, 0], params, 3, n, n);
    for (const b of live) engine.launch(run, [b, b], [0, 0], params, 3, n, n);
    expect(engine.heap.reloads - before).toBeLessThan(30);
  });

  it("says how much was wanted when memory is out", () => {
    const heap = new Heap({ maximum: 4 * MiB });
    expect(() => heap.alloc(5 * MiB)).toThrow(DeviceError);
    expect(() => heap.alloc(5 * MiB)).toThrow(/5242880 bytes wanted/);
    // what is idle makes room first
    const idle = heap.alloc(3 * MiB);
    heap.view(idle).fill(7);
    heap.pin();
    const next = heap.alloc(3 * MiB);
    expect(heap.view(next).length).toBe(3 * MiB);
    expect(heap.view(idle).every((x) => x === 7)).toBe(true);
  });

  it("makes room for a number of large buffers before it spills", () => {
    const heap = new Heap({ softLimit: MiB });
    for (let i = 0; i < 12; i++) heap.alloc(4 * MiB);
    expect(heap.spills).toBe(0);
    expect(heap.softLimit).toBe(64 * MiB);
  });

  it("finds what was dropped inside a synchronous loop, where the host helps", () => {
    const collector = createCollector();
    expect(collector).not.toBeNull();
    // many bytes at a time, so that a collection pays for itself in this process, which has much else to collect
    const heap = new Heap({ softLimit: 512 * MiB, collector: () => collector });
    const kept = heap.alloc(MiB);
    heap.view(kept).fill(9);
    const spilled = heap.alloc(300_000);
    heap.view(spilled).fill(8);
    for (let i = 0; i < 1000; i++) heap.view(heap.alloc(8 * MiB))[0] = 1;
    expect(heap.spills).toBeLessThan(10);
    expect(heap.memory.buffer.byteLength).toBeLessThanOrEqual(1024 * MiB);
    expect(heap.view(kept).every((x) => x === 9)).toBe(true);
    expect(heap.view(spilled).every((x) => x === 8)).toBe(true);
  });

  it("lets more gather where a slow collection frees nearly all, up to a bound", () => {
    const collector = createCollector();
    expect(collector).not.toBeNull();
    const slow = {
      collect: () => {
        collector?.collect();
        const end = performance.now() + 200;
        while (performance.now() < end);
      },
      release: () => collector?.release(),
    };
    const heap = new Heap({ softLimit: 32 * MiB, collector: () => slow });
    for (let i = 0; i < 1000; i++) heap.view(heap.alloc(MiB))[0] = 1;
    expect(heap.softLimit).toBe(256 * MiB);
    expect(heap.memory.buffer.byteLength).toBeLessThanOrEqual(300 * MiB);
  });

  it("spills where a collection frees nothing, and seldom tries again", () => {
    let collections = 0;
    const useless = { collect: () => void collections++, release: () => {} };
    const heap = new Heap({ softLimit: 4 * MiB, collector: () => useless });
    for (let i = 0; i < 400; i++) heap.alloc(MiB);
    expect(heap.spills).toBeGreaterThan(300);
    expect(collections).toBeGreaterThan(0);
    expect(collections).toBeLessThan(20);
  });

  it("takes large buffers back when the event loop turns", async () => {
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    const heap = new Heap();
    const kept = heap.alloc(MiB);
    heap.view(kept).fill(9);
    for (let i = 0; i < 50; i++) heap.alloc(MiB);
    expect(heap.inUse).toBe(51 * MiB);
    for (let i = 0; i < 20 && heap.inUse > MiB; i++) {
      gc();
      await new Promise((done) => setTimeout(done, 5));
    }
    expect(heap.inUse).toBeLessThan(4 * MiB);
    expect(heap.view(kept).every((x) => x === 9)).toBe(true);
  });

  it("refuses a freed buffer", () => {
    const engine = new WasmEngine();
    const b = engine.alloc(100);
    engine.free(b);
    expect(() => engine.view(b)).toThrow(/after it was freed/);
    expect(() => new WasmEngine().view(b)).toThrow(/another engine/);
  });
});
