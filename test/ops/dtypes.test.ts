/** Result dtypes for every pair of dtypes, casts between all of them, and the rounding of the halves. */
import { beforeAll, describe, expect, it } from "vitest";
import type { DType, Tensor } from "../../src/index.js";
import * as torch from "../../src/index.js";
import { decode, type Encoded, engines, load, make, onEngine, values } from "./cases.js";
import { table } from "./table.js";

interface Fixture {
  /** Operation, left dtype, right dtype (" 0d" without dimensions), number or nothing, result or null where refused. */
  results: [op: string, left: DType, right: string | number | null, result: DType | null][];
  casts: [from: DType, to: DType, values: Encoded[], expected: Encoded[]][];
  halves: Record<"float16" | "bfloat16", { in: (number | string)[]; out: Encoded[] }>;
}
const { results, casts, halves } = load<Fixture>("dtype");

function operand(right: string | number): Tensor | number {
  if (typeof right === "number") return right;
  const [dtype, flat] = right.split(" ");
  return torch.ones(flat ? [] : [2], { dtype: dtype as DType });
}

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  for (const op of new Set(results.map(([name]) => name))) {
    // Every pair of dtypes is a kernel to compile.
    it(`${op}: result dtypes`, { timeout: 180_000 }, () => {
      const wrong: string[] = [];
      for (const [name, left, right, expected] of results) {
        if (name !== op || expected === null) continue;
        const entry = table[op]!;
        const x = torch.ones([2], { dtype: left });
        let dtype: string;
        try {
          const out = right === null ? entry({ dim: 0 }, x) : entry({}, x, operand(right) as Tensor);
          dtype = (out as Tensor).dtype;
        } catch (error) {
          dtype = String(error);
        }
        if (dtype !== expected) wrong.push(`${left}, ${right}: ${dtype} instead of ${expected}`);
      }
      expect(wrong).toEqual([]);
    });
  }

  it("refuses what PyTorch refuses", () => {
    const wrong: string[] = [];
    for (const [op, left, right, expected] of results) {
      if (expected !== null) continue;
      // PyTorch refuses these; cresset takes bool as 0 and 1.
      const bool = left === "bool" || right === "bool";
      if (bool && ["sub", "pow", "floor", "relu"].includes(op)) continue;
      const x = torch.ones([2], { dtype: left });
      try {
        if (right === null) table[op]!({ dim: 0 }, x);
        else table[op]!({}, x, operand(right) as Tensor);
        wrong.push(`${op} ${left} ${right}`);
      } catch (error) {
        expect(error).toBeInstanceOf(torch.CressetError);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("casts", () => {
    const wrong: string[] = [];
    for (const [from, to, given, expected] of casts) {
      const out = make(decode(given), [given.length], from).to(to);
      const got = values(out);
      if (out.dtype !== to) wrong.push(`${from} to ${to}: ${out.dtype}`);
      for (const [i, e] of decode(expected).entries()) {
        const a = got[i] as number;
        if (a !== e && !(Math.abs(a - e) <= 1e-6 * Math.abs(e)))
          wrong.push(`${from} to ${to}: ${given[i]} became ${a}, not ${e}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each(["float16", "bfloat16"] as const)("%s rounds to even, overflows and underflows", (dtype) => {
    const { in: given, out } = halves[dtype];
    const x = make(given.map(Number), [given.length], "float32").to(dtype);
    const got = values(x.to("float32"));
    for (const [i, e] of decode(out).entries()) {
      const a = got[i] as number;
      expect(Object.is(a, e) || Math.abs(a - e) <= 1e-5 * Math.abs(e), `${given[i]}: ${a}, not ${e}`).toBe(true);
    }
  });
});
