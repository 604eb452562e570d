/** A graph of ONNX as a module: its constants are parameters and buffers, its forward runs the nodes in order. */
import { CressetError, FormatError, ValueError } from "../../errors.js";
import { Module } from "../../nn/module.js";
import { Parameter } from "../../nn/parameter.js";
import { type DType, Tensor } from "../../tensor/index.js";

/** What a node is given: its inputs, null for those left out, and its attributes with ONNX's defaults to be given by the reader. */
export interface Given {
  readonly inputs: readonly (Tensor | null)[];
  readonly opset: number;
  /** How many outputs are wanted. */
  readonly outputs: number;
  number(name: string, otherwise: number): number;
  text(name: string, otherwise: string): string;
  numbers(name: string): readonly number[] | undefined;
  tensor(name: string): Tensor | undefined;
  /** An input that must be there. */
  input(i: number): Tensor;
  /** An input of whole numbers, as numbers. */
  integers(i: number): number[] | undefined;
}

export type Run = (given: Given) => Tensor | readonly Tensor[];

export interface Step {
  readonly label: string;
  readonly run: Run;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, unknown>;
}

/**
 * A model read from an ONNX file by `loadOnnx`. Its floating constants are parameters, by the file's names; single numbers and the
 * statistics of batch normalisation require no gradient.
 */
export class OnnxModule extends Module {
  readonly #tensors = new Map<string, Tensor>();

  constructor(
    /** The graph's name. */
    readonly graphName: string,
    readonly opset: number,
    readonly inputs: readonly { readonly name: string; readonly dtype: DType }[],
    readonly outputNames: readonly string[],
    readonly steps: readonly Step[],
    constants: ReadonlyMap<string, Tensor>,
    /** The names of those that are not learnt. */
    fixed: ReadonlySet<string>,
  ) {
    super();
    for (const [name, tensor] of constants) {
      const learnt = tensor.ndim > 0 && !fixed.has(name);
      this.#tensors.set(name, tensor.isFloatingPoint() ? new Parameter(tensor, learnt) : tensor);
    }
  }

  protected override *fields(): Iterable<[string, unknown]> {
    yield* this.#tensors;
  }

  protected override stateKey(name: string): string {
    return name;
  }

  /** The graph's only output for its inputs, given in order. Throws ValueError where it has several: use `run`. */
  forward(...inputs: Tensor[]): Tensor {
    if (inputs.length !== this.inputs.length) {
      throw new ValueError(
        `OnnxModule: ${inputs.length} inputs; the graph takes ${this.inputs.map(({ name }) => name).join(", ")}`,
      );
    }
    const [only, second] = this.outputNames;
    if (second !== undefined) {
      throw new ValueError(
        `OnnxModule: the graph gives ${this.outputNames.join(", ")}; use run, which gives all by name`,
      );
    }
    const named = Object.fromEntries(this.inputs.map(({ name }, i) => [name, inputs[i] as Tensor]));
    return this.run(named)[only as string] as Tensor;
  }

  /** All outputs by name, for inputs by name. */
  run(inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    const values = new Map<string, Tensor>(this.#tensors);
    for (const { name, dtype } of this.inputs) {
      const input = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
      if (!(input instanceof Tensor)) throw new ValueError(`OnnxModule: no input ${JSON.stringify(name)}`);
      if (input.dtype !== dtype)
        throw new ValueError(`OnnxModule: input ${JSON.stringify(name)} is ${dtype}, not ${input.dtype}`);
      values.set(name, input);
    }
    for (const step of this.steps) {
      const results = this.#run(step, values);
      for (const [i, name] of step.outputs.entries()) {
        if (name === "") continue;
        const result = results[i];
        if (result === undefined) throw new FormatError(`OnnxModule: ${step.label}: output ${i} is not computed here`);
        values.set(name, result);
      }
    }
    return Object.fromEntries(this.outputNames.map((name) => [name, values.get(name) as Tensor]));
  }

  #run(step: Step, values: ReadonlyMap<string, Tensor>): readonly Tensor[] {
    try {
      const inputs = step.inputs.map((name) => values.get(name) ?? null);
      return [step.run(given(step, inputs, this.opset))].flat();
    } catch (error) {
      if (!(error instanceof CressetError)) throw error;
      throw new ValueError(`OnnxModule: ${step.label}: ${error.message}`, { cause: error });
    }
  }

  override extraRepr(): string {
    const inputs = this.inputs.map(({ name }) => name).join(", ");
    return `${this.graphName}: ${inputs} → ${this.outputNames.join(", ")}, ${this.steps.length} nodes`;
  }
}

function given({ attributes, outputs }: Step, inputs: readonly (Tensor | null)[], opset: number): Given {
  const read = <T>(name: string, is: (value: unknown) => value is T): T | undefined => {
    const value = attributes.get(name);
    if (value === undefined) return undefined;
    return is(value) ? value : fail(`the attribute ${name} is of another type`);
  };
  const isNumber = (value: unknown): value is number => typeof value === "number";
  const isText = (value: unknown): value is string => typeof value === "string";
  const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.every(isNumber);
  const isTensor = (value: unknown): value is Tensor => value instanceof Tensor;
  return {
    inputs,
    opset,
    outputs: outputs.length,
    number: (name, otherwise) => read(name, isNumber) ?? otherwise,
    text: (name, otherwise) => read(name, isText) ?? otherwise,
    numbers: (name) => read(name, isNumbers),
    tensor: (name) => read(name, isTensor),
    input: (i) => inputs[i] ?? fail(`input ${i} is missing`),
    integers(i) {
      const input = inputs[i];
      if (!input) return undefined;
      if (input.isFloatingPoint() || input.ndim > 1) return fail(`input ${i} is no list of whole numbers`);
      return Array.from(input.toTypedArray(), Number);
    },
  };
}

const fail = (what: string): never => {
  throw new FormatError(what);
};
