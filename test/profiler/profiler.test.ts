/** torch.profiler: known counts, exact bytes and operations of simple operations, ranges, the trace; on both engines. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as torch from "cresset";
import { nn, optim } from "cresset";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { costOf } from "../../src/profiler/cost.js";

const { profile, recordFunction, start } = torch.profiler;
type Averages = torch.profiler.KeyAverages;

const only = (averages: Averages): torch.profiler.EventAverage => {
  expect(averages.rows.length).toBe(1);
  return averages.rows[0] as torch.profiler.EventAverage;
};

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  const a = () => torch.rand([30, 40]);
  const cost = (fn: () => unknown): { count: number; bytes: number; flops: number } => {
    const { count, bytes, flops } = only(profile(fn).keyAverages());
    return { count, bytes, flops };
  };

  it("derives bytes and operations from kernels and sizes", () => {
    const [x, y] = [a(), a()];
    const n = 30 * 40;
    expect(cost(() => x.add(y))).toEqual({ count: 1, bytes: 12 * n, flops: n });
    // Nine products with a sum, each two operations whether fused or not, and five more.
    expect(cost(() => x.exp()).flops).toBe(23 * n);
    expect(
      cost(() => x.mul(x)),
      "an operand that comes twice is read once",
    ).toEqual({
      count: 1,
      bytes: 8 * n,
      flops: n,
    });
    expect(
      cost(() => x.add(1)),
      "scalars are arguments",
    ).toEqual({ count: 1, bytes: 8 * n, flops: n });
    const column = torch.rand([30, 1]);
    expect(
      cost(() => x.mul(column)),
      "a broadcast operand is read once",
    ).toEqual({
      count: 1,
      bytes: 8 * n + 4 * 30,
      flops: n,
    });
    expect(
      cost(() => x.add_(y)),
      "in place",
    ).toEqual({ count: 1, bytes: 12 * n, flops: n });
    expect(
      cost(() => x.sum()),
      "a fold",
    ).toEqual({ count: 1, bytes: 4 * n + 4, flops: n });
    expect(
      cost(() => x.sum(0)),
      "a fold down the columns",
    ).toEqual({ count: 1, bytes: 4 * n + 4 * 40, flops: n });
    expect(
      cost(() => x.transpose(0, 1).contiguous()),
      "a copy",
    ).toEqual({ count: 1, bytes: 8 * n, flops: 0 });
    const doubles = torch.rand([10], { dtype: "float64" });
    expect(
      cost(() => doubles.sqrt()),
      "float64",
    ).toEqual({ count: 1, bytes: 160, flops: 10 });
    const ints = torch.arange(10);
    expect(
      cost(() => ints.add(ints)),
      "integers compute no floats",
    ).toEqual({ count: 1, bytes: 80, flops: 0 });
  });

  it("counts products", () => {
    const [x, y] = [torch.rand([3, 8, 16]), torch.rand([3, 16, 20])];
    expect(cost(() => x.matmul(y))).toEqual({
      count: 1,
      bytes: 4 * 3 * (8 * 16 + 16 * 20 + 8 * 20),
      flops: 2 * 3 * 8 * 16 * 20,
    });
    const [w, b, v] = [torch.rand([20, 16]), torch.rand([20]), torch.rand([8, 16])];
    const linear = (x: torch.Tensor) => torch.noGrad(() => nn.functional.linear(x, w, b));
    expect(
      cost(() => linear(v)),
      "with a bias",
    ).toEqual({
      count: 1,
      bytes: 4 * (8 * 16 + 16 * 20 + 20 + 8 * 20),
      flops: 2 * 8 * 16 * 20,
    });
    const one = v.index(0);
    expect(
      cost(() => linear(one)),
      "one row is a fold, and adds the bias in it",
    ).toEqual({
      count: 1,
      bytes: 4 * (16 + 16 * 20 + 20 + 20),
      flops: 2 * 16 * 20 + 20,
    });
  });

  it("counts convolutions", () => {
    const [x, w, b] = [torch.rand([2, 4, 9, 9]), torch.rand([6, 4, 3, 3]), torch.rand([6])];
    const p = profile(() => nn.functional.conv2d(x, w, b, { padding: 1 }), { recordShapes: true });
    const row = p.keyAverages({ groupByInputShape: true }).get("correlate [2, 1, 4, 6, 9, 1, 9, 9]");
    expect(row?.flops).toBe(2 * 2 * 6 * 4 * 9 * 81);
    expect(row?.bytes).toBe(4 * (2 * 4 * 81 + 6 * 4 * 9 + 2 * 6 * 81 + 6));
    w.requiresGrad = true;
    const y = nn.functional.conv2d(x, w, b, { padding: 1 }).sum();
    const backward = profile(() => y.backward())
      .keyAverages()
      .get("weights");
    expect(backward?.flops).toBe(2 * 2 * 6 * 4 * 9 * 81);
  });

  it("knows the time of kernels of unknown kinds, and nothing else", () => {
    const kernel = { kind: "another", name: "another" } as unknown as Parameters<typeof costOf>[0];
    expect(costOf(kernel, [], [], new Float64Array())).toBeNull();
  });

  it("sees every launch of a training step", () => {
    const model = new nn.Linear(784, 10);
    const optimiser = new optim.SGD(model.parameters(), { lr: 0.01 });
    const x = torch.rand([8, 784]);
    const step = () => {
      optimiser.zeroGrad();
      model.forward(x).square().mean().backward();
      optimiser.step();
    };
    step();
    const averages = profile(() => {
      for (let i = 0; i < 5; i++) step();
    }).keyAverages();
    expect(averages.get("matmul")?.count).toBe(10); // forward, the weight's gradient
    for (const row of averages) expect(row.count % 5).toBe(0);
    expect(averages.get("matmul")?.flops).toBe(10 * 2 * 8 * 784 * 10);
  });

  it("sums ranges with what runs in them", () => {
    const x = a();
    const p = profile(() => {
      for (let i = 0; i < 3; i++) {
        recordFunction("outer", () => {
          x.exp();
          expect(recordFunction("inner", () => x.add(x).shape)).toEqual([30, 40]);
        });
      }
      x.exp();
    });
    const averages = p.keyAverages();
    const [outer, inner, exp, add] = ["outer", "inner", "exp", "add"].map((key) => averages.get(key));
    if (!outer || !inner || !exp || !add) throw new Error("a row is missing");
    expect([outer.count, inner.count, exp.count, add.count]).toEqual([3, 3, 4, 3]);
    expect([outer.kind, exp.kind]).toEqual(["range", "kernel"]);
    expect(inner.bytes).toBe(add.bytes);
    expect(outer.bytes).toBe(add.bytes + (exp.bytes * 3) / 4);
    expect(outer.cpuTimeTotal).toBeGreaterThanOrEqual(inner.cpuTimeTotal);
    expect(outer.selfCpuTimeTotal).toBeLessThan(outer.cpuTimeTotal);
    expect(exp.selfCpuTimeTotal).toBe(exp.cpuTimeTotal);
    expect(averages.rows.reduce((sum, row) => sum + row.selfShare, 0)).toBeLessThanOrEqual(1 + 1e-9);
    expect(p.duration).toBeGreaterThanOrEqual(outer.cpuTimeTotal);
  });

  it("tells sizes apart where they are recorded", () => {
    const p = profile(
      () => {
        torch.zeros([4]).neg();
        torch.rand([2, 5]).matmul(torch.rand([5, 2]));
        torch.rand([4, 5]).matmul(torch.rand([5, 6]));
        torch.rand([4, 5]).matmul(torch.rand([5, 7]));
      },
      { recordShapes: true },
    );
    const keys = p.keyAverages({ groupByInputShape: true }).rows.map((row) => row.key);
    expect(keys).toContain("neg [4]");
    expect(keys).toContain("matmul [1, 4, 6, 5]");
    expect(keys).toContain("matmul [1, 4, 7, 5]");
    expect(p.keyAverages().get("matmul")?.count).toBe(2);
  });

  it("prints a table with rates and shares of the machine's limit", () => {
    const x = torch.rand([1000]);
    const p = profile(() => {
      for (let i = 0; i < 3; i++) x.exp();
      recordFunction("nothing", () => {});
      recordFunction("something", () => x.add(x));
    });
    const averages = p.keyAverages();
    const lines = averages.table({ sortBy: "count", rowLimit: 2 }).split("\n");
    expect(lines[1]).toMatch(
      /^ +Name +Self CPU % +Self CPU +CPU total % +CPU total +CPU time avg +# of Calls +Bytes +GB\/s/,
    );
    expect(lines[3]).toMatch(/^ +exp .* 3 +24\.00 kB/);
    expect(lines.length).toBe(8); // rules, titles, two rows, the sum, the end
    expect(averages.table()).toMatch(/nothing .* -- +-- +-- +--\n/);
    for (const key of ["exp", "something"]) {
      const share = averages.get(key)?.limitShare as number;
      expect(share).toBeGreaterThan(0);
      expect(Number.isFinite(share)).toBe(true);
    }
    expect(averages.get("nothing")?.limitShare).toBeNull();
  });

  it("does not record the measurement of the limit", () => {
    const outer = start();
    const inner = profile(() => torch.ones([10]).exp());
    torch.setNumThreads(torch.getNumThreads());
    inner.keyAverages().table();
    outer.stop();
    expect(outer.keyAverages().get("matmul")).toBeUndefined();
    expect(outer.keyAverages().get("exp")?.count).toBe(1);
  });

  it("ends profiles in any order", () => {
    const x = a();
    const first = start();
    const second = start();
    x.add(x);
    first.stop();
    x.add(x);
    second.stop();
    second.stop();
    x.add(x);
    expect([first, second].map((p) => p.keyAverages().get("add")?.count)).toEqual([1, 2]);
  });

  it("profiles async functions, whose ranges may overlap", async () => {
    const x = a();
    const turn = () => new Promise((resolve) => setTimeout(resolve, 2));
    const p = await profile(async () => {
      const first = recordFunction("first", async () => {
        await turn();
        x.exp();
      });
      const second = recordFunction("second", async () => {
        await first;
        await turn();
        x.exp();
        return 5;
      });
      expect(await second).toBe(5);
    });
    expect(p.keyAverages().get("exp")?.count).toBe(2);
    const ranges = p.exportChromeTrace().traceEvents.filter((e) => e.cat === "user_annotation");
    expect(ranges.map((e) => [e.name, e.tid])).toEqual([
      ["first", 0],
      ["second", 1],
    ]);
    await expect(profile(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
  });

  it("passes errors on and ends", () => {
    const fails = (): void => {
      throw new RangeError("mine");
    };
    expect(() => profile(fails)).toThrow(RangeError);
    const p = profile(() => expect(() => recordFunction("fails", fails)).toThrow(RangeError));
    expect(p.keyAverages().get("fails")?.count).toBe(1);
    expect(recordFunction("off", () => 3)).toBe(3);
  });
});

describe("the trace", () => {
  const folder = mkdtempSync(join(tmpdir(), "cresset-profiler-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is a file of events that nest", () => {
    const x = torch.rand([4, 5]);
    const p = profile(
      () => {
        recordFunction("a", () => {
          x.exp();
          recordFunction("b", () => x.matmul(x.transpose(0, 1)));
        });
        x.exp();
      },
      { recordShapes: true },
    );
    const path = join(folder, "deep", "trace.json");
    expect(p.exportChromeTrace(path)).toBeUndefined();
    const trace = JSON.parse(readFileSync(path, "utf8")) as torch.profiler.ChromeTrace;
    expect(trace).toEqual(p.exportChromeTrace());
    expect(trace.traceEvents.map((e) => e.name)).toEqual(["a", "exp", "b", "matmul", "exp"]);
    const open: torch.profiler.TraceEvent[] = [];
    const depths = trace.traceEvents.map((event) => {
      const end = (e: torch.profiler.TraceEvent) => e.ts + e.dur;
      while (open.length > 0 && end(open.at(-1) as torch.profiler.TraceEvent) <= event.ts + 1e-6) open.pop();
      for (const outer of open) expect(end(event)).toBeLessThanOrEqual(end(outer) + 1e-6);
      return open.push(event) - 1;
    });
    expect(depths).toEqual([0, 1, 1, 2, 0]);
    for (const event of trace.traceEvents) {
      expect(event).toMatchObject({ ph: "X", pid: 0, tid: 0 });
      expect(event.ts).toBeGreaterThanOrEqual(0);
    }
    expect(trace.traceEvents[1]?.args).toMatchObject({ sizes: [20], bytes: 160 });
    expect(() => p.exportChromeTrace(folder)).toThrow(torch.DataError);
  });
});

describe("errors", () => {
  it("are typed and say what would be right", () => {
    const running = start();
    expect(() => running.keyAverages()).toThrow(torch.ValueError);
    expect(() => running.exportChromeTrace()).toThrow("the profile still runs; call stop() first");
    expect(() => running.duration).toThrow(torch.ValueError);
    running.stop();
    const averages = running.keyAverages();
    expect(averages.rows).toEqual([]);
    expect(() => averages.table({ sortBy: "cuda" as "count" })).toThrow(torch.ValueError);
    expect(() => averages.table({ rowLimit: 0 })).toThrow("rowLimit is 0; expected a positive integer");
    expect(() => running.keyAverages({ groupByInputShape: true })).toThrow("recordShapes: true");
    expect(() => recordFunction("", () => {})).toThrow(torch.ValueError);
    expect(() => profile(undefined as unknown as () => void)).toThrow(torch.ValueError);
  });
});
