/** Numbers and shapes as PyTorch's `extra_repr` prints them, so that printed models read the same. */

/** A float as Python writes it: `1.0`, `0.02`, `1e-05`. */
export function float(x: number): string {
  if (Number.isInteger(x) && Math.abs(x) < 1e16) return `${x}.0`;
  const text = x !== 0 && Math.abs(x) < 1e-4 ? x.toExponential() : String(x);
  return text
    .replace(/e([+-])(\d)$/, "e$10$2")
    .replace("Infinity", "inf")
    .replace("NaN", "nan");
}

/** A boolean as Python writes it. */
export function bool(x: boolean): string {
  return x ? "True" : "False";
}

/** A shape as a Python tuple: `(200,)`, `(2, 3)`. */
export function tuple(shape: readonly number[]): string {
  return shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
}
