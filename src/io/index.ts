/**
 * `cresset/io`: tensors in files and bytes. See `safetensors.ts`.
 *
 * @module
 */
export { deserialize, loadFile, loadMetadata, saveFile, serialize, type NamedTensors } from "./safetensors.js";
