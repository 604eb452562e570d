/**
 * A 28×28 image and its ten answers as text, for a terminal: half blocks in grey where there is colour, shades where
 * there is none. 14 lines either way.
 */
import pc from "picocolors";
import { side } from "../vision/labelled-images.js";

const shades = " ░▒▓█";
const barWidth = 24;

/**
 * @param pixels the image's 784 bytes
 * @param outputs ten outputs, 0 to 1
 * @param names what the outputs stand for
 * @param label the right answer, where it is known
 */
export function drawAnswer(
  pixels: Uint8Array,
  outputs: ArrayLike<number>,
  names: readonly string[],
  label?: number,
): string {
  const image = drawImage(pixels);
  const bars = drawBars(outputs, names, label);
  const above = Math.floor((image.length - bars.length) / 2);
  return image.map((line, row) => `  ${line}   ${bars[row - above] ?? ""}`.trimEnd()).join("\n");
}

function drawImage(pixels: Uint8Array): string[] {
  return Array.from({ length: side / 2 }, (_, row) => {
    let line = "";
    for (let x = 0; x < side; x++) {
      const upper = pixels[2 * row * side + x] as number;
      const lower = pixels[(2 * row + 1) * side + x] as number;
      line += pc.isColorSupported
        ? `\x1b[38;5;${grey(upper)}m\x1b[48;5;${grey(lower)}m▀`
        : shades[Math.round((((upper + lower) / 2) * (shades.length - 1)) / 255)];
    }
    return pc.isColorSupported ? `${line}\x1b[0m` : line;
  });
}

/** The 24 greys of the terminal's 256 colours. */
const grey = (value: number): number => 232 + Math.round((value * 23) / 255);

function drawBars(outputs: ArrayLike<number>, names: readonly string[], label: number | undefined): string[] {
  const values = Array.from(outputs);
  const best = values.indexOf(Math.max(...values));
  const nameWidth = Math.max(...names.map((name) => name.length));
  return values.map((value, i) => {
    const bar = "█".repeat(Math.round(Math.min(1, Math.max(0, value)) * barWidth)).padEnd(barWidth, "·");
    const line = `${(names[i] ?? String(i)).padStart(nameWidth)} ${bar} ${value.toFixed(3)}`;
    const mark = i === label ? " ◂ label" : "";
    if (i !== best) return pc.dim(line) + mark;
    return (label === undefined || label === best ? pc.green(line) : pc.red(line)) + mark;
  });
}
