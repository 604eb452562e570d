/** Prints tensors as PyTorch does: four digits, aligned columns, summarised above a thousand elements. */
import { getDefaultDType, isFloating } from "../ops/dtype.js";
import { readElements } from "./read.js";
import type { Tensor } from "./tensor.js";

const precision = 4;
const threshold = 1000;
const edge = 3;
const lineWidth = 80;

function formatter(values: readonly number[], t: Tensor): (v: number) => string {
  if (t.dtype === "bool") return (v) => (v !== 0 ? "true" : "false");
  if (!isFloating(t.dtype)) return (v) => String(v);
  const finite = values.filter((v) => Number.isFinite(v) && v !== 0).map(Math.abs);
  const whole = finite.every((v) => Number.isInteger(v));
  const high = finite.reduce((a, b) => Math.max(a, b), 0);
  const low = finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const special = (v: number): string => (Number.isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf");
  const exponent = (v: number): string => v.toExponential(precision).replace(/e([+-])(\d)$/, "e$10$2");
  if (whole) {
    if (high > 1e8) return (v) => (Number.isFinite(v) ? exponent(v) : special(v));
    return (v) => (Number.isFinite(v) ? `${Object.is(v, -0) ? "-0" : v}.` : special(v));
  }
  if (high / low > 1000 || high > 1e8 || low < 1e-4) return (v) => (Number.isFinite(v) ? exponent(v) : special(v));
  return (v) => (Number.isFinite(v) ? (Object.is(v, -0) ? "-0.0000" : v.toFixed(precision)) : special(v));
}

/** `tensor([[1., 2.], [3., 4.]])` */
export function formatTensor(t: Tensor, name = "tensor"): string {
  const suffix: string[] = [];
  if (t.numel() === 0 && t.ndim !== 1) suffix.push(`size=(${t.shape.join(", ")})`);
  if (t.device.type !== "cpu") suffix.push(`device='${t.device}'`);
  if (t.dtype !== getDefaultDType() && t.dtype !== "int32" && t.dtype !== "bool") suffix.push(`dtype=${t.dtype}`);
  if (t.gradFn !== null) suffix.push(`gradFn=<${t.gradFn.name}>`);
  else if (t.requiresGrad) suffix.push("requiresGrad=true");
  if (!t.device.engine.host) return `${name}(…, shape=(${t.shape.join(", ")})${suffix.map((s) => `, ${s}`).join("")})`;
  const summarise = t.numel() > threshold;
  // A summary reads only the corners.
  const shown = summarise ? corners(t) : t;
  const flat = Array.from(readElements(shown.detach()), Number);
  const format = formatter(flat, t);
  const texts = flat.map(format);
  const width = t.ndim === 0 ? 0 : texts.reduce((w, s) => Math.max(w, s.length), 0);
  const indent = name.length + 1;
  const body = t.numel() === 0 ? "[]" : layout(texts, shown, t, 0, 0, texts.length, width, indent);
  return `${name}(${body}${suffix.map((s) => `, ${s}`).join("")})`;
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
