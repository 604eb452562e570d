/**
 * `cresset/io`: tensors in files and bytes. `safetensors.ts` for weights, `npy.ts` and `npz.ts` for exchange with numpy.
 *
 * @module
 */
export { deserializeNpy, loadNpy, saveNpy, serializeNpy } from "./npy.js";
export { deserializeNpz, type LoadNpzOptions, loadNpz, type NpzOptions, saveNpz, serializeNpz } from "./npz.js";
export { deserialize, loadFile, loadMetadata, type NamedTensors, saveFile, serialize } from "./safetensors.js";
