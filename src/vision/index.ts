/**
 * `cresset/vision`: image data sets, image files, and the formats they come in.
 *
 * @module
 */
export { CIFAR10, type CIFAR10Options } from "./cifar.js";
export type { DownloadOptions, DownloadProgress } from "./download.js";
export { EMNIST, type EMNISTOptions, type EMNISTSplit } from "./emnist.js";
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
export { ImageFolder, type ImageFolderOptions, type ImageSample } from "./image-folder.js";
export { LabelledImages } from "./labelled-images.js";
export { FashionMNIST, KMNIST, MNIST, type MNISTBytes, type MNISTOptions } from "./mnist.js";
export { SyntheticDigits, type SyntheticDigitsOptions } from "./synthetic-digits.js";
export { TransformedDataset, type TransformedOptions } from "./transformed.js";
export * as transforms from "./transforms/index.js";
