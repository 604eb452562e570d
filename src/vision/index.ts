/**
 * `cresset/vision`: image data sets and the formats they come in.
 *
 * @module
 */
export type { DownloadOptions, DownloadProgress } from "./download.js";
export { type Idx, type IdxArray, parseIdx, readIdx } from "./idx.js";
export { LabelledImages } from "./labelled-images.js";
export { FashionMNIST, MNIST, type MNISTBytes, type MNISTOptions } from "./mnist.js";
export { SyntheticDigits, type SyntheticDigitsOptions } from "./synthetic-digits.js";
