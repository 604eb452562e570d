/** `optim`: optimisers in order of increasing complexity, and schedules of their learning rates. */
export { Adam, type AdamOptions, AdamW } from "./adam.js";
export * as lrScheduler from "./lr-scheduler.js";
export {
  Optimizer,
  type OptimizerStateDict,
  type ParamGroup,
  type ParamGroupInput,
  type ParamState,
  type Params,
  type SavedGroup,
} from "./optimizer.js";
export { SGD, type SGDOptions } from "./sgd.js";
