/** From a description of a chart (Vega-Lite's) to SVG. The libraries are loaded when the first chart is drawn. */
import { optional } from "./optional.js";
import { type Colours, configOf } from "./theme.js";

/** A Vega-Lite description. https://vega.github.io/vega-lite/docs/ */
export type Specification = Readonly<Record<string, unknown>>;

/** SVG of a description in these colours. */
export async function drawVega(specification: Specification, colours: Colours): Promise<string> {
  const [vega, lite] = await optional("charts are drawn by Vega", "vega vega-lite", () =>
    Promise.all([import("vega"), import("vega-lite")]),
  );
  const { spec } = lite.compile({
    ...specification,
    config: configOf(colours, Number(specification["width"])),
  } as unknown as Parameters<typeof lite.compile>[0]);
  const view = new vega.View(vega.parse(spec), { renderer: "none", logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
