/** `DataFrame.describe`: pandas's eight numbers for each column. */
import { fromTypedArray } from "../../tensor/index.js";
import type { Column } from "./column.js";

const quarters = [0.25, 0.5, 0.75] as const;
const labels = ["count", "mean", "std", "min", "25%", "50%", "75%", "max"];

/** A column of labels, and one of eight numbers for each column of numbers. Missing values do not count. */
export function describeColumns(columns: readonly Column[]): Column[] {
  const numeric = columns.filter(({ dtype }) => dtype !== "string" && dtype !== "bool");
  return [
    { name: "", dtype: "string", data: labels, valid: null },
    ...numeric.map((column): Column => ({ name: column.name, dtype: "float64", data: eight(column), valid: null })),
  ];
}

function eight({ data, valid }: Column): Float64Array {
  const present = Float64Array.from(data as ArrayLike<number>, Number).filter(
    (value, i) => !Number.isNaN(value) && (valid === null || valid[i] === 1),
  );
  const n = present.length;
  if (n === 0) return new Float64Array(8).fill(Number.NaN).fill(0, 0, 1);
  const values = fromTypedArray(present, [n]);
  const sorted = present.sort();
  // Linear between neighbours, as pandas and numpy do.
  const quantile = (q: number): number => {
    const at = q * (n - 1);
    const low = sorted[Math.floor(at)] as number;
    return low + ((sorted[Math.ceil(at)] as number) - low) * (at - Math.floor(at));
  };
  const deviation = n > 1 ? values.std().item() : Number.NaN;
  return Float64Array.of(
    n,
    values.mean().item(),
    deviation,
    sorted[0] as number,
    ...quarters.map(quantile),
    sorted[n - 1] as number,
  );
}
