/**
 * `cresset/data`: data sets, samplers and the loader that makes batches of them; tables.
 *
 * @module
 */
export { type Collated, type CollateOptions, defaultCollate } from "./collate.js";
export { CsvDataset, type CsvDatasetOptions, CsvStream } from "./csv-dataset.js";
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
export type { Cell, ColumnDType } from "./table/column.js";
export {
  DataFrame,
  duckdb,
  type FrameData,
  readCsv,
  readJsonLines,
  readParquet,
  type Slice,
} from "./table/data-frame.js";
export type { FramePlotOptions } from "./table/plot.js";
export type { ReadCsvOptions } from "./table/read.js";
export type { Series } from "./table/series.js";
