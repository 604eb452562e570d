/**
 * A model as a table, in the manner of torchinfo: for each layer the shape of its output, its parameters and its
 * floating-point operations. The model is run once, and what its layers launch is counted by the profiler's own rules
 * (`profiler/cost.ts`), so there is no second set of formulas.
 */
import { CressetError, ValueError } from "../errors.js";
import type { Module } from "../nn/index.js";
import { observe } from "../ops/launch.js";
import { costOf } from "../profiler/cost.js";
import { type DType, isTensor, noGrad, type Tensor, zeros } from "../tensor/index.js";

export interface SummaryOptions {
  /** The dtype of inputs given as shapes; float32 by default. Use "int32" for class numbers. */
  dtype?: DType;
  /** Modules deeper than this are left out; what they cost counts for those above. */
  depth?: number;
}

/** One line: a module, each time it ran. */
export interface SummaryRow {
  /** Its path in the model, "" for the model itself. */
  readonly path: string;
  /** Its class. */
  readonly name: string;
  readonly depth: number;
  /** The shapes of the tensors that go in and come out, in order; those in arrays and objects are among them. */
  readonly inputShapes: readonly (readonly number[])[];
  readonly outputShapes: readonly (readonly number[])[];
  /** Of the module with all inside it; a parameter met before counts again here, but not in the totals. */
  readonly parameters: number;
  /** Floating-point operations of its forward pass, those inside it included. Null where a kernel's are not known. */
  readonly flops: number | null;
}

/**
 * Runs `model` on zeros of `inputShape` (several shapes, or tensors, for several inputs), without gradients and in evaluation
 * mode, and describes it. The model is left as it was, and no random number is drawn.
 *
 * ```ts
 * import { nn } from "cresset";
 * import { summary } from "cresset/training";
 *
 * const model = new nn.Sequential(new nn.Linear(784, 200), new nn.ReLU(), new nn.Linear(200, 10));
 * console.log(String(summary(model, [64, 784])));
 * ```
 *
 * FLOPs count a multiplication and an addition as two, as the profiler does; torchinfo's "mult-adds" are half of them.
 *
 * Errors: ValueError for an input that is neither a shape nor tensors; whatever the model throws on that input.
 *
 * Source: https://github.com/TylerYep/torchinfo
 */
export function summary(
  model: Module,
  input: readonly number[] | readonly (readonly number[])[] | Tensor | readonly Tensor[],
  { dtype = "float32", depth = Number.POSITIVE_INFINITY }: SummaryOptions = {},
): Summary {
  const inputs = inputsFrom(input, dtype);
  const paths = new Map(model.namedModules().map(([path, module]) => [module, path]));
  const depths = new Map<Module, number>([[model, 0]]);
  for (const module of model.modules()) {
    for (const child of module.children()) if (!depths.has(child)) depths.set(child, (depths.get(module) ?? 0) + 1);
  }
  const rows: (Omit<SummaryRow, "flops" | "outputShapes"> & Pick<Writable<SummaryRow>, "flops" | "outputShapes">)[] =
    [];
  const open: typeof rows = [];
  const leave: (() => void)[] = [];
  const modes = model.modules().map((module) => [module, module.training] as const);
  try {
    for (const module of model.modules()) {
      leave.push(
        (module as AnyModule).registerForwardPreHook((_, given) => {
          const row = {
            path: paths.get(module) ?? "",
            name: module.constructor.name,
            depth: depths.get(module) ?? 0,
            inputShapes: shapesOf(given),
            outputShapes: [],
            parameters: count(module.parameters()),
            flops: 0,
          };
          rows.push(row);
          open.push(row);
        }),
        (module as AnyModule).registerForwardHook((_, __, output) => {
          const row = open.pop();
          if (row !== undefined) row.outputShapes = shapesOf(output);
        }),
      );
    }
    leave.push(
      observe((run) => (engine, executable, buffers, offsets, params, items, units, work) => {
        const cost = costOf(executable.kernel, buffers, offsets, params);
        for (const row of open) row.flops = row.flops === null || cost === null ? null : row.flops + cost.flops;
        run(engine, executable, buffers, offsets, params, items, units, work);
      }),
    );
    model.eval();
    noGrad(() => (model.forward as (...inputs: Tensor[]) => unknown)(...inputs));
  } catch (error) {
    // Hooks stand in front of the model's own function, which tells how many inputs there are.
    const wanted = (Object.getPrototypeOf(model) as Module).forward.length;
    // What a model does with an input that it was not given is some TypeError from its inside.
    if (error instanceof CressetError || inputs.length >= wanted) throw error;
    throw new ValueError(
      `summary: ${model.constructor.name} failed on ${inputs.length} input of the ${wanted} it can take; give several shapes: [[2, 3], [2, 5]]`,
      { cause: error },
    );
  } finally {
    for (const end of leave.reverse()) end();
    for (const [module, training] of modes) module.training = training;
  }
  const parameters = model.parameters();
  return new Summary(
    rows.filter((row) => row.depth <= depth),
    count(parameters),
    count(parameters.filter((parameter) => parameter.requiresGrad)),
    rows[0]?.flops ?? null,
    bytes(inputs),
    bytes([...parameters, ...model.buffers()]),
  );
}

/** A module as its hooks see it: anything in, anything out. */
interface AnyModule {
  registerForwardPreHook(hook: (module: Module, inputs: readonly unknown[]) => void): () => void;
  registerForwardHook(hook: (module: Module, inputs: readonly unknown[], output: unknown) => void): () => void;
}

/** What `summary` gives: data, and by `toString` a table. */
export class Summary {
  constructor(
    /** In the order in which modules ran. */
    readonly rows: readonly SummaryRow[],
    /** Numbers in all parameters, shared ones once. */
    readonly parameters: number,
    /** Those of them that require a gradient. */
    readonly trainableParameters: number,
    /** Of the whole forward pass; null where a kernel's are not known. */
    readonly flops: number | null,
    /** Bytes of the inputs. */
    readonly inputBytes: number,
    /** Bytes of parameters and buffers. */
    readonly parameterBytes: number,
  ) {}

  toString(): string {
    const title = ["Layer", "Input shape", "Output shape", "Parameters", "FLOPs"];
    const cells = this.rows.map((row) => {
      const label = row.path === "" ? "" : ` (${row.path.split(".").at(-1)})`;
      return [
        `${"  ".repeat(row.depth)}${row.name}${label}`,
        shapesText(row.inputShapes),
        shapesText(row.outputShapes),
        row.parameters === 0 ? "–" : row.parameters.toLocaleString("en"),
        row.flops === null ? "?" : row.flops.toLocaleString("en"),
      ];
    });
    const widths = title.map((name, i) => Math.max(name.length, ...cells.map((row) => (row[i] as string).length)));
    const line = (row: readonly string[]): string =>
      row
        .map((cell, i) => (i < 3 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
        .join("  ")
        .trimEnd();
    const rule = "─".repeat(widths.reduce((sum, width) => sum + width + 2, -2));
    const number = (value: number): string => value.toLocaleString("en");
    return [
      line(title),
      rule,
      ...cells.map(line),
      rule,
      `Parameters: ${number(this.parameters)}, trainable ${number(this.trainableParameters)} (${megabytes(this.parameterBytes)} with buffers)`,
      `Input: ${megabytes(this.inputBytes)}   Forward pass: ${this.flops === null ? "?" : `${number(this.flops)} FLOPs`}`,
    ].join("\n");
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

function inputsFrom(input: unknown, dtype: DType): readonly Tensor[] {
  if (isTensor(input)) return [input];
  if (Array.isArray(input) && input.length > 0) {
    if (input.every((size) => typeof size === "number")) return [zeros(input as number[], { dtype })];
    if (input.every(isTensor)) return input;
    if (input.every(Array.isArray)) return input.map((shape) => zeros(shape as number[], { dtype }));
  }
  throw new ValueError("summary: input is a shape, shapes, a tensor or tensors");
}

/** The shapes of all tensors in a value. */
function shapesOf(value: unknown): (readonly number[])[] {
  if (isTensor(value)) return [value.shape];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(shapesOf) : [];
}

const shapesText = (shapes: readonly (readonly number[])[]): string =>
  shapes.length === 0 ? "–" : shapes.map((shape) => `(${shape.join(", ")})`).join(", ");

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const count = (tensors: readonly Tensor[]): number => tensors.reduce((sum, tensor) => sum + tensor.numel(), 0);
const bytes = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, tensor) => sum + tensor.numel() * tensor.elementSize(), 0);
const megabytes = (value: number): string => `${(value / 1e6).toFixed(value < 1e5 ? 3 : 2)} MB`;
