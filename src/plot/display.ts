/**
 * Showing a value where the program runs: a notebook's cell, a terminal. Notebooks ask a value by the symbol
 * `Jupyter.display`; figures, tensors and tables answer it.
 */

/** A value's forms by media type. */
type Bundle = Readonly<Record<string, unknown>>;
type Displayed = Readonly<Record<symbol, unknown>>;

/** What this looks for in a notebook's kernel. */
interface Kernels {
  readonly Deno?: { readonly jupyter?: { display(value: unknown): Promise<void> } };
  readonly __tslab__?: {
    require(name: "tslab"): { readonly display: { raw(type: string, data: string | Uint8Array): void } };
  };
}

const symbol = Symbol.for("Jupyter.display");
/** Milliseconds. */
const sending = 250;
/** Best first: a kernel that shows one form gets the first that there is. */
const preference = ["text/html", "image/svg+xml", "text/plain"];

/** Shows a value in the notebook that runs this. False where there is none. */
export async function displayInNotebook(value: unknown): Promise<boolean> {
  const { Deno: deno, __tslab__: tslab } = globalThis as Kernels;
  // Deno has `jupyter` in every program; only in a kernel can it be touched.
  const jupyter = ((): { display(value: unknown): Promise<void> } | undefined => {
    try {
      return deno?.jupyter;
    } catch {
      return undefined;
    }
  })();
  if (jupyter?.display !== undefined) {
    await jupyter.display(value);
    // The kernel sends a picture beside the end of the cell, and what comes after the end is lost.
    await new Promise((done) => setTimeout(done, sending));
    return true;
  }
  if (tslab === undefined) return false;
  const answer = (value as Displayed | null)?.[symbol];
  const bundle =
    typeof answer === "function" ? ((await answer.call(value)) as Bundle) : { "text/plain": String(value) };
  const type = preference.find((each) => each in bundle);
  if (type !== undefined) tslab.require("tslab").display.raw(type, bundle[type] as string);
  return true;
}
