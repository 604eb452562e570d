/** The smallest module that uses relaxed SIMD: whether it validates tells whether the host has fused multiply-add. */
import { ModuleBuilder } from "./encoder.js";

export function probeRelaxed(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const f = module.function([]);
  const v = f.local("v128");
  f.get(v).get(v).get(v).op("f32x4.relaxed_madd").set(v);
  return module.encode(f);
}
