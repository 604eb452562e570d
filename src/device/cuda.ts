/** `torch.cuda`: what there is to say about NVIDIA GPUs. No CUDA engine is built yet, so no device is ever available. */
import { DeviceError } from "../errors.js";

/** True where tensors can be put on a CUDA device. https://pytorch.org/docs/stable/generated/torch.cuda.is_available.html */
export const isAvailable = (): boolean => false;
export const deviceCount = (): number => 0;
/** The GPU's name. */
export function getDeviceName(index = 0): string {
  throw new DeviceError(`cuda.getDeviceName: there is no CUDA device ${index}; torch.cuda.isAvailable() is false`);
}
