/**
 * `cresset/data`: data sets, samplers and the loader that makes batches of them.
 *
 * @module
 */
export { type Collated, type CollateOptions, defaultCollate } from "./collate.js";
export { ConcatDataset, Dataset, IterableDataset, randomSplit, Subset, TensorDataset } from "./dataset.js";
export { DataLoader, type DataLoaderOptions } from "./loader.js";
export {
  BatchSampler,
  RandomSampler,
  type RandomSamplerOptions,
  Sampler,
  SequentialSampler,
  type Sized,
  WeightedRandomSampler,
  type WeightedRandomSamplerOptions,
} from "./sampler.js";
export { getWorkerInfo, type ServeOptions, serveDataset, type WorkerInfo } from "./serve.js";
