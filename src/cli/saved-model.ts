/**
 * The classifiers that `cresset mnist` has saved, brought back from their files.
 */
import { FormatError } from "../errors.js";
import type { nn } from "../index.js";
import { loadFile, loadMetadata } from "../io/index.js";
import { recipes } from "./classifier.js";

/** The classifier in a file of weights. Throws DataError and FormatError for files that are absent or damaged. */
export function loadClassifier(path: string): { model: nn.Sequential; names: readonly string[] } {
  const weights = loadFile(path);
  const metadata = loadMetadata(path);
  // Weights from elsewhere have no name with them; only the refined model has a fourth layer with weights.
  const name = metadata.model ?? ("3.weight" in weights ? "refined" : "seed");
  if (name !== "refined" && name !== "seed")
    throw new FormatError(`${path}: holds a model called ${name}; this command knows refined and seed`);
  const model = recipes[name].build();
  model.loadStateDict(weights);
  return { model, names: classNames(metadata.classes) };
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
