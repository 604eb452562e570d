/** Every operation of the library, by family. */

export * from "./activations.js";
export * as elementwise from "./arithmetic.js";
export * from "./batchnorm.js";
export * from "./broadcast.js";
export * from "./convolution.js";
export * from "./creation.js";
export * from "./cross-entropy.js";
export * from "./dropout.js";
export * from "./dtype.js";
export * from "./embedding.js";
export type { Dims, ReduceOptions } from "./fold.js";
export * from "./gather.js";
export * from "./indexing.js";
export * from "./losses.js";
export * from "./matmul.js";
export * from "./norms.js";
export * from "./optimisers.js";
export * from "./pooling.js";
export * from "./random.js";
export * from "./reduce.js";
export * from "./shape.js";
export * from "./sort.js";
export type { Sizes } from "./spatial.js";
export * from "./view.js";
