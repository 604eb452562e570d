/**
 * ONNX files: models for other runtimes, and other frameworks' models here. This is the door; what reads and writes protocol
 * buffers stands behind it and is loaded when it is first opened.
 */
import { checkBytes, checkOptions, checkPath, checkTensors, refuseArgument } from "../../arguments.js";
import { DataError, ValueError } from "../../errors.js";
import type { Module } from "../../nn/module.js";
import { isTensor, type Tensor } from "../../tensor/index.js";

export interface ExportOnnxOptions {
  /** Names of forward's inputs: `input`, or `input_0`, `input_1`, … unless given. */
  inputNames?: readonly string[];
  /** Names of the outputs: `output`, or `output_0`, … or the keys of an object, unless given. */
  outputNames?: readonly string[];
  /**
   * Which sizes may differ from run to run: `{ input: { 0: "batch", 2: "height" } }`. Unless given, the first size of each
   * input, as "batch"; "none" fixes all.
   */
  dynamicAxes?: "batch" | "none" | Readonly<Record<string, Readonly<Record<number, string>>>>;
  /** The version of ONNX's operations: 17 unless given, to 22. */
  opset?: number;
  /** Runs the result beside the module on other inputs before it is written; true unless given. */
  verify?: boolean;
}

/** A model read from an ONNX file: a module whose parameters are the file's. */
export type { OnnxModule } from "./module.js";

/** What reads and writes protocol buffers is an optional dependency. */
async function loaded<T>(what: string, module: Promise<T>): Promise<T> {
  try {
    return await module;
  } catch (error) {
    if (!(error instanceof Error && error.message.includes("@bufbuild/protobuf"))) throw error;
    throw new DataError(`${what} needs a package that is not installed: npm install @bufbuild/protobuf`, {
      cause: error,
    });
  }
}

function examplesOf(what: string, model: unknown, inputs: unknown, options: unknown): readonly Tensor[] {
  if (typeof (model as Module | null)?.stateDict !== "function") refuseArgument(what, "model", model, "a module");
  checkOptions(what, options);
  const examples: unknown = isTensor(inputs) ? [inputs] : inputs;
  if (!Array.isArray(examples)) refuseArgument(what, "exampleInputs", examples, "a tensor, or a list of tensors");
  checkTensors(what, "exampleInputs", examples);
  if (examples.length === 0) throw new ValueError(`${what}: needs an example of each input of forward`);
  return examples;
}

/**
 * Writes a module as an ONNX file, whole or not at all: PyTorch's `torch.onnx.export`. The module runs once, in evaluation, on
 * examples of its inputs; the operations of `nn`, `nn.functional` and tensors that ran become ONNX's. Parameters keep their names.
 *
 * JavaScript between the operations runs while exporting and never again: a branch is taken as it was for the examples. So the
 * file's graph is run on other inputs beside the module before it is written, and a difference is an error.
 *
 * Errors: ValueError that names the operation which ONNX has no form of, in-place changes among them, and for outputs that
 * differ; DataError when the file cannot be written or `@bufbuild/protobuf` is not installed.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 * import { exportOnnx } from "cresset/io";
 *
 * const model = new nn.Sequential(new nn.Linear(784, 10), new nn.Softmax(1));
 * await exportOnnx(model, [torch.rand([1, 784])], "model.onnx", { inputNames: ["image"] });
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/onnx.html}
 */
export async function exportOnnx(
  model: Module,
  exampleInputs: Tensor | readonly Tensor[],
  path: string,
  options: ExportOnnxOptions = {},
): Promise<void> {
  checkPath("exportOnnx", path);
  const examples = examplesOf("exportOnnx", model, exampleInputs, options);
  const { writeOnnx } = await loaded("exportOnnx", import("./export.js"));
  writeOnnx(model, examples, path, options);
}

/** The bytes of the ONNX file that `exportOnnx` would write. */
export async function serializeOnnx(
  model: Module,
  exampleInputs: Tensor | readonly Tensor[],
  options: ExportOnnxOptions = {},
): Promise<Uint8Array> {
  const examples = examplesOf("serializeOnnx", model, exampleInputs, options);
  const { writeOnnx } = await loaded("serializeOnnx", import("./export.js"));
  return writeOnnx(model, examples, null, options);
}

/**
 * Reads an ONNX file, ours or another framework's, as a module: `forward` takes the graph's inputs in order and gives its
 * output; `run` takes and gives all by name. Its floating constants are parameters, so the model can be trained further.
 *
 * Errors: DataError when the file is absent or `@bufbuild/protobuf` is not installed; FormatError when it is damaged, or for an
 * operation that is not here, by name: control flow, sequences, quantised numbers.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 * import { exportOnnx, loadOnnx } from "cresset/io";
 *
 * await exportOnnx(new nn.Linear(3, 2), [torch.zeros([1, 3])], "linear.onnx");
 * const model = await loadOnnx("linear.onnx");
 * console.log(model.forward(torch.ones([5, 3])).shape); // [5, 2]
 * ```
 */
export async function loadOnnx(path: string): Promise<import("./module.js").OnnxModule> {
  checkPath("loadOnnx", path);
  const { readOnnx } = await loaded("loadOnnx", import("./import.js"));
  return readOnnx(path);
}

/** The model in the bytes of an ONNX file; errors as for `loadOnnx`. `name` is what they call the data. */
export async function deserializeOnnx(
  bytes: Uint8Array,
  name = "ONNX data",
): Promise<import("./module.js").OnnxModule> {
  checkBytes("deserializeOnnx", bytes);
  const { moduleOf } = await loaded("deserializeOnnx", import("./import.js"));
  return moduleOf(bytes, name);
}
