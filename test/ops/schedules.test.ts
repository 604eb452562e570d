/**
 * Sizes at which an engine changes the way it runs a kernel: long folds in parts, tiles of transposed operands, results past
 * the cache, rows whose values are kept. One below, at and one above each bound, against plain loops.
 */
import { describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";

/** Numbers in [0, 1), of eight bits each. */
function numbers(n: number): Float32Array {
  const out = new Float32Array(n);
  let state = 1;
  for (let i = 0; i < n; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = (state >>> 24) / 256;
  }
  return out;
}

/** Where `got` first differs from `want`. */
function differs(got: ArrayLike<number | bigint>, want: ArrayLike<number>, tolerance = 0): string | null {
  if (got.length !== want.length) return `${got.length} numbers, expected ${want.length}`;
  for (let i = 0; i < want.length; i++) {
    const [g, w] = [Number(got[i]), want[i] as number];
    if (Object.is(g, w) || Math.abs(g - w) <= tolerance * Math.abs(w)) continue;
    return `number ${i}: ${g}, expected ${w}`;
  }
  return null;
}

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  const threads = [1, 3];
  const on = (count: number): void => {
    torch.setCpuEngine(engine);
    torch.setNumThreads(count);
  };

  it("sums rows in chunks, and what is left of them", () => {
    on(1);
    for (const n of [
      15, 16, 17, 31, 32, 33, 127, 128, 129, 143, 144, 255, 256, 257, 287, 288, 289, 4095, 4096, 4097, 4225,
    ]) {
      const data = numbers(3 * n);
      const x = torch.fromTypedArray(data, [3, n]);
      const rows = [0, 1, 2].map((r) => data.subarray(r * n, r * n + n));
      const sums = rows.map((row) => row.reduce((s, v) => s + v, 0));
      expect(differs(x.sum(1).toTypedArray(), sums, 1e-6), `sum ${n}`).toBeNull();
      const spread = rows.map((row, r) => row.reduce((s, v) => s + (v - (sums[r] as number) / n) ** 2, 0) / n);
      expect(differs(x.var(1, { correction: 0 }).toTypedArray(), spread, 1e-5), `variance ${n}`).toBeNull();
      expect(x.double().sum(1).tolist()).toEqual(sums);
    }
  });

  it("folds long rows in parts, whatever the threads", () => {
    for (const n of [65535, 65537, 262143, 262144, 262145, 327679, 327680, 327681]) {
      const data = numbers(2 * n);
      const total = (from: number): number => data.subarray(from, from + n).reduce((s, v) => s + v, 0);
      const sums = new Set<number>();
      for (const count of threads) {
        on(count);
        const x = torch.fromTypedArray(data, [2, n]);
        expect(differs(x.sum(1).toTypedArray(), [total(0), total(n)], 1e-6), `sum ${n}`).toBeNull();
        expect(x.select(0, 1).sum().item()).toBeCloseTo(total(n), 0);
        data[n + 70000 < 2 * n ? n + 70000 : n] = 2;
        const y = torch.fromTypedArray(data, [2, n]);
        const at = n + 70000 < 2 * n ? 70000 : 0;
        expect(y.select(0, 1).argmax().item()).toBe(at);
        expect(y.amax(1).toTypedArray()[1]).toBe(2);
        data[2 * n - 1] = Number.NaN;
        const z = torch.fromTypedArray(data, [2, n]);
        expect(Number.isNaN(z.amax(1).toTypedArray()[1])).toBe(true);
        expect(Number.isNaN(z.amin(1).toTypedArray()[0])).toBe(false);
        expect(z.select(0, 1).argmin().item()).toBe(n - 1);
        data.set(numbers(2 * n));
        sums.add(torch.fromTypedArray(data, [2, n]).exp().sum().item());
      }
      expect(sums.size).toBe(1);
    }
  });

  it("folds blocks of a row side by side", () => {
    on(1);
    for (const n of [4095, 4096, 4097, 12289, 16383, 16384, 16385, 20479, 20481, 32767, 32768, 36865]) {
      const data = numbers(2 * n);
      // The row's first number in memory is not the array's, and its last is the greatest.
      const x = torch.fromTypedArray(data, [2 * n]).narrow(0, 1, n);
      const row = data.subarray(1, n + 1);
      const total = row.reduce((sum, v) => sum + v, 0);
      expect(x.sum().item() / total, `sum ${n}`).toBeCloseTo(1, 6);
      expect(x.double().sum().item()).toBe(total);
      expect(x.mul(x).sum().item()).toBeCloseTo(
        row.reduce((sum, v) => sum + v * v, 0),
        1,
      );
      const counts = torch.fromTypedArray(Int32Array.from(data, (v) => v * 256)).narrow(0, 1, n);
      expect(counts.sum().item()).toBe(total * 256);
      expect([counts.amax().item(), counts.amin().item()]).toEqual([Math.max(...row) * 256, Math.min(...row) * 256]);
      for (const at of [0, 4095, 4096, 8191, 12288, 16383, 16384, n - 1].filter((i) => i < n)) {
        const old = row[at] as number;
        row[at] = 3;
        const y = torch.fromTypedArray(data, [2 * n]).narrow(0, 1, n);
        expect([y.amax().item(), y.argmax().item()], `greatest of ${n} at ${at}`).toEqual([3, at]);
        expect(y.gt(2).any().item()).toBe(1);
        row[at] = Number.NaN;
        const z = torch.fromTypedArray(data, [2 * n]).narrow(0, 1, n);
        expect([z.amax().item(), z.amin().item(), z.sum().item()]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
        row[at] = old;
      }
      expect(torch.full([n], 1.0001).prod().item() / 1.0001 ** n).toBeCloseTo(1, 1);
    }
  });

  it("folds long rows in stages, with a store for each element", () => {
    for (const n of [262143, 262144, 262145]) {
      on(2);
      const data = numbers(n);
      const x = torch.fromTypedArray(data, [n]);
      const mean = data.reduce((s, v) => s + v, 0) / n;
      const variance = data.reduce((s, v) => s + (v - mean) ** 2, 0) / (n - 1);
      expect(x.var().item()).toBeCloseTo(variance, 6);
      const sum = data.reduce((s, v) => s + Math.exp(v), 0);
      expect(
        differs(
          x.softmax(0).toTypedArray(),
          data.map((v) => Math.exp(v) / sum),
          2e-6,
        ),
      ).toBeNull();
    }
  });

  it("folds long columns in parts", () => {
    for (const rows of [1023, 1024, 1025, 1280, 1281]) {
      for (const columns of [1, 7, 8, 2047, 2048, 2049]) {
        const data = numbers(rows * columns);
        data[(rows - 1) * columns] = 2;
        const sums = new Float64Array(columns);
        for (let i = 0; i < data.length; i++) sums[i % columns] = (sums[i % columns] as number) + (data[i] as number);
        for (const count of threads) {
          on(count);
          const x = torch.fromTypedArray(data, [rows, columns]);
          expect(differs(x.sum(0).toTypedArray(), sums, 1e-6), `${rows}×${columns}`).toBeNull();
          const top = x.argmax(0);
          expect(Number(top.toTypedArray()[0])).toBe(rows - 1);
          expect(x.amax(0).toTypedArray()[0]).toBe(2);
          const soft = x.softmax(0).sum(0).toTypedArray();
          expect(differs(soft, new Float32Array(columns).fill(1), 1e-5)).toBeNull();
        }
        // A view with a stride along the columns, in batches.
        const view = torch
          .fromTypedArray(numbers(2 * rows * 8), [2, rows, 8])
          .slice(2, 0, 8, 2)
          .sum(1);
        expect(view.shape).toEqual([2, 4]);
      }
    }
  });

  it("sums a long column as exactly as in float64, to the last digits", () => {
    on(2);
    const rows = 100_000;
    torch.manualSeed(1);
    const x = torch.rand([rows, 9]);
    const data = x.toTypedArray();
    const sums = new Float64Array(9);
    for (let i = 0; i < data.length; i++) sums[i % 9] = (sums[i % 9] as number) + Number(data[i]);
    expect(differs(x.sum(0).toTypedArray(), sums, 1e-6)).toBeNull();
  });

  it("scans down columns side by side", () => {
    for (const columns of [1, 7, 8, 9, 2047, 2048, 2049, 4097]) {
      const rows = 5;
      const data = numbers(2 * rows * columns);
      const want = Float32Array.from(data);
      for (let b = 0; b < 2; b++)
        for (let i = columns; i < rows * columns; i++)
          want[b * rows * columns + i] =
            (want[b * rows * columns + i - columns] as number) + (want[b * rows * columns + i] as number);
      for (const count of threads) {
        on(count);
        const x = torch.fromTypedArray(data, [2, rows, columns]);
        expect(differs(x.cumsum(1).toTypedArray(), want), `sums of ${columns}`).toBeNull();
        expect(
          x
            .lt(2)
            .cumprod(1)
            .equal(torch.ones([2, rows, columns], { dtype: "int64" })),
        ).toBe(true);
      }
    }
  });

  it("turns tiles of mirrored operands", () => {
    for (const n of [1, 2, 63, 64, 65, 130]) {
      on(2);
      const data = numbers(3 * n * 67);
      const x = torch.fromTypedArray(data, [3, 67, n]);
      const mirrored = data.map((_, i) => data[i - (i % n) + n - 1 - (i % n)] as number);
      expect(differs(x.flip(2).toTypedArray(), mirrored), `rows of ${n}`).toBeNull();
      const turned = x.transpose(1, 2).flip(2);
      expect(differs(turned.transpose(1, 2).flip(1).toTypedArray(), data), `columns of ${n}`).toBeNull();
    }
  });

  it("turns tiles of transposed operands", () => {
    for (const m of [1, 2, 15, 16, 17, 63, 64, 65]) {
      for (const n of [1, 2, 7, 8, 9, 63, 64, 65, 130]) {
        on(2);
        const data = numbers(m * n * 3);
        const x = torch.fromTypedArray(data, [m, n].concat(3));
        const want = (i: number, j: number, c: number): number => data[(i * n + j) * 3 + c] as number;
        const check = (y: torch.Tensor, read: (i: number) => number): void => {
          expect(
            differs(
              y.contiguous().toTypedArray(),
              Float64Array.from({ length: y.numel() }, (_, i) => read(i)),
            ),
          ).toBeNull();
        };
        check(x.permute([1, 0, 2]), (i) => want(Math.floor(i / 3) % m, Math.floor(i / 3 / m), i % 3));
        check(x.permute([2, 1, 0]), (i) => want(i % m, Math.floor(i / m) % n, Math.floor(i / m / n)));
        check(x.permute([1, 2, 0]), (i) => want(i % m, Math.floor(i / m / 3), Math.floor(i / m) % 3));
        check(x.permute([2, 0, 1]), (i) => want(Math.floor(i / n) % m, i % n, Math.floor(i / n / m)));
        const flat = torch.fromTypedArray(data.slice(0, m * n), [m, n]);
        check(
          flat.t().add(flat.t().contiguous()).sub(flat.t()),
          (i) => data[(i % m) * n + Math.floor(i / m)] as number,
        );
        const own = flat.clone();
        own.t().add_(1);
        check(own, (i) => (data[i] as number) + 1);
      }
    }
  });

  it("streams large results, from any first element", () => {
    on(2);
    const n = 2 ** 21 + 5;
    const data = numbers(n);
    data[n - 1] = Number.NaN;
    data[n - 2] = Number.POSITIVE_INFINITY;
    const x = torch.fromTypedArray(data, [n]);
    for (const size of [2 ** 21 - 1, 2 ** 21, 2 ** 21 + 1, n]) {
      const from = n - size;
      const part = x.slice(0, from);
      expect(
        differs(
          part.mul(2).toTypedArray(),
          data.subarray(from).map((v) => 2 * v),
        ),
      ).toBeNull();
      const copy = x.clone();
      copy.slice(0, from).add_(1);
      expect(
        differs(
          copy.toTypedArray(),
          data.map((v, i) => (i < from ? v : v + 1)),
        ),
      ).toBeNull();
    }
    const into = torch.zeros([n + 3]);
    into.slice(0, 3).copy_(x);
    expect(differs(into.slice(0, 3).toTypedArray(), data)).toBeNull();
    expect(differs(into.slice(0, 0, 3).toTypedArray(), [0, 0, 0])).toBeNull();
    const wide = numbers(1450 * 1449);
    const square = torch.fromTypedArray(wide, [1450, 1449]);
    const turned = square.t().contiguous().toTypedArray();
    for (const [i, j] of [
      [0, 0],
      [3, 17],
      [1449, 1448],
      [720, 1025],
    ] as const) {
      expect(turned[j * 1450 + i]).toBe(wide[i * 1449 + j]);
    }
  });

  it("multiplies matrices of few and of more rows, however they lie, and their gradients", () => {
    on(1);
    const sizes = [1, 3, 4, 5, 9];
    /** The same numbers in other memory: in order, transposed, every second of a wider matrix. */
    const layouts: ((t: torch.Tensor) => torch.Tensor)[] = [
      (t) => t,
      (t) => t.t().contiguous().t(),
      (t) => torch.cat([t, t], 1).reshape(t.size(0), 2, t.size(1)).permute(0, 2, 1).contiguous().select(2, 1),
    ];
    const product = (a: number[][], b: number[][]): number[][] =>
      a.map((row) => (b[0] as number[]).map((_, j) => row.reduce((s, v, i) => s + v * (b[i] as number[])[j]!, 0)));
    const flip = (a: number[][]): number[][] => (a[0] as number[]).map((_, j) => a.map((row) => row[j] as number));
    for (const [M, K, N] of sizes.flatMap((m) => sizes.flatMap((k) => sizes.map((n) => [m, k, n] as const)))) {
      const [x, y, g] = [
        [M, K],
        [K, N],
        [M, N],
      ].map((shape) => torch.fromTypedArray(numbers((shape[0] as number) * (shape[1] as number)), shape)) as [
        torch.Tensor,
        torch.Tensor,
        torch.Tensor,
      ];
      const [a, b, up] = [x, y, g].map((t) => t.tolist()) as [number[][], number[][], number[][]];
      const want = [product(a, b), product(up, flip(b)), product(flip(a), up)];
      for (const [l, lay] of layouts.entries()) {
        const what = `(${M}, ${K}) × (${K}, ${N}), layout ${l}`;
        const left = lay(x).detach().requiresGrad_();
        const right = lay(y).detach().requiresGrad_();
        const out = left.matmul(right);
        out.backward(lay(g));
        expect([out.tolist(), left.grad?.tolist(), right.grad?.tolist()], what).toEqual(want);
        const weight = lay(y.t()).detach().requiresGrad_();
        const bias = torch.fromTypedArray(numbers(N), [N]).requiresGrad_();
        const rows = lay(x).detach().requiresGrad_();
        const line = torch.nn.functional.linear(rows, weight, bias);
        line.backward(lay(g));
        expect(line.sub(bias).tolist(), `linear ${what}`).toEqual(want[0]);
        expect([rows.grad?.tolist(), weight.grad?.t().tolist()], `linear ${what}`).toEqual(want.slice(1));
        expect(bias.grad?.tolist()).toEqual(flip(up).map((column) => column.reduce((s, v) => s + v, 0)));
        // More dimensions before, one of them out of order.
        const deep = torch.stack([rows.detach(), rows.detach()], 1);
        const both = torch.nn.functional.linear(deep, weight.detach());
        expect(both.select(1, 0).tolist(), `deep ${what}`).toEqual(want[0]);
        expect(both.select(1, 1).tolist(), `deep ${what}`).toEqual(want[0]);
        const turned = torch.nn.functional.linear(deep.transpose(0, 1), weight.detach());
        expect(turned.select(0, 1).tolist(), `turned ${what}`).toEqual(want[0]);
      }
    }
  });

  it("keeps a row's values between stages", () => {
    for (const n of [1, 2, 2047, 2048, 2049]) {
      on(2);
      const data = numbers(3 * n);
      data[0] = Number.NEGATIVE_INFINITY;
      data[2 * n] = Number.NaN;
      const y = torch.fromTypedArray(data, [3, n]).softmax(1).toTypedArray();
      for (const r of [0, 1]) {
        const row = data.subarray(r * n, (r + 1) * n);
        if (n === 1 && r === 0) continue;
        const sum = row.reduce((s, v) => s + Math.exp(v), 0);
        expect(
          differs(
            Float32Array.from(y.slice(r * n, (r + 1) * n) as Float32Array),
            row.map((v) => Math.exp(v) / sum),
            2e-6,
          ),
        ).toBeNull();
      }
      for (let i = 2 * n; i < 3 * n; i++) expect(Number.isNaN(Number(y[i]))).toBe(true);
    }
  });
});
