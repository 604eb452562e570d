/** Gradients against finite differences. https://pytorch.org/docs/stable/generated/torch.autograd.gradcheck.html */
import { AutogradError, ValueError } from "../errors.js";
import { isFloating } from "../ops/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { grad } from "./backward.js";

export interface GradcheckOptions {
  /** The step of the central difference. */
  eps?: number;
  atol?: number;
  rtol?: number;
  /** False: answer instead of throwing. */
  raise?: boolean;
}

/**
 * Compares the gradients of `fn` with central differences (f(x+ε) − f(x−ε))/2ε at every element of every float64 input
 * that requires one. Throws an AutogradError that names the first entry that differs.
 */
export function gradcheck(
  fn: (...inputs: Tensor[]) => Tensor | Tensor[],
  inputs: readonly Tensor[],
  o: GradcheckOptions = {},
): boolean {
  const eps = o.eps ?? 1e-6;
  const atol = o.atol ?? 1e-5;
  const rtol = o.rtol ?? 1e-3;
  const checked = inputs.filter((t) => t.requiresGrad);
  if (checked.length === 0) throw new ValueError("gradcheck: no input requires a gradient");
  for (const t of checked) {
    if (t.dtype !== "float64")
      throw new ValueError(`gradcheck: inputs must be float64, not ${t.dtype}: smaller floats drown the differences`);
  }
  const outputs = (): Tensor[] => {
    const out = fn(...inputs);
    return (Array.isArray(out) ? out : [out]).filter((t) => isFloating(t.dtype));
  };
  const flat = (t: Tensor): Float64Array =>
    t.detach().to("float64").contiguous().flatten().toTypedArray() as Float64Array;
  // Differences first: they change the inputs, which the graph must then not have saved.
  const numeric = checked.map((t) =>
    Array.from({ length: t.numel() }, (_, e) => difference(() => outputs().map(flat), t, e, eps)),
  );
  for (const [k, out] of outputs().entries()) {
    for (let i = 0; i < out.numel(); i++) {
      const direction = out.detach().flatten().clone().zero_();
      direction.set([i], 1);
      const options = { gradOutputs: direction.reshape(out.shape), retainGraph: true, allowUnused: true } as const;
      for (const [j, analytic] of grad(out, checked, options).entries()) {
        const values = analytic === null ? null : flat(analytic);
        for (const [e, column] of (numeric[j] as Float64Array[][]).entries()) {
          const expected = column[k]?.[i] as number;
          const exact = values === null ? 0 : (values[e] as number);
          const same = Math.abs(exact - expected) <= atol + rtol * Math.abs(expected);
          if (same || (Number.isNaN(exact) && Number.isNaN(expected))) continue;
          if (o.raise === false) return false;
          throw new AutogradError(
            `gradcheck: d(output ${k}[${i}])/d(input ${j}[${e}]) is ${exact} by backward and ${expected} by differences`,
          );
        }
      }
    }
  }
  return true;
}

/** (f(x+ε) − f(x−ε))/2ε for one element of `t`, for every element of every output. */
function difference(f: () => Float64Array[], t: Tensor, element: number, eps: number): Float64Array[] {
  const index: number[] = [];
  let rest = element;
  for (let d = t.ndim - 1; d >= 0; d--) {
    index.unshift(rest % (t.shape[d] as number));
    rest = Math.floor(rest / (t.shape[d] as number));
  }
  // `f` runs as the user wrote it, recording: it may itself ask for gradients.
  const leaf = t.detach();
  const x = leaf.get(index);
  leaf.set(index, x + eps);
  const high = f();
  leaf.set(index, x - eps);
  const low = f();
  leaf.set(index, x);
  return high.map((h, k) => h.map((v, i) => (v - (low[k]?.[i] as number)) / (2 * eps)));
}
