/**
 * `cresset/training`: what stands around a training loop. Metrics, a trainer with callbacks, progress bars, a model's table
 * of layers, TensorBoard logs. All of it is optional: a plain loop needs none.
 *
 * @module
 */
export { AUROC, type AUROCOptions } from "./auroc.js";
export {
  type Callback,
  Checkpoint,
  type CheckpointOptions,
  CSVLogger,
  EarlyStopping,
  type EarlyStoppingOptions,
  type MonitorOptions,
  ShowProgress,
  TensorBoardLogger,
  type Training,
} from "./callbacks.js";
export {
  Accuracy,
  type Average,
  type AverageOptions,
  type ClassificationOptions,
  ConfusionMatrix,
  F1Score,
  Precision,
  Recall,
} from "./classification.js";
export type { ClippingOptions } from "./clipping.js";
export type { StepFigures, StepResult } from "./figures.js";
export { Mean, Metric, MetricCollection } from "./metric.js";
export { type AsyncProgress, type Progress, ProgressBar, type ProgressOptions, progress } from "./progress.js";
export { Summary, type SummaryOptions, type SummaryRow, summary } from "./summary.js";
export { SummaryWriter } from "./summary-writer.js";
export {
  type EpochRecord,
  type FitOptions,
  type Schedule,
  type Trainable,
  Trainer,
  type TrainerOptions,
} from "./trainer.js";
