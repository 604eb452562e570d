/**
 * `cresset/io`: tensors and models in files and bytes. `safetensors.ts` for weights, `npy.ts` and `npz.ts` for exchange with
 * numpy, `onnx/` for models. PyTorch's .pt is behind `torch.save` and `torch.load`.
 *
 * @module
 */
export { deserializeNpy, loadNpy, saveNpy, serializeNpy } from "./npy.js";
export { deserializeNpz, type LoadNpzOptions, loadNpz, type NpzOptions, saveNpz, serializeNpz } from "./npz.js";
export {
  deserializeOnnx,
  type ExportOnnxOptions,
  exportOnnx,
  loadOnnx,
  type OnnxModule,
  serializeOnnx,
} from "./onnx/index.js";
export { deserialize, loadFile, loadMetadata, type NamedTensors, saveFile, serialize } from "./safetensors.js";
