/** Event files, read back by a reader of the format written here from its description: frames, checksums, fields. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { autograd, DataError, nn, optim, tensor } from "cresset";
import { SummaryWriter, TensorBoardLogger, Trainer } from "cresset/training";
import { decodeImage } from "cresset/vision";
import { expect, it } from "vitest";
import { temporaryFolder } from "../vision/fixtures.js";

/** CRC-32C bit by bit. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
const masked = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

type Fields = Map<number, (number | bigint | Uint8Array)[]>;

/** A protocol buffer's fields by number: varints as bigint, fixed ones as numbers, the rest as bytes. */
function parse(bytes: Uint8Array): Fields {
  const fields: Fields = new Map();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    let value: number | bigint | Uint8Array;
    if ((key & 7) === 0) value = varint();
    else if ((key & 7) === 1) {
      value = view.getFloat64(at, true);
      at += 8;
    } else if ((key & 7) === 5) {
      value = view.getFloat32(at, true);
      at += 4;
    } else {
      const length = Number(varint());
      value = bytes.subarray(at, at + length);
      at += length;
    }
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}
const bytes = (fields: Fields, number: number): Uint8Array => fields.get(number)?.[0] as Uint8Array;
const textOf = (fields: Fields, number: number): string => new TextDecoder().decode(bytes(fields, number));
const doubles = (data: Uint8Array): number[] => Array.from(new Float64Array(data.slice().buffer));

/** The events of the one event file in a folder. */
function events(folder: string): Fields[] {
  const files = readdirSync(folder).filter((name) => name.startsWith("events.out.tfevents."));
  expect(files.length).toBe(1);
  const data = new Uint8Array(readFileSync(join(folder, files[0]!)));
  const view = new DataView(data.buffer);
  const found: Fields[] = [];
  for (let at = 0; at < data.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(masked(data.subarray(at, at + 8)));
    const record = data.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(masked(record));
    found.push(parse(record));
    at += 16 + length;
  }
  expect(textOf(found[0]!, 3)).toBe("brain.Event:2");
  return found.slice(1);
}
const summaryOf = (event: Fields): Fields => parse(bytes(parse(bytes(event, 5)), 1));
const stepOf = (event: Fields): number => Number(event.get(2)?.[0] ?? 0);

it("the checksum is Castagnoli's", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
});

it("writes scalars with their steps and times", async () => {
  const folder = temporaryFolder();
  const writer = await SummaryWriter.create(folder);
  writer.addScalar("loss", 0.5, 1);
  writer.addScalar("loss", tensor(0.25), 2 ** 40);
  writer.close();
  writer.close();
  const read = events(folder);
  expect(read.map((event) => [stepOf(event), textOf(summaryOf(event), 1), summaryOf(event).get(2)])).toEqual([
    [1, "loss", [0.5]],
    [2 ** 40, "loss", [0.25]],
  ]);
  expect(Math.abs((read[0]!.get(1)?.[0] as number) - Date.now() / 1000)).toBeLessThan(60);
  expect(() => writer.addScalar("loss", 1)).toThrow("the file is closed");
  const other = await SummaryWriter.create(join(folder, "other"));
  expect(() => other.addScalar("loss", "1" as never)).toThrow('addScalar: value is "1"; it must be');
  other.close();
  await expect(
    SummaryWriter.create(join(folder, "other", readdirSync(join(folder, "other"))[0] as string)),
  ).rejects.toThrow(DataError);
});

it("writes each of several scalars where TensorBoard draws them together", async () => {
  const folder = temporaryFolder();
  using writer = await SummaryWriter.create(folder);
  for (let step = 0; step < 2; step++) writer.addScalars("run/loss", { train: step, valid: -step }, step);
  expect(events(folder)).toEqual([]);
  const read = events(join(folder, "run_loss_valid"));
  expect(read.map((event) => [stepOf(event), textOf(summaryOf(event), 1), summaryOf(event).get(2)])).toEqual([
    [0, "run/loss", [-0]],
    [1, "run/loss", [-1]],
  ]);
});

it("writes histograms whose buckets hold every number", async () => {
  const folder = temporaryFolder();
  using writer = await SummaryWriter.create(folder);
  const numbers = [-2, -0.5, 0, 0, 0.5, 3];
  writer.addHistogram("weights", tensor(numbers), 7);
  const histogram = parse(bytes(summaryOf(events(folder)[0]!), 5));
  expect([1, 2, 3, 4, 5].map((field) => histogram.get(field)?.[0])).toEqual([-2, 3, 6, 1, 13.5]);
  const limits = doubles(bytes(histogram, 6));
  const counts = doubles(bytes(histogram, 7));
  expect(counts.length).toBe(limits.length);
  for (const [i, limit] of limits.entries()) {
    const below = limits[i - 1] ?? Number.NEGATIVE_INFINITY;
    expect(counts[i]).toBe(numbers.filter((x) => x > below && x <= limit).length);
  }
  expect(() => writer.addHistogram("weights", [1, Number.NaN])).toThrow("there is NaN among the numbers");
  expect(() => writer.addHistogram("weights", [])).toThrow("there are no numbers");
});

it("writes images, texts and graphs", async () => {
  const folder = temporaryFolder();
  using writer = await SummaryWriter.create(folder);
  const image = tensor([
    [0, 0.5],
    [1, 0.25],
    [0, 1],
  ]);
  await writer.addImage("digit", image, 3);
  writer.addText("notes", "**bold** ü");
  const x = tensor(3.5, { requiresGrad: true });
  writer.addGraph(autograd.graph(x.mul(x).add(1), { x }));
  const [first, second, third] = events(folder) as [Fields, Fields, Fields];

  const picture = parse(bytes(summaryOf(first), 4));
  expect([1, 2, 3].map((field) => Number(picture.get(field)?.[0]))).toEqual([3, 2, 1]);
  expect((await decodeImage(bytes(picture, 4), { mode: "gray" })).tolist()).toEqual([
    [
      [0, 128],
      [255, 64],
      [0, 255],
    ],
  ]);

  const note = summaryOf(second);
  expect(textOf(parse(bytes(note, 8)), 8)).toBe("**bold** ü");
  expect(textOf(parse(bytes(parse(bytes(note, 9)), 1)), 1)).toBe("text");

  const nodes = parse(bytes(third, 4))
    .get(1)!
    .map((node) => parse(node as Uint8Array));
  const names = nodes.map((node) => textOf(node, 1));
  expect(names.some((name) => name.startsWith("x_"))).toBe(true);
  for (const node of nodes) {
    for (const input of node.get(3) ?? []) expect(names).toContain(new TextDecoder().decode(input as Uint8Array));
  }
  expect(() => writer.addGraph(tensor(1))).toThrow("has no graph");
  await expect(writer.addImage("x", tensor([1, 2]))).rejects.toThrow("an image has shape");
  expect(() => writer.addScalar("", 1)).toThrow("a tag must not be empty");
  expect(() => writer.addScalar("a", 1, 0.5)).toThrow("step is 0.5");
});

it("logs a training", async () => {
  const folder = temporaryFolder();
  const model = new nn.Linear(1, 1);
  const trainer = new Trainer<ReturnType<typeof tensor>>({
    model,
    optimiser: new optim.SGD(model.parameters(), { lr: 0.1 }),
    step: (x) => model.forward(x).square().mean(),
    callbacks: [new TensorBoardLogger(await SummaryWriter.create(folder))],
  });
  await trainer.fit([tensor([[1], [2]]), tensor([[3], [4]])], { epochs: 2 });
  const tags = events(folder).map((event) => [textOf(summaryOf(event), 1), stepOf(event)]);
  expect(tags).toEqual([
    ["step/loss", 1],
    ["step/loss", 2],
    ["epoch/loss", 1],
    ["epoch/lr", 1],
    ["step/loss", 3],
    ["step/loss", 4],
    ["epoch/loss", 2],
    ["epoch/lr", 2],
  ]);
});
