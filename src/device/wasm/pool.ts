/**
 * The WebAssembly engine's threads: workers over one shared memory, and the launches that they take part in. Which launches pay
 * for them is `engine.ts`'s decision; how a worker is started, the host's (`host-node.ts`, `host-browser.ts`); what it runs,
 * `worker-source.ts`'s.
 *
 * The launching thread works too, and never waits for a worker that is not running: who comes late finds the job closed. So it
 * does no harm that a browser starts workers only when the page's own thread is idle, or not at all.
 */
import { DeviceError } from "../../errors.js";
import { call, sleeping, word, wordsOfWorker, workerSource } from "./worker-source.js";

/** What a host must give for threads. */
export interface WorkerHost {
  /** Threads that may run at once, the launching one among them. */
  readonly threads: number;
  /**
   * Starts a worker, which must keep no process alive. It runs the source, then calls the source's `work` with what `data` has.
   * Where it does not start, `failed` is called, now or later.
   */
  start(source: string, data: { readonly memory: WebAssembly.Memory; readonly me: number }, failed: () => void): void;
}

/** Looks so often whether a worker is done before it naps. */
const SPINS = 20_000;
const NAP_MILLISECONDS = 0.05;
const MOST_THREADS = 256;

/** Bytes at the start of memory that the threads speak through. */
export const poolBytes = 4 * wordsOfWorker * MOST_THREADS;

export type Run = (args: number, begin: number, end: number, scratch: number) => void;

export interface Job {
  readonly run: Run;
  /** Its number, and where its bytes lie in the shared memory. */
  readonly kernel: number;
  readonly codeAt: number;
  readonly codeLength: number;
}

export class Pool {
  private readonly words: Int32Array;
  private workers = 0;
  private refused = false;
  /** A page's own thread may not sleep. */
  private readonly mayNap: boolean;

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly host: WorkerHost,
  ) {
    this.words = new Int32Array(memory.buffer, 0, poolBytes / 4);
    let mayNap = true;
    try {
      Atomics.wait(this.words, word.nap, 0, 0);
    } catch {
      mayNap = false;
    }
    this.mayNap = mayNap;
  }

  /** How many workers were started, so far. */
  get started(): number {
    return this.workers;
  }

  /** How many chunks they ran. */
  get helped(): number {
    return Atomics.load(this.words, word.helped);
  }

  /** Threads that can be had if so many are wanted: one where the host refused to start workers. */
  most(threads: number): number {
    return this.refused ? 1 : Math.min(threads, MOST_THREADS);
  }

  /** Runs a kernel over its units, in chunks, on at most so many threads. Scratch is `threads` pieces of `scratchStep` bytes. */
  launch(
    { run, kernel, codeAt, codeLength }: Job,
    args: number,
    units: number,
    chunk: number,
    threads: number,
    scratch: number,
    scratchStep: number,
  ): void {
    const { words } = this;
    while (this.workers < threads - 1 && !this.refused) this.start();
    this.waitUntilEmpty();
    words[word.kernel] = kernel;
    words[word.codeAt] = codeAt;
    words[word.codeLength] = codeLength;
    words[word.args] = args;
    words[word.units] = units;
    words[word.chunk] = chunk;
    words[word.scratch] = scratch;
    words[word.scratchStep] = scratchStep;
    Atomics.store(words, word.next, 0);
    Atomics.store(words, word.open, 1);
    for (let me = Math.min(this.workers, threads - 1); me > 0; me--) {
      const its = wordsOfWorker * me;
      Atomics.add(words, its + call, 1);
      if (Atomics.load(words, its + sleeping) === 1) Atomics.notify(words, its + call);
    }
    try {
      for (;;) {
        const from = Atomics.add(words, word.next, 1) * chunk;
        if (from >= units) break;
        run(args, from, Math.min(from + chunk, units), scratch);
      }
    } finally {
      Atomics.store(words, word.open, 0);
      this.waitUntilEmpty();
    }
    if (Atomics.exchange(words, word.failed, 0) !== 0) throw new DeviceError("wasm: a kernel failed in a worker");
  }

  private start(): void {
    const refused = (): void => {
      this.refused = true;
    };
    try {
      this.host.start(workerSource, { memory: this.memory, me: this.workers }, refused);
      this.workers++;
    } catch {
      refused();
    }
  }

  private waitUntilEmpty(): void {
    const { words } = this;
    for (let spins = 0; Atomics.load(words, word.inside) > 0; spins++) {
      if (this.mayNap && spins > SPINS) Atomics.wait(words, word.nap, 0, NAP_MILLISECONDS);
    }
  }
}
