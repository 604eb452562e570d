/**
 * `cresset/io`: tensors in files and bytes. See `safetensors.ts`.
 *
 * @module
 */
export { deserialize, loadFile, loadMetadata, type NamedTensors, saveFile, serialize } from "./safetensors.js";
