/**
 * `cresset/vision`: image data sets, image files, and the formats they come in.
 *
 * @module
 */
export type { DownloadOptions, DownloadProgress } from "./download.js";
export { type GridOptions, makeGrid, saveImage } from "./grid.js";
export { type Idx, type IdxArray, parseIdx, readIdx } from "./idx.js";
export {
  type DecodeOptions,
  decodeImage,
  type EncodeOptions,
  encodeImage,
  type ImageMode,
  readImage,
  writeImage,
} from "./image-file.js";
export { LabelledImages } from "./labelled-images.js";
export { FashionMNIST, MNIST, type MNISTBytes, type MNISTOptions } from "./mnist.js";
export { SyntheticDigits, type SyntheticDigitsOptions } from "./synthetic-digits.js";
export * as transforms from "./transforms/index.js";
