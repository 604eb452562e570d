/** Activations as modules: each holds its settings and calls the function of the same name in functional.ts. */
import type { Tensor } from "../tensor/index.js";
import * as F from "./functional.js";
import { Module } from "./module.js";
import { float } from "./repr.js";

/**
 * `σ(x) = 1 / (1 + e⁻ˣ)`, element by element: any number into 0 … 1.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.Sigmoid().forward(torch.tensor([-1, 0, 1]))); // [0.2689, 0.5000, 0.7311]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html}
 */
export class Sigmoid extends Module {
  forward(input: Tensor): Tensor {
    return F.sigmoid(input);
  }
}

/**
 * `tanh(x) = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)`, element by element: any number into −1 … 1.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.Tanh().forward(torch.tensor([-1, 0, 1]))); // [-0.7616, 0.0000, 0.7616]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Tanh.html}
 */
export class Tanh extends Module {
  forward(input: Tensor): Tensor {
    return F.tanh(input);
  }
}

/**
 * `max(0, x)`, element by element.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.ReLU().forward(torch.tensor([-1, 0, 1]))); // [0, 0, 1]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html}
 */
export class ReLU extends Module {
  forward(input: Tensor): Tensor {
    return F.relu(input);
  }
}

/**
 * `x` where x > 0, else `negativeSlope · x`, element by element.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.LeakyReLU(0.02).forward(torch.tensor([-1, 0, 1]))); // [-0.02, 0, 1]
 * ```
 *
 * Source: Maas, Hannun and Ng 2013;
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html}
 */
export class LeakyReLU extends Module {
  constructor(readonly negativeSlope = 0.01) {
    super();
  }

  forward(input: Tensor): Tensor {
    return F.leakyRelu(input, this.negativeSlope);
  }

  override extraRepr(): string {
    return `negative_slope=${float(this.negativeSlope)}`;
  }
}

/**
 * `x` where x > 0, else `alpha · (eˣ − 1)`, element by element.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.ELU().forward(torch.tensor([-1, 0, 1]))); // [-0.6321, 0, 1]
 * ```
 *
 * Source: Clevert, Unterthiner and Hochreiter 2015, {@link https://arxiv.org/abs/1511.07289};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.ELU.html}
 */
export class ELU extends Module {
  constructor(readonly alpha = 1) {
    super();
  }

  forward(input: Tensor): Tensor {
    return F.elu(input, this.alpha);
  }

  override extraRepr(): string {
    return `alpha=${float(this.alpha)}`;
  }
}

/**
 * `x · σ(x)`, element by element; also called swish.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.SiLU().forward(torch.tensor([-1, 0, 1]))); // [-0.2689, 0, 0.7311]
 * ```
 *
 * Source: Elfwing, Uchibe and Doya 2017, {@link https://arxiv.org/abs/1702.03118};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.SiLU.html}
 */
export class SiLU extends Module {
  forward(input: Tensor): Tensor {
    return F.silu(input);
  }
}

/**
 * `ln(1 + e^(beta · x)) / beta`, element by element: a smooth ReLU. Above `beta · x = threshold` it is x itself.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.Softplus().forward(torch.tensor([-1, 0, 1]))); // [0.3133, 0.6931, 1.3133]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Softplus.html}
 */
export class Softplus extends Module {
  readonly beta: number;
  readonly threshold: number;

  constructor({ beta = 1, threshold = 20 }: { beta?: number; threshold?: number } = {}) {
    super();
    this.beta = beta;
    this.threshold = threshold;
  }

  forward(input: Tensor): Tensor {
    return F.softplus(input, { beta: this.beta, threshold: this.threshold });
  }

  override extraRepr(): string {
    return `beta=${float(this.beta)}, threshold=${float(this.threshold)}`;
  }
}

/**
 * `x · Φ(x)`, Φ the normal distribution function, element by element. With `approximate: "tanh"`
 * `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
 *
 * Shapes: any; the output's is the input's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.GELU().forward(torch.tensor([-1, 0, 1]))); // [-0.1587, 0, 0.8413]
 * ```
 *
 * Source: Hendrycks and Gimpel 2016, {@link https://arxiv.org/abs/1606.08415};
 * {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.GELU.html}
 */
export class GELU extends Module {
  readonly approximate: "none" | "tanh";

  constructor({ approximate = "none" }: { approximate?: "none" | "tanh" } = {}) {
    super();
    this.approximate = approximate;
  }

  forward(input: Tensor): Tensor {
    return F.gelu(input, { approximate: this.approximate });
  }

  override extraRepr(): string {
    return `approximate='${this.approximate}'`;
  }
}

/**
 * `exp(xᵢ) / Σⱼ exp(xⱼ)` along dimension `dim`: numbers into probabilities.
 *
 * Shapes: any; the output's is the input's. Errors: IndexError for a dimension the input lacks.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.Softmax(0).forward(torch.tensor([1, 2, 3]))); // [0.0900, 0.2447, 0.6652]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html}
 */
export class Softmax extends Module {
  constructor(readonly dim: number) {
    super();
  }

  forward(input: Tensor): Tensor {
    return F.softmax(input, this.dim);
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}

/**
 * `xᵢ − ln Σⱼ exp(xⱼ)` along dimension `dim`: the logarithm of softmax, without its loss of precision.
 *
 * Shapes: any; the output's is the input's. Errors: IndexError for a dimension the input lacks.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * console.log(new nn.LogSoftmax(0).forward(torch.tensor([1, 2, 3]))); // [-2.4076, -1.4076, -0.4076]
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html}
 */
export class LogSoftmax extends Module {
  constructor(readonly dim: number) {
    super();
  }

  forward(input: Tensor): Tensor {
    return F.logSoftmax(input, this.dim);
  }

  override extraRepr(): string {
    return `dim=${this.dim}`;
  }
}
