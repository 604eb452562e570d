/** Prints tensors as PyTorch does: four digits, aligned columns, summarised above a thousand elements. */
import type { TypedArray } from "../ops/creation.js";
import { type DType, getDefaultDType, isFloating } from "../ops/dtype.js";
import { readElements } from "./read.js";
import type { Tensor } from "./tensor.js";

const precision = 4;
const threshold = 1000;
const edge = 3;
const lineWidth = 80;

/** The digits of `v` cut after the fourth place, and the rest: exact, as doubles have finite decimals. */
const cutAfterFour = /^(-?\d+\.\d{3}\d)(\d*)(e[+-]\d+)?$/;

/** Rounds as C does, ties to even; JavaScript rounds them away from zero. */
function rounded(v: number, write: (v: number, digits: number) => string): string {
  const [, kept, rest, exponent] = cutAfterFour.exec(write(v, precision + 40)) as string[];
  const tie = /^50*$/.test(rest as string) && Number((kept as string).at(-1)) % 2 === 0;
  return tie ? `${kept}${exponent ?? ""}` : write(v, precision);
}
const fixed = (v: number): string => {
  const text = rounded(v, (x, digits) => x.toFixed(digits));
  return Object.is(v, -0) ? `-${text}` : text;
};
const scientific = (v: number): string => {
  const text = rounded(v, (x, digits) => x.toExponential(digits)).replace(/e([+-])(\d)$/, "e$10$2");
  return Object.is(v, -0) ? `-${text}` : text;
};
const whole = (v: number): string => (Object.is(v, -0) ? "-0." : `${v}.`);

/** The texts of all elements, and the width they are aligned to: that of the widest finite one that is not zero. */
function write(elements: TypedArray, dtype: DType): { texts: string[]; width: number } {
  const widest = (list: readonly string[]): number => list.reduce((w, s) => Math.max(w, s.length), 1);
  if (!isFloating(dtype)) {
    const texts = Array.from(elements as ArrayLike<number | bigint>, (v) =>
      dtype === "bool" ? (Number(v) !== 0 ? "true" : "false") : String(v),
    );
    return { texts, width: widest(texts) };
  }
  const values = Array.from(elements as ArrayLike<number>);
  const counted = values.filter((v) => Number.isFinite(v) && v !== 0);
  const high = counted.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const low = counted.reduce((m, v) => Math.min(m, Math.abs(v)), Number.POSITIVE_INFINITY);
  const spread = counted.length > 0 && (high / low > 1000 || high > 1e8 || low < 1e-4);
  const finite = spread ? scientific : counted.every(Number.isInteger) ? whole : fixed;
  const special = (v: number): string => (Number.isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf");
  return {
    texts: values.map((v) => (Number.isFinite(v) ? finite(v) : special(v))),
    width: widest(counted.map(finite)),
  };
}

/** `tensor([[1., 2.], [3., 4.]])` */
export function formatTensor(t: Tensor, name = "tensor"): string {
  const empty = t.numel() === 0;
  const suffixes: string[] = [];
  if (t.device.type !== "cpu") suffixes.push(`device='${t.device}'`);
  if (empty && t.ndim !== 1) suffixes.push(`size=(${t.shape.join(", ")})`);
  // An empty tensor shows no elements that would tell integers or booleans.
  const told = t.dtype === getDefaultDType() || (!empty && (t.dtype === "int32" || t.dtype === "bool"));
  if (!told) suffixes.push(`dtype=${t.dtype}`);
  if (t.gradFn !== null) suffixes.push(`gradFn=<${t.gradFn.name}>`);
  else if (t.requiresGrad) suffixes.push("requiresGrad=true");
  const indent = name.length + 1;
  if (!t.device.engine.host) return close(`${name}(…`, [`shape=(${t.shape.join(", ")})`, ...suffixes], indent);
  // A summary reads only the corners.
  const shown = t.numel() > threshold ? corners(t) : t;
  const { texts, width } = write(readElements(shown.detach()), t.dtype);
  const body = empty ? "[]" : layout(texts, shown, t, 0, 0, texts.length, width, indent);
  return close(`${name}(${body}`, suffixes, indent);
}

/** Adds the suffixes, on a new line where they would not fit. */
function close(text: string, suffixes: readonly string[], indent: number): string {
  let out = text;
  let column = text.length - text.lastIndexOf("\n") + 1;
  for (const suffix of suffixes) {
    if (column + suffix.length + 2 > lineWidth) {
      out += `,\n${" ".repeat(indent)}${suffix}`;
      column = indent + suffix.length;
    } else {
      out += `, ${suffix}`;
      column += suffix.length + 2;
    }
  }
  return `${out})`;
}

function corners(t: Tensor): Tensor {
  let out = t.detach();
  for (let d = 0; d < t.ndim; d++) {
    const n = out.shape[d] as number;
    if (n <= 2 * edge) continue;
    out = out.index(...new Array<":">(d).fill(":"), [0, 1, 2, n - 3, n - 2, n - 1]);
  }
  return out;
}

function layout(
  texts: readonly string[],
  shown: Tensor,
  t: Tensor,
  d: number,
  at: number,
  span: number,
  width: number,
  indent: number,
): string {
  if (d === t.ndim) return (texts[at] as string).padStart(width);
  const n = shown.shape[d] as number;
  const cut = n < (t.shape[d] as number);
  const step = n === 0 ? 0 : span / n;
  const parts = Array.from({ length: n }, (_, i) =>
    layout(texts, shown, t, d + 1, at + i * step, step, width, indent + 1),
  );
  if (cut) parts.splice(edge, 0, d === t.ndim - 1 ? " ..." : "...");
  if (d < t.ndim - 1) {
    const gap = `,${"\n".repeat(t.ndim - 1 - d)}${" ".repeat(indent + 1)}`;
    return `[${parts.join(gap)}]`;
  }
  const perLine = Math.max(1, Math.floor((lineWidth - indent) / (width + 2)));
  const lines: string[] = [];
  for (let i = 0; i < parts.length; i += perLine) lines.push(parts.slice(i, i + perLine).join(", "));
  return `[${lines.join(`,\n${" ".repeat(indent + 1)}`)}]`;
}
