/** Orders of all dtypes against JavaScript's stable sort: ties, zeros of both signs, infinities, NaN; and the recorded network. */
import { afterAll, describe, expect, it } from "vitest";
import type { Tensor } from "../../src/index.js";
import * as torch from "../../src/index.js";

const special = [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1, -1];
const floats = ["float32", "float64", "float16", "bfloat16"] as const;
const integers = ["int64", "int32", "int16", "int8", "uint8", "bool"] as const;

let state = 5;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const float = (): number =>
  random() < 0.2 ? (special[Math.floor(random() * special.length)] as number) : Math.round((random() - 0.5) * 64) / 8;
const whole = (dtype: string): number => {
  if (dtype === "bool") return Math.round(random());
  if (dtype === "uint8") return Math.floor(random() * 256);
  const range = dtype === "int8" ? 2 ** 7 : dtype === "int16" ? 2 ** 15 : dtype === "int32" ? 2 ** 31 : 2 ** 52;
  return random() < 0.3 ? Math.round(random() * 4 - 2) : Math.round((random() * 2 - 1) * (range - 1));
};

/** The places in order: equal ones as they came, NaN as the largest. */
function order(row: readonly number[], descending: boolean): number[] {
  const compare = (a: number, b: number): number =>
    Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : a < b ? -1 : a > b ? 1 : 0;
  return row
    .map((_, i) => i)
    .sort((i, j) => (descending ? -1 : 1) * compare(row[i] as number, row[j] as number) || i - j);
}
const numbers = (t: Tensor): number[][] => (t.tolist() as unknown[][]).map((row) => row.map(Number));

describe.each(["native", "wasm"] as const)("sorting on %s", (engine) => {
  afterAll(() => torch.setCpuEngine("native"));
  for (const dtype of [...floats, ...integers]) {
    it(dtype, () => {
      torch.setCpuEngine(engine);
      const isFloat = (floats as readonly string[]).includes(dtype);
      const lengths =
        dtype === "float32" || dtype === "int64" ? [1, 2, 31, 32, 33, 300, 4095, 4096, 4097] : [1, 32, 33, 300];
      for (const n of lengths) {
        const data = [0, 1, 2].map(() => Array.from({ length: n }, () => (isFloat ? float() : whole(dtype))));
        const x = torch.tensor(data, { dtype: "float64" }).to(dtype);
        const rows = numbers(x);
        for (const descending of [false, true]) {
          const want = rows.map((row) => order(row, descending));
          const { values, indices } = x.sort(1, { descending });
          expect(numbers(indices)).toEqual(want);
          expect(numbers(values)).toEqual(want.map((places, r) => places.map((p) => rows[r]?.[p])));
          expect(values.dtype).toBe(dtype);
          for (const count of [2, 5, 32, 33].filter((k) => k <= n)) {
            const best = x.topk(count, 1, { largest: descending });
            expect(numbers(best.indices)).toEqual(want.map((places) => places.slice(0, count)));
            expect(numbers(best.values)).toEqual(numbers(values).map((row) => row.slice(0, count)));
          }
          if (!descending && !rows.flat().some(Number.isNaN)) {
            const middle = (n - 1) >> 1;
            expect(x.median(1).indices.tolist()).toEqual(want.map((places) => places[middle]));
          }
          if (n > 33) continue;
          const recorded = torch.compile((t: Tensor) => t.sort(1, { descending }));
          for (let i = 0; i < 2; i++) expect(numbers(recorded(x).indices)).toEqual(want);
        }
      }
    });
  }

  it("other dimensions, views, nothing", () => {
    torch.setCpuEngine(engine);
    const x = torch.tensor([
      [3, 1, 2],
      [1, 5, 0],
    ]);
    expect(x.sort(0).values.tolist()).toEqual([
      [1, 1, 0],
      [3, 5, 2],
    ]);
    expect(x.t().sort(1).indices.tolist()).toEqual([
      [1, 0],
      [0, 1],
      [1, 0],
    ]);
    expect(x.narrow(1, 1, 2).sort(1).values.tolist()).toEqual([
      [1, 2],
      [0, 5],
    ]);
    expect(torch.empty([3, 0]).sort(1).values.shape).toEqual([3, 0]);
    expect(torch.empty([0, 3]).sort(1).indices.shape).toEqual([0, 3]);
    expect(x.topk(0, 1).values.shape).toEqual([2, 0]);
  });

  it("gradients of chosen values go where they were", () => {
    torch.setCpuEngine(engine);
    const x = torch.tensor([3, 1, 4, 1, 5], { requiresGrad: true, dtype: "float32" });
    x.topk(2)
      .values.mul(torch.tensor([10, 20]))
      .sum()
      .backward();
    expect(x.grad?.tolist()).toEqual([0, 0, 20, 0, 10]);
  });
});
