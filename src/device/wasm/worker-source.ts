/**
 * What a worker of the WebAssembly engine runs. It is kept as text so that the same few lines start in Node and from a blob in
 * a page, whatever a bundler does to the rest. `pool.ts` is the other side and writes the jobs; the host adds the line that
 * receives `data` and calls `work(memory, me)`.
 *
 * A worker never returns to its event loop. It spins for a moment after a job, since the next one is usually microseconds away,
 * and then sleeps. It compiles the kernels that it meets itself, from their bytes in the shared memory.
 */

/** The words (int32) at the start of memory through which the threads speak. */
export const word = {
  /** 1 while the job may be entered. It may be written only while it is closed and nobody is inside. */
  open: 0,
  inside: 1,
  /** The next chunk to be taken. */
  next: 2,
  units: 3,
  chunk: 4,
  /** The kernel's number, and where its bytes are. */
  kernel: 5,
  codeAt: 6,
  codeLength: 7,
  args: 8,
  /** Scratch of the launching thread; worker n's follows n + 1 steps later. */
  scratch: 9,
  scratchStep: 10,
  /** Set by a worker whose kernel did not run to its end. */
  failed: 11,
  /** Counts the chunks that workers ran; for tests and for diagnosis. */
  helped: 12,
  /** Never written: where the launching thread naps. */
  nap: 13,
} as const;

/** Each worker has a cache line of its own after these: the jobs it was called to, and whether it sleeps. */
export const wordsOfWorker = 16;
export const call = 0;
export const sleeping = 1;

const w = word;

export const workerSource = `"use strict";
function work(memory, me) {
  const words = new Int32Array(memory.buffer, 0, ${wordsOfWorker} * (me + 2));
  const mine = ${wordsOfWorker} * (me + 1);
  const kernels = new Map();
  const compiled = (id) => {
    let run = kernels.get(id);
    if (run === undefined) {
      const at = words[${w.codeAt}];
      const bytes = new Uint8Array(memory.buffer).slice(at >>> 0, (at >>> 0) + words[${w.codeLength}]);
      run = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports.run;
      kernels.set(id, run);
    }
    return run;
  };
  const job = () => {
    const run = compiled(words[${w.kernel}]);
    const units = words[${w.units}], chunk = words[${w.chunk}], args = words[${w.args}];
    const scratch = (words[${w.scratch}] + (me + 1) * words[${w.scratchStep}]) | 0;
    for (;;) {
      const from = Atomics.add(words, ${w.next}, 1) * chunk;
      if (from >= units) return;
      let ended = false;
      try {
        run(args, from, Math.min(from + chunk, units), scratch);
        ended = true;
        Atomics.add(words, ${w.helped}, 1);
      } finally {
        if (!ended) Atomics.store(words, ${w.failed}, 1);
      }
    }
  };
  for (let seen = 0; ; ) {
    for (let spins = 0; Atomics.load(words, mine + ${call}) === seen; ) {
      if (++spins < 20000) continue;
      Atomics.store(words, mine + ${sleeping}, 1);
      Atomics.wait(words, mine + ${call}, seen);
      Atomics.store(words, mine + ${sleeping}, 0);
    }
    seen = Atomics.load(words, mine + ${call});
    Atomics.add(words, ${w.inside}, 1);
    try {
      if (Atomics.load(words, ${w.open}) === 1) job();
    } catch {
      // a chunk that was taken and not done is told in a word; without one, the others do the work
    } finally {
      Atomics.sub(words, ${w.inside}, 1);
    }
  }
}
`;
