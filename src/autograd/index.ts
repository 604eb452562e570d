/** `torch.autograd`: gradients as data, custom operations, checks and pictures of the graph. */
export { type BackwardArguments, backward, type GradArguments, grad } from "./backward.js";
export { Function, type FunctionContext } from "./function.js";
export { type GradcheckOptions, gradcheck } from "./gradcheck.js";
export { type ComputationGraph, type GraphEdge, type GraphNode, graph } from "./graph.js";
export {
  detectAnomaly,
  enableGrad,
  inferenceMode,
  isGradEnabled,
  noGrad,
  setDetectAnomaly,
  setGradEnabled,
} from "./mode.js";
