/** The numbers of test/fixtures/make.py, made here by the same formula. */

/** n numbers in 0 … 1. Every product stays below 2^53, so both sides agree to the last bit. */
export function numbers(n: number, seed: number): Float64Array {
  let x = (seed * 2654435761) % 2 ** 32;
  const out = new Float64Array(n);
  for (let i = -3; i < n; i++) {
    x = (x * 1664525 + 1013904223) % 2 ** 32;
    if (i >= 0) out[i] = x / 2 ** 32;
  }
  return out;
}

/** n numbers in low … high: whole for integer dtypes, 0 or 1 for bool. Rounding to the dtype is left to the caller. */
export function drawn(n: number, dtype: string, [seed, low, high]: readonly [number, number, number]): Float64Array {
  return numbers(n, seed).map((u) => {
    if (dtype === "bool") return u >= 0.5 ? 1 : 0;
    if (dtype.includes("int")) return Math.floor(low + (high - low + 1) * u);
    return low + (high - low) * u;
  });
}
