// A page's own program: trains a small classifier of the built-in digits and leaves a report.
import * as torch from "cresset";
import { nn, optim } from "cresset";
import { DataLoader } from "cresset/data";
import { SyntheticDigits } from "cresset/vision";

export interface Report {
  readonly engine: string;
  readonly losses: readonly number[];
  readonly accuracy: number;
  readonly milliseconds: number;
  readonly threads: number;
  /** Chunks of work that workers did. */
  readonly helped: number;
  /** Of a product that pays for threads. */
  readonly product: readonly number[];
  /** What a checkpoint gives back, from memory and in a stream. */
  readonly loaded: unknown;
}

function train(): Omit<Report, "threads" | "helped" | "product" | "loaded"> {
  const start = performance.now();
  torch.manualSeed(0);
  const model = new nn.Sequential(new nn.Linear(784, 64), new nn.ReLU(), new nn.Linear(64, 10));
  const lossFunction = new nn.CrossEntropyLoss();
  const optimiser = new optim.Adam(model.parameters(), { lr: 0.003 });
  const inputsOf = (images: torch.Tensor) => images.reshape([-1, 784]).float().div(255);

  const losses: number[] = [];
  const digits = new SyntheticDigits({ train: true, length: 2000 });
  for (let epoch = 0; epoch < 3; epoch++) {
    for (const [images, labels] of new DataLoader(digits, { batchSize: 50, shuffle: true })) {
      const loss = lossFunction.forward(model.forward(inputsOf(images)), labels);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
      losses.push(loss.item());
    }
  }

  const test = new SyntheticDigits({ train: false, length: 500 });
  const right = torch.noGrad(() => {
    const [images, labels] = test.getBatch(Array.from({ length: test.length }, (_, i) => i));
    return model.forward(inputsOf(images)).argmax(1).eq(labels).sum().item();
  });
  const milliseconds = performance.now() - start;
  return { engine: torch.cpuEngineName(), losses, accuracy: right / test.length, milliseconds };
}

/** A browser starts workers between two turns of the page; then they take part. */
async function together(): Promise<Pick<Report, "threads" | "helped" | "product">> {
  const { engine } = torch.device("cpu") as unknown as { engine: { workers: { helped: number } } };
  const x = torch.arange(160_000).to("float32").sin().reshape([400, 400]);
  let product = x.matmul(x);
  const end = performance.now() + 5000;
  while (torch.getNumThreads() > 1 && engine.workers.helped < 10 && performance.now() < end) {
    await new Promise((done) => setTimeout(done, 5));
    for (let i = 0; i < 5; i++) product = x.matmul(x);
  }
  await new Promise((done) => setTimeout(done, 50));
  const numbers = Array.from(product.toTypedArray() as Float32Array);
  return { threads: torch.getNumThreads(), helped: engine.workers.helped, product: numbers };
}

async function checkpoint(): Promise<unknown> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const file = new Response(readable as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer();
  await torch.save({ x: torch.tensor([[1, 2.5]]), epoch: 3 }, writable);
  const { x, epoch } = await torch.load<{ x: torch.Tensor; epoch: number }>(await file);
  return [x.tolist(), epoch];
}

const trained = train();
const rest = { ...(await together()), loaded: await checkpoint() };
Object.assign(globalThis, { report: { ...trained, ...rest } });
