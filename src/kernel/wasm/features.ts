/** What a host's WebAssembly may have beyond vectors of 128 bits, and how kernels do without it. */
import { mulAdd } from "../expr.js";
import { type Expr, rewrite } from "../ir.js";
import { ModuleBuilder } from "./encoder.js";

export interface Features {
  /** Use relaxed SIMD's fused multiply-add. */
  readonly relaxed: boolean;
  /** The memory is shared between threads. */
  readonly shared: boolean;
}

/** The smallest module that uses relaxed SIMD: whether it validates tells whether the host has fused multiply-add. */
export function probeRelaxed(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const f = module.function([]);
  const v = f.local("v128");
  f.get(v).get(v).get(v).op("f32x4.relaxed_madd").set(v);
  return module.encode(f);
}

/** The stores with what the host can compute. */
export function supported<S extends { readonly value: Expr }>(stores: readonly S[], { relaxed }: Features): S[] {
  if (relaxed) return [...stores];
  const done = new Map<Expr, Expr>();
  const twoSteps = (e: Expr): Expr => (e.op === "madd" ? mulAdd(...(e.args as [Expr, Expr, Expr])) : e);
  return stores.map((s) => ({ ...s, value: rewrite(s.value, twoSteps, done) }));
}
