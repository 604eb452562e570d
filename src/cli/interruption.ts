/**
 * Ctrl-C as a request: the first is noted, so that a loop can finish its step and save; a second one ends the process.
 */

/** npm passes the terminal's signal on a second time; within this many milliseconds it is the same Ctrl-C. */
const echoMs = 500;

export class Interruption {
  #at: number | undefined;
  readonly #listener = () => {
    if (this.#at === undefined) this.#at = performance.now();
    else if (performance.now() - this.#at > echoMs) process.exit(130);
  };

  constructor() {
    process.on("SIGINT", this.#listener);
  }

  get requested(): boolean {
    return this.#at !== undefined;
  }

  /** Ctrl-C ends the process again, as it does by itself. */
  release(): void {
    process.off("SIGINT", this.#listener);
  }
}
