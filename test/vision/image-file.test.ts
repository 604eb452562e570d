/** Image files written and read back, what Pillow says of their grey, and files that are damaged or lie. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { DataError, FormatError, rand, type Tensor, tensor, zeros } from "cresset";
import { decodeImage, encodeImage, readImage, saveImage, writeImage } from "cresset/vision";
import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "./fixtures.js";

const bytes = (values: number[], shape: number[]): Tensor => tensor(Uint8Array.from(values)).reshape(shape);
const colours = bytes([255, 0, 0, 10, 0, 255, 0, 20, 0, 0, 255, 30], [3, 2, 2]);

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), 8 + data.length);
  return out;
}
/** A PNG file of zeros that claims to be of this size, grey with 8 bits. */
function png(width: number, height: number, data = deflateSync(Buffer.alloc(16))): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

describe("image files", () => {
  it("keep colours under transparency, as files of 8 and 16 bits, grey and by number", async () => {
    const faint = tensor([[[200, 10, 9]], [[100, 20, 8]], [[50, 30, 7]], [[3, 0, 255]]], { dtype: "uint8" });
    const file = await encodeImage(faint);
    expect((await decodeImage(file, { mode: "rgba" })).equal(faint)).toBe(true);
    expect((await decodeImage(file)).tolist()).toEqual(faint.slice(0, 0, 3).tolist());
    const pixels = async (image: Parameters<typeof encode>[0]) =>
      (await decodeImage(encode(image) as Uint8Array, { mode: "rgba" })).flatten().tolist();
    expect(await pixels({ width: 1, height: 1, data: Uint8Array.of(100, 3), channels: 2 })).toEqual([100, 100, 100, 3]);
    const wide = Uint16Array.of(0x1280, 0xfe7f, 0x8000, 0x03ff);
    expect(await pixels({ width: 1, height: 1, data: wide, channels: 4, depth: 16 })).toEqual([0x12, 0xfe, 0x80, 3]);
    const palette = chunk("PLTE", Uint8Array.of(10, 20, 30, 40, 50, 60));
    const plain = png(8, 8, deflateSync(Buffer.alloc(72, Uint8Array.of(0, 0, 1, 0, 1, 0, 1, 0, 1))));
    plain[25] = 3;
    const header = chunk("IHDR", plain.subarray(16, 29));
    const numbered = Buffer.concat([
      plain.subarray(0, 8),
      header,
      palette,
      chunk("tRNS", Uint8Array.of(0, 3)),
      plain.subarray(33),
    ]);
    const first = (await decodeImage(numbered, { mode: "rgba" })).slice(1, 0, 1).slice(2, 0, 2);
    expect(first.tolist()).toEqual([[[10, 40]], [[20, 50]], [[30, 60]], [[0, 3]]]);
    const broken = file.slice();
    broken[broken.indexOf(0x49, 36) + 8]! ^= 0xff;
    await expect(decodeImage(broken)).rejects.toThrow(FormatError);
  });

  it("keep every pixel in PNG, in each form", async () => {
    const file = await encodeImage(colours);
    expect((await decodeImage(file)).equal(colours)).toBe(true);
    expect((await decodeImage(file, { mode: "rgba" })).select(0, 3).tolist()).toEqual([
      [255, 255],
      [255, 255],
    ]);
    const grey = bytes([0, 1, 127, 128, 254, 255], [2, 3]);
    expect((await decodeImage(await encodeImage(grey), { mode: "gray" })).tolist()).toEqual([grey.tolist()]);
    const clear = bytes([9, 9, 9, 0, 9, 9, 9, 0, 9, 9, 9, 0, 255, 255, 255, 0], [4, 2, 2]);
    expect((await decodeImage(await encodeImage(clear), { mode: "rgba" })).equal(clear)).toBe(true);
  });

  it("turn floats into bytes, and colours into the grey of Pillow", async () => {
    const floats = tensor([
      [-1, 0, 0.5],
      [0.25, 1, 7],
    ]);
    expect((await decodeImage(await encodeImage(floats), { mode: "gray" })).tolist()).toEqual([
      [
        [0, 0, 128],
        [64, 255, 255],
      ],
    ]);
    // Image.fromarray(…).convert("L") of the colours above.
    expect((await decodeImage(await encodeImage(colours), { mode: "gray" })).tolist()).toEqual([
      [
        [76, 150],
        [29, 18],
      ],
    ]);
  });

  it.each(["jpg", "webp"])("are nearly the same as .%s", async (ending) => {
    const path = join(temporaryFolder(), `a.${ending}`);
    const smooth = tensor(Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => (i % 32) / 32)).reshape(3, 32, 32);
    await writeImage(smooth, path, { quality: 0.95 });
    const back = (await readImage(path)).float().div(255);
    expect(back.sub(smooth).abs().max().item()).toBeLessThan(0.06);
  });

  it("are written whole, by their ending", async () => {
    const folder = temporaryFolder();
    await saveImage(rand([5, 1, 4, 4]), join(folder, "new/grid.png"), { nrow: 3 });
    expect((await readImage(join(folder, "new/grid.png"))).shape).toEqual([3, 14, 20]);
    expect(readdirSync(join(folder, "new"))).toEqual(["grid.png"]);
    await expect(writeImage(colours, join(folder, "a.gif"))).rejects.toThrow(
      "a.gif ends in .gif; images are written as .png",
    );
    await expect(writeImage(zeros([2, 3, 3]), join(folder, "a.png"))).rejects.toThrow("not (2, 3, 3)");
    await expect(writeImage(zeros([3, 0, 3]), join(folder, "a.png"))).rejects.toThrow("not (3, 0, 3)");
    await expect(writeImage(zeros([3, 3], { dtype: "int32" }), join(folder, "a.png"))).rejects.toThrow("not int32");
    await expect(encodeImage(colours, { quality: 90 })).rejects.toThrow("quality is 90");
    await expect(readImage(join(folder, "absent.png"))).rejects.toThrow(DataError);
    expect(readdirSync(folder)).toEqual(["new"]);
  });
});

describe("hostile files", () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ["nothing", new Uint8Array(0), /is no PNG, JPEG, WebP, GIF or BMP file/],
    ["text", new TextEncoder().encode("<svg onload=alert(1)>"), /is no PNG/],
    ["a bomb", png(60_000, 60_000), /claims 60000 × 60000 pixels; at most 134217728 are taken/],
    ["no size", png(0, 5), /an image of 0 × 5 pixels/],
    ["a PNG without its header", png(4, 4).slice(0, 10), /damaged|is no PNG/],
    ["a PNG that was cut off", png(4, 4).slice(0, -8), /the file ends too early/],
    ["half a JPEG", Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70]), /ends too early|damaged/],
    ["pixels that do not unpack", png(4, 4, Buffer.from("not deflate at all")), /damaged/],
  ];
  it.each(cases)("%s: a clear error", async (_, data, message) => {
    const path = join(temporaryFolder(), "hostile.png");
    writeFileSync(path, data);
    const read = readImage(path);
    await expect(read).rejects.toThrow(FormatError);
    await expect(read).rejects.toThrow(message);
    await expect(read).rejects.toThrow(/hostile\.png: /);
  });

  it("every cut of a JPEG is an error, never half an image", async () => {
    const whole = await encodeImage(rand([3, 16, 16]), { format: "jpeg" });
    for (let length = 0; length < whole.length - 2; length += 37) {
      await expect(decodeImage(whole.slice(0, length))).rejects.toThrow(FormatError);
    }
    expect((await decodeImage(whole)).shape).toEqual([3, 16, 16]);
  });

  it("a mode that is none", async () => {
    await expect(decodeImage(readFileSync(new URL(import.meta.url)), { mode: "cmyk" as never })).rejects.toThrow(
      "mode is",
    );
  });
});
