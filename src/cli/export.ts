/**
 * `cresset export`: a run's weights in another format. What the formats hold is the business of `cresset/io`.
 */
import { FormatError, ValueError } from "../errors.js";
import { load, save, type Tensor, zeros } from "../index.js";
import { exportOnnx, saveFile, saveNpz } from "../io/index.js";
import { Adversaries, noiseSize } from "./adversaries.js";
import { bytes, count, print, printJson, result } from "./output.js";
import { loadClassifier, weightsOf } from "./saved-model.js";

export interface ExportOptions {
  out: string;
  json?: boolean;
}

const exportEndings = [".safetensors", ".pt", ".npz", ".onnx"] as const;

/** Reads the tensors of `file` and writes them to `options.out`, whose ending says the format. */
export async function exportWeights(file: string, { out, json }: ExportOptions): Promise<void> {
  printJson(json);
  const ending = exportEndings.find((one) => out.endsWith(one));
  if (ending === undefined) throw new ValueError(`export: ${out} ends in none of ${exportEndings.join(", ")}`);
  if (ending === ".onnx") return exportNetwork(file, out);
  const tensors = weightsOf(await load(file), file);
  if (ending === ".safetensors") saveFile(tensors, out, { framework: "cresset" });
  else if (ending === ".pt") await save(tensors, out);
  else await saveNpz(tensors, out);
  const all = Object.values(tensors);
  const size = all.reduce((sum, tensor) => sum + tensor.numel() * tensor.elementSize(), 0);
  const shapes = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor.shape]));
  result({ file, out, tensors: shapes });
  print(`${out}: ${count(all.length)} tensors, ${bytes(size)}`);
}

/** The network of a run of `cresset mnist` or the generator of one of `cresset gan`: weights alone do not say what computes. */
async function exportNetwork(file: string, out: string): Promise<void> {
  const weights = weightsOf(await load(file), file);
  const example = (size: number): Tensor => zeros([1, size]);
  if ("generator.0.weight" in weights) {
    const model = new Adversaries();
    model.loadStateDict(weights);
    await exportOnnx(model.generator, [example(noiseSize)], out, { inputNames: ["noise"], outputNames: ["image"] });
  } else if ("0.weight" in weights) {
    const { model } = await loadClassifier(file);
    await exportOnnx(model, [example(784)], out, { inputNames: ["image"], outputNames: ["answer"] });
  } else {
    throw new FormatError(
      `${file}: a file of weights does not say what computes with them; .onnx is for runs of cresset mnist and cresset gan ` +
        "(in a program: exportOnnx of cresset/io)",
    );
  }
  result({ file, out });
  print(`${out}: a network for ONNX runtimes, of any number of rows`);
}
