// A page's own program: images through the browser's codecs, a training with a bar, batches from Web Workers.
import * as torch from "cresset";
import { nn, optim } from "cresset";
import { DataLoader, type DataLoaderOptions } from "cresset/data";
import { progress, SummaryWriter, summary, Trainer } from "cresset/training";
import { decodeImage, encodeImage, makeGrid, transforms } from "cresset/vision";
import { digits } from "./digits.js";

export interface Report {
  readonly lossless: boolean;
  readonly jpegError: number;
  readonly refused: string;
  readonly resized: readonly number[];
  readonly lines: readonly string[];
  readonly loss: number;
  readonly flops: number | null;
  readonly alone: unknown;
  readonly together: unknown;
  readonly noFiles: string;
}

const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "",
    (error: Error) => error.message,
  );

async function rounds(
  options: DataLoaderOptions<[torch.Tensor, number], [torch.Tensor, torch.Tensor]>,
): Promise<unknown> {
  torch.manualSeed(3);
  const loader = new DataLoader(digits(), { batchSize: 4, shuffle: true, ...options });
  const seen: unknown[] = [];
  for (let round = 0; round < 2; round++) for await (const [x, y] of loader) seen.push([x.tolist(), y.tolist()]);
  return seen;
}

async function report(): Promise<Report> {
  const image = torch.randint(256, [3, 8, 9], { dtype: "int32" }).to("uint8");
  const smooth = torch.arange(64).to("float32").div(64).reshape([1, 1, 64]).expand([3, 64, 64]).contiguous();
  const jpeg = await decodeImage(await encodeImage(smooth, { format: "jpeg", quality: 0.95 }));
  const lines: string[] = [];
  const model = new nn.Linear(2, 1);
  const trainer = new Trainer<[torch.Tensor, torch.Tensor]>({
    model,
    optimiser: new optim.SGD(model.parameters(), { lr: 0.01 }),
    step: ([x]) => model.forward(x).square().mean(),
  });
  const loader = new DataLoader(digits(), { batchSize: 5 });
  const bar = progress(loader, { print: (line) => lines.push(line), description: "page" });
  const history = await trainer.fit(bar, { epochs: 1 });
  return {
    lossless: (await decodeImage(await encodeImage(image))).equal(image),
    jpegError: jpeg.float().div(255).sub(smooth).abs().max().item(),
    refused: await messageOf(decodeImage(new TextEncoder().encode("<svg onload=alert(1)>"))),
    resized: transforms.functional.resize(makeGrid(torch.rand([4, 1, 4, 4])), 7).shape,
    lines,
    loss: history[0]?.loss ?? Number.NaN,
    flops: summary(model, [1, 2]).flops,
    alone: await rounds({}),
    together: await rounds({
      numWorkers: 2,
      worker: () => new Worker(new URL("./digits.ts", import.meta.url), { type: "module" }),
    }),
    noFiles: await messageOf(SummaryWriter.create("runs")),
  };
}

Object.assign(globalThis, { report: await report() });
