/**
 * cresset: PyTorch's programming model for TypeScript, on a kernel compiler of its own.
 *
 * ```ts
 * import * as torch from "cresset";
 * const x = torch.tensor(3.5, { requiresGrad: true });
 * x.mul(x).backward();
 * x.grad!.item(); // 7
 * ```
 */
export * as autograd from "./autograd/index.js";
export { type CompileOptions, compile } from "./compile/compile.js";
export * as cuda from "./device/cuda.js";
export {
  cpuEngineName,
  Device,
  type DeviceType,
  getNumThreads,
  setCpuEngine,
  setFlushDenormal,
  setNumThreads,
} from "./device/index.js";
export * from "./errors.js";
export { type LoadOptions, load, save } from "./io/checkpoint.js";
export * as nn from "./nn/index.js";
export * as optim from "./optim/index.js";
export * as profiler from "./profiler/index.js";
export * from "./tensor/index.js";
