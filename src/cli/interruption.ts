/**
 * Ctrl-C as a request: the first is noted, so that a loop can finish its step and save; a second one ends the process.
 */
import { onInterrupt } from "#terminal";

export class Interruption {
  #requested = false;
  readonly #end = onInterrupt(() => {
    this.#requested = true;
  });

  get requested(): boolean {
    return this.#requested;
  }

  /** Ctrl-C ends the process again, as it does by itself. */
  release(): void {
    this.#end();
  }
}
