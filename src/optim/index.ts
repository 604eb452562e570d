/** `optim`: optimisers in order of increasing complexity, and schedules of their learning rates. */
export { Adam, type AdamOptions, AdamW } from "./adam.js";
export * as lrScheduler from "./lr-scheduler.js";
export { Optimizer, type ParamGroup, type ParamGroupInput, type Params } from "./optimizer.js";
export { SGD, type SGDOptions } from "./sgd.js";
export type { OptimizerStateDict, ParamState, SavedGroup } from "./state-dict.js";
