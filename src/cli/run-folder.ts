/**
 * What a training run leaves behind: weights, history, summary, each written whole.
 */
import { exists, join, writeFileAtomic } from "#files";
import type { nn } from "../index.js";
import { saveFile } from "../io/index.js";

export interface RunRecord {
  readonly model: nn.Sequential;
  /** Free text kept with the weights: the model's name, its classes. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The loss of every step. */
  readonly losses: readonly number[];
}

/** `runs/20260131-235959-mnist`, with a number after it when two runs start in one second. */
export function newRunFolder(command: string, now = new Date()): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  const base = join("runs", `${date}-${time}-${command}`);
  let folder = base;
  for (let n = 2; exists(folder); n++) folder = `${base}-${n}`;
  return folder;
}

/** Writes weights.safetensors and history.csv (step, loss). */
export function saveRun(folder: string, { model, metadata, losses }: RunRecord): void {
  saveFile(model.stateDict(), join(folder, "weights.safetensors"), metadata);
  const lines = losses.map((loss, i) => `${i + 1},${Number(loss.toPrecision(7))}`);
  writeFileAtomic(join(folder, "history.csv"), `step,loss\n${lines.join("\n")}\n`);
}

/** Writes summary.json. */
export function saveSummary(folder: string, summary: Readonly<Record<string, unknown>>): void {
  writeFileAtomic(join(folder, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
}
