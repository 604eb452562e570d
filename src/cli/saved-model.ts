/**
 * The classifiers that `cresset mnist` has saved, brought back from their files.
 */
import { FormatError } from "../errors.js";
import { isTensor, load, type nn, type Tensor } from "../index.js";
import { loadMetadata } from "../io/index.js";
import { recipes } from "./classifier.js";

/**
 * The classifier in a file: the weights that a run leaves, its checkpoint, or either in another format. Throws DataError and
 * FormatError for files that are absent or damaged or hold something else.
 */
export async function loadClassifier(path: string): Promise<{ model: nn.Sequential; names: readonly string[] }> {
  const weights = weightsOf(await load(path), path);
  // Only safetensors carry words with them. Of the two, the refined model alone has a fourth layer with weights.
  const metadata = path.endsWith(".safetensors") ? loadMetadata(path) : {};
  const name = metadata.model ?? ("3.weight" in weights ? "refined" : "seed");
  if (name !== "refined" && name !== "seed")
    throw new FormatError(`${path}: holds a model called ${name}; this command knows refined and seed`);
  const model = recipes[name].build();
  model.loadStateDict(weights);
  return { model, names: classNames(metadata.classes) };
}

/** The tensors of a file of weights, or of the model in a checkpoint. */
export function weightsOf(content: unknown, file: string): Record<string, Tensor> {
  if (typeof content === "object" && content !== null && !isTensor(content)) {
    const { model } = content as { model?: unknown };
    const weights = typeof model === "object" && model !== null && !isTensor(model) ? model : content;
    if (Object.values(weights).length > 0 && Object.values(weights).every(isTensor))
      return weights as Record<string, Tensor>;
  }
  throw new FormatError(`${file}: holds neither weights by name nor a checkpoint with a model`);
}

/** The ten names in the metadata; digits when there are none, or something else. */
function classNames(text: string | undefined): readonly string[] {
  try {
    const names: unknown = JSON.parse(text ?? "");
    if (Array.isArray(names) && names.length === 10 && names.every(isPrintable)) return names;
  } catch {
    // Not JSON: as good as absent.
  }
  return Array.from({ length: 10 }, (_, i) => String(i));
}

/** A file may come from anywhere: nothing in it may steer the terminal. */
const isPrintable = (name: unknown): name is string =>
  typeof name === "string" && name.length <= 40 && !/\p{C}/u.test(name);
