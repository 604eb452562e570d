/**
 * A figure: something that draws itself as SVG, and so as PNG, as a page, in a terminal, a notebook and a document. What
 * is drawn is left to the kinds of figures, pixels and files to `#raster`.
 */
import { writeFileAtomic } from "#files";
import { rasterize, showInTerminal, type TerminalOptions } from "#raster";
import { checkOptions, checkPath, refuseArgument } from "../arguments.js";
import { ValueError } from "../errors.js";
import { displayInNotebook } from "./display.js";
import { base64, escapeXml, page } from "./page.js";
import { svgSize } from "./svg-size.js";
import { type Colours, coloursOf, type Theme } from "./theme.js";

export interface RenderOptions {
  /** "light", as paper is, by default. Pages (`.html`) have both and follow the reader's unless one is given. */
  theme?: Theme;
  /** No ground: what lies below shows through. The theme is then that of the page. */
  transparent?: boolean;
}

export interface SaveOptions extends RenderOptions {
  /** Pixels of a PNG for each of the figure's: 2 by default, for dense screens. */
  scale?: number;
}

/**
 * Shows anything where the program runs: a figure, a tensor or a table in a notebook's cell, a figure in the terminal,
 * and what else there is as text.
 *
 * @example
 * await plot.display(plot.line([3, 2, 1]));
 */
export async function display(value: unknown): Promise<void> {
  if (value instanceof Figure) await value.show();
  else if (!(await displayInNotebook(value))) console.log(value);
}

export type ShowOptions = TerminalOptions & RenderOptions;

/** Draws the figure in these colours. Two drawings in a page must not share names: `draw` of a figure prefixes them. */
export type Draw = (colours: Colours) => Promise<string>;

let drawn = 0;

/**
 * @example
 * const figure = plot.line([1, 0.5, 0.25], { title: "loss" });
 * await figure.save("loss.svg");
 * const text = await figure.svg({ theme: "dark" });
 */
export class Figure {
  /** What the figure is called in a page's head. */
  readonly title: string;
  readonly #draw: Draw;

  /** @internal */
  constructor(title: string, draw: Draw) {
    this.title = title;
    this.#draw = draw;
  }

  /** The figure as an SVG element. */
  async svg(options: RenderOptions = {}): Promise<string> {
    checkOptions("Figure.svg", options);
    const { theme = "light", transparent = false } = options;
    if (theme !== "light" && theme !== "dark") refuseArgument("Figure", "theme", theme, '"light" or "dark"');
    if (typeof transparent !== "boolean") refuseArgument("Figure", "transparent", transparent, "true or false");
    return this.draw(coloursOf(theme, transparent));
  }

  /** @internal */
  async draw(colours: Colours): Promise<string> {
    const text = await this.#draw(colours);
    // Several figures may stand in one page, where names are shared.
    const prefix = `f${++drawn}-`;
    return text
      .slice(text.indexOf("<svg")) // in a page there is no place for a declaration
      .replace(/\bid="([^"]+)"/g, `id="${prefix}$1"`)
      .replace(/url\((['"]?)#([^)'"]+)\1\)/g, `url(#${prefix}$2)`)
      .replace(/href="#([^"]+)"/g, `href="#${prefix}$1"`);
  }

  /** The figure as PNG bytes. Needs `@napi-rs/canvas` in Node. */
  async png(options: SaveOptions = {}): Promise<Uint8Array> {
    checkOptions("Figure.png", options);
    const { theme, transparent, scale = 2 } = options;
    if (!(scale > 0 && scale <= 16)) throw new ValueError(`png: scale is ${scale}; it must be above 0 and at most 16`);
    return rasterize(await this.svg({ theme, transparent }), scale);
  }

  /** The figure as a page that needs nothing else. */
  async html(options: RenderOptions = {}): Promise<string> {
    checkOptions("Figure.html", options);
    const { theme, transparent } = options;
    if (theme !== undefined) return page(this.title, { [theme]: await this.svg({ theme, transparent }) });
    const [light, dark] = [
      await this.svg({ theme: "light", transparent }),
      await this.svg({ theme: "dark", transparent }),
    ];
    return page(this.title, { light, dark });
  }

  /**
   * Writes a file, whole or not at all. Its end says what: `.svg`, `.png`, `.html`.
   *
   * Errors: ValueError for another end, DataError where it cannot be written or the library that draws is absent.
   */
  async save(path: string, options: SaveOptions = {}): Promise<void> {
    checkPath("Figure.save", path);
    checkOptions("Figure.save", options);
    const form = /\.(svg|png|html)$/i.exec(path)?.[1]?.toLowerCase();
    if (form === undefined) throw new ValueError(`Figure.save: ${path} does not end in .svg, .png or .html`);
    if (form === "png") writeFileAtomic(path, await this.png(options));
    else writeFileAtomic(path, form === "svg" ? `${await this.svg(options)}\n` : await this.html(options));
  }

  /** Puts the figure into a page's element, in place of what it holds. */
  async mount(element: { innerHTML: string }, options: RenderOptions = {}): Promise<void> {
    if (typeof element !== "object" || element === null || !("innerHTML" in element)) {
      refuseArgument("Figure.mount", "element", element, "an element of a page");
    }
    element.innerHTML = await this.svg(options);
  }

  /**
   * Shows the figure: in the terminal, as an image where it shows images (kitty, iTerm, sixel), else in characters; in
   * notebooks of Deno and tslab as output of the cell.
   */
  async show(options: ShowOptions = {}): Promise<void> {
    checkOptions("Figure.show", options);
    if (await displayInNotebook(this)) return;
    await showInTerminal(await this.svg({ theme: options.theme, transparent: options.transparent }), options);
  }

  toString(): string {
    return `Figure(${JSON.stringify(this.title)})`;
  }

  /** What notebooks show. @internal */
  async [Symbol.for("Jupyter.display")](): Promise<Record<string, string>> {
    const svg = await this.svg();
    // As an image, because notebooks that are converted to pages have the inside of SVG taken out.
    const source = `data:image/svg+xml;base64,${base64(new TextEncoder().encode(svg))}`;
    const html = `<img alt="${escapeXml(this.title)}" width="${svgSize(svg).width}" style="max-width: 100%" src="${source}">`;
    return { "text/html": html, "image/svg+xml": svg, "text/plain": this.toString() };
  }
}
