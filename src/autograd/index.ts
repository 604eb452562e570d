/** `torch.autograd`: gradients as data, custom operations, checks and pictures of the graph. */
export { backward, type BackwardArguments, grad, type GradArguments } from "./backward.js";
export { Function, type FunctionContext } from "./function.js";
export { gradcheck, type GradcheckOptions } from "./gradcheck.js";
export { type ComputationGraph, graph, type GraphEdge, type GraphNode } from "./graph.js";
export { detectAnomaly, enableGrad, inferenceMode, isGradEnabled, noGrad, setDetectAnomaly, setGradEnabled } from "./mode.js";
