/** Gradients against finite differences. https://pytorch.org/docs/stable/generated/torch.autograd.gradcheck.html */
import { AutogradError, ValueError } from "../errors.js";
import { isFloating } from "../ops/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { grad } from "./backward.js";
import { noGrad } from "./mode.js";

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
export function gradcheck(fn: (...inputs: Tensor[]) => Tensor | Tensor[], inputs: readonly Tensor[], o: GradcheckOptions = {}): boolean {
  const eps = o.eps ?? 1e-6;
  const atol = o.atol ?? 1e-5;
  const rtol = o.rtol ?? 1e-3;
  const checked = inputs.filter((t) => t.requiresGrad);
  if (checked.length === 0) throw new ValueError("gradcheck: no input requires a gradient");
  for (const t of checked) {
    if (t.dtype !== "float64") throw new ValueError(`gradcheck: inputs must be float64, not ${t.dtype}: smaller floats drown the differences`);
  }
  const outputs = (): Tensor[] => {
    const out = fn(...inputs);
    return (Array.isArray(out) ? out : [out]).filter((t) => isFloating(t.dtype));
  };
  const made = outputs();
  for (const [k, out] of made.entries()) {
    for (let i = 0; i < out.numel(); i++) {
      const direction = out.detach().flatten().clone().zero_();
      direction.set([i], 1);
      const analytic = grad(out, checked, { gradOutputs: direction.reshape(out.shape), retainGraph: true, allowUnused: true });
      for (const [j, t] of checked.entries()) {
        const values = analytic[j]?.detach().contiguous().flatten().toTypedArray();
        for (let e = 0; e < t.numel(); e++) {
          const numeric = difference(() => outputs()[k]?.detach().contiguous().flatten().get([i]) as number, t, e, eps);
          const exact = values === undefined ? 0 : Number(values[e]);
          if (!(Math.abs(exact - numeric) <= atol + rtol * Math.abs(numeric)) && !(Number.isNaN(exact) && Number.isNaN(numeric))) {
            if (o.raise === false) return false;
            throw new AutogradError(
              `gradcheck: d(output ${k}[${i}])/d(input ${j}[${e}]) is ${exact} by backward and ${numeric} by differences`,
            );
          }
        }
      }
    }
  }
  return true;
}

function difference(f: () => number, t: Tensor, element: number, eps: number): number {
  const index: number[] = [];
  let rest = element;
  for (let d = t.ndim - 1; d >= 0; d--) {
    index.unshift(rest % (t.shape[d] as number));
    rest = Math.floor(rest / (t.shape[d] as number));
  }
  return noGrad(() => {
    const leaf = t.detach();
    const x = leaf.get(index);
    leaf.set(index, x + eps);
    const high = f();
    leaf.set(index, x - eps);
    const low = f();
    leaf.set(index, x);
    return (high - low) / (2 * eps);
  });
}
