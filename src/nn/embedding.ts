/** Embedding: a table whose rows are looked up by number and learnt. The lookup itself is an operation of ops/. */
import { IndexError, ShapeError, ValueError } from "../errors.js";
import { empty, noGrad, type Tensor } from "../tensor/index.js";
import * as F from "./functional.js";
import * as init from "./init.js";
import type { FactoryOptions } from "./linear.js";
import { Module } from "./module.js";
import { Parameter } from "./parameter.js";

export interface EmbeddingOptions extends FactoryOptions {
  /** The row that stands for nothing: it starts as zeros and gets no gradient. Negative: from the end. */
  paddingIdx?: number | null;
}

/**
 * A vector for each of `numEmbeddings` things: `y = weight[x]`.
 *
 * Shapes: input (…) of integers, output (…, embeddingDim); `weight` (numEmbeddings, embeddingDim), which starts normal with
 * deviation 1.
 * Errors: ValueError if a size is not a whole number; IndexError if `paddingIdx` or a number of the input is out of range.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const words = new nn.Embedding(1000, 64, { paddingIdx: 0 });
 * const sentence = torch.tensor([[5, 17, 0], [8, 0, 0]], { dtype: "int32" });
 * console.log(words.forward(sentence).shape); // [2, 3, 64]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html}
 */
export class Embedding extends Module {
  readonly weight: Parameter;
  readonly paddingIdx: number | null;

  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    { paddingIdx = null, ...options }: EmbeddingOptions = {},
  ) {
    super();
    for (const size of [numEmbeddings, embeddingDim]) {
      if (!Number.isInteger(size) || size < 0) {
        throw new ValueError(`Embedding: sizes are whole numbers, not (${numEmbeddings}, ${embeddingDim})`);
      }
    }
    if (paddingIdx !== null && !(paddingIdx >= -numEmbeddings && paddingIdx < numEmbeddings)) {
      throw new IndexError(`Embedding: paddingIdx ${paddingIdx} is out of range for ${numEmbeddings} rows`);
    }
    this.paddingIdx = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx;
    this.weight = new Parameter(empty([numEmbeddings, embeddingDim], options));
    this.resetParameters();
  }

  /** A layer that holds a copy of `embeddings` (rows, length); frozen, it is not trained. */
  static fromPretrained(
    embeddings: Tensor,
    { freeze = true, paddingIdx = null }: { freeze?: boolean; paddingIdx?: number | null } = {},
  ): Embedding {
    if (embeddings.shape.length !== 2) {
      throw new ShapeError(`Embedding: expected (rows, length), not (${embeddings.shape.join(", ")})`);
    }
    const [rows, length] = embeddings.shape as [number, number];
    const layer = new Embedding(rows, length, { paddingIdx, dtype: embeddings.dtype, device: embeddings.device });
    noGrad(() => layer.weight.copy_(embeddings));
    layer.weight.requiresGrad_(!freeze);
    return layer;
  }

  /** Draws the table anew. */
  resetParameters(): void {
    init.normal_(this.weight);
    const { paddingIdx } = this;
    if (paddingIdx !== null) noGrad(() => this.weight.select(0, paddingIdx).zero_());
  }

  forward(input: Tensor): Tensor {
    return F.embedding(input, this.weight, { paddingIdx: this.paddingIdx });
  }

  override extraRepr(): string {
    const padding = this.paddingIdx === null ? "" : `, padding_idx=${this.paddingIdx}`;
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}`;
  }
}
