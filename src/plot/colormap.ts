/** Colour maps by matplotlib's names: ColorBrewer's, and the perceptually uniform ones. The tables are d3-scale-chromatic's. */
import { refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { optional } from "./optional.js";

/** matplotlib's name, and the library's. */
const maps = {
  viridis: "interpolateViridis",
  plasma: "interpolatePlasma",
  inferno: "interpolateInferno",
  magma: "interpolateMagma",
  cividis: "interpolateCividis",
  turbo: "interpolateTurbo",
  Blues: "interpolateBlues",
  Greens: "interpolateGreens",
  Greys: "interpolateGreys",
  Oranges: "interpolateOranges",
  Purples: "interpolatePurples",
  Reds: "interpolateReds",
  BuGn: "interpolateBuGn",
  BuPu: "interpolateBuPu",
  GnBu: "interpolateGnBu",
  OrRd: "interpolateOrRd",
  PuBu: "interpolatePuBu",
  PuBuGn: "interpolatePuBuGn",
  PuRd: "interpolatePuRd",
  RdPu: "interpolateRdPu",
  YlGn: "interpolateYlGn",
  YlGnBu: "interpolateYlGnBu",
  YlOrBr: "interpolateYlOrBr",
  YlOrRd: "interpolateYlOrRd",
  BrBG: "interpolateBrBG",
  PRGn: "interpolatePRGn",
  PiYG: "interpolatePiYG",
  PuOr: "interpolatePuOr",
  RdBu: "interpolateRdBu",
  RdGy: "interpolateRdGy",
  RdYlBu: "interpolateRdYlBu",
  RdYlGn: "interpolateRdYlGn",
  Spectral: "interpolateSpectral",
} as const;

type Base = keyof typeof maps | "gray" | "binary";
/** A name of matplotlib's; `_r` turns it round. */
export type ColorMap = Base | `${Base}_r`;

/** 256 colours, three bytes each. */
export type Palette = Uint8Array;

const own: Readonly<Record<string, (t: number) => number>> = { gray: (t) => t * 255, binary: (t) => 255 - t * 255 };

/** Throws ValueError for a name that is not known. */
export function checkColorMap(what: string, name: string): void {
  if (typeof name !== "string") refuseArgument(what, "cmap", name, "the name of a colour map");
  const base = name.replace(/_r$/, "");
  if (Object.hasOwn(own, base) || Object.hasOwn(maps, base)) return;
  const names = [...Object.keys(own), ...Object.keys(maps)].sort();
  throw new ValueError(
    `${what}: there is no colour map ${JSON.stringify(name)}; there are ${names.join(", ")}, and each with _r`,
  );
}

export async function paletteOf(name: ColorMap): Promise<Palette> {
  const base = name.replace(/_r$/, "");
  const at = (i: number): number => (name.endsWith("_r") ? 255 - i : i) / 255;
  const palette = new Uint8Array(256 * 3);
  const grey = own[base];
  if (grey !== undefined) {
    for (let i = 0; i < 256; i++) palette.fill(Math.round(grey(at(i))), i * 3, i * 3 + 3);
    return palette;
  }
  const library = await optional("colour maps", "d3-scale-chromatic", () => import("d3-scale-chromatic"));
  const colour = library[maps[base as keyof typeof maps]];
  for (let i = 0; i < 256; i++) palette.set(bytesOf(colour(at(i))), i * 3);
  return palette;
}

/** The library answers "rgb(1, 2, 3)" or "#010203". */
function bytesOf(css: string): number[] {
  if (css.startsWith("#")) return [1, 3, 5].map((at) => Number.parseInt(css.slice(at, at + 2), 16));
  return (css.match(/\d+/g) as string[]).slice(0, 3).map(Number);
}
