/**
 * Training is synchronous: while it runs no signal, timer or repaint gets through. A loop that awaits `give()` lets
 * them, at no cost worth naming: the event loop turns only when a few milliseconds have passed.
 */

/** Without setImmediate (browsers), a message to oneself: setTimeout would wait 4 ms each time. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** Gives the event loop a turn whenever `everyMs` milliseconds have passed since the last. */
export class EventLoopTurns {
  #last = performance.now();
  readonly #everyMs: number;

  constructor(everyMs = 8) {
    this.#everyMs = everyMs;
  }

  /** Returns at once, or a promise when a turn is due. */
  give(): Promise<void> | undefined {
    if (performance.now() - this.#last < this.#everyMs) return undefined;
    return turn().then(() => {
      this.#last = performance.now();
    });
  }
}
