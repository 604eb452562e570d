/** IDX: what is right is read, what is not is named, and no file makes the reader take more memory than it may. */
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { FormatError } from "cresset";
import { parseIdx, readIdx } from "cresset/vision";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { idxBytes, put, temporaryFolder } from "./fixtures.js";

describe("parseIdx", () => {
  it("reads every type", () => {
    expect(parseIdx(idxBytes([2, 2], [1, 2, 3, 255]))).toEqual({ shape: [2, 2], data: new Uint8Array([1, 2, 3, 255]) });
    expect(parseIdx(idxBytes([2], [1, 255], 9)).data).toEqual(new Int8Array([1, -1]));
    expect(parseIdx(idxBytes([2], [0, 1, 255, 254], 0x0b)).data).toEqual(new Int16Array([1, -2]));
    expect(parseIdx(idxBytes([1], [0, 0, 1, 0], 0x0c)).data).toEqual(new Int32Array([256]));
    expect(parseIdx(idxBytes([1], [0x3f, 0xc0, 0, 0], 0x0d)).data).toEqual(new Float32Array([1.5]));
    expect(parseIdx(idxBytes([1], [0xc0, 0, 0, 0, 0, 0, 0, 0], 0x0e)).data).toEqual(new Float64Array([-2]));
  });

  it("reads from the middle of a buffer without touching it", () => {
    const file = idxBytes([1], [0, 0, 1, 0], 0x0c);
    const around = new Uint8Array([9, 9, 9, ...file]);
    expect(parseIdx(around.subarray(3)).data).toEqual(new Int32Array([256]));
    expect([...around.subarray(3)]).toEqual([...file]);
  });

  const hostile: [string, Uint8Array<ArrayBuffer>, RegExp][] = [
    ["an empty file", new Uint8Array(), /f: 0 bytes; an IDX file has at least 4/],
    ["another magic number", new Uint8Array([1, 0, 8, 1, 0, 0, 0, 0]), /begins with bytes 1, 0/],
    ["an unknown type", idxBytes([1], [1], 0x0a), /type code 10/],
    ["no dimension", new Uint8Array([0, 0, 8, 0]), /no dimension/],
    ["sizes cut off", new Uint8Array([0, 0, 8, 3, 0, 0, 0, 1]), /8 bytes; 3 sizes need 16/],
    ["255 sizes promised", new Uint8Array([0, 0, 8, 255]), /255 sizes need 1024/],
    ["data cut off", idxBytes([2, 3], [1, 2, 3, 4, 5]), /sizes 2 × 3 need 6 bytes of data; there are 5/],
    ["data left over", idxBytes([2], [1, 2, 3]), /need 2 bytes of data; there are 3/],
    ["half an item", idxBytes([1], [1, 2, 3], 0x0c), /need 4 bytes of data; there are 3/],
    ["4 GiB promised", idxBytes([0xffffffff], [1]), /need 4294967295 bytes of data; there are 1/],
    ["more than a number holds", idxBytes([0xffffffff, 0xffffffff, 0xffffffff], [1]), /too large/],
    ["sizes whose product comes round to nothing", idxBytes([0xffffffff, 0xffffffff, 0], []), /too large/],
  ];
  it.each(hostile)("refuses %s", (_, bytes, message) => {
    expect(() => parseIdx(bytes, "f")).toThrow(FormatError);
    expect(() => parseIdx(bytes, "f")).toThrow(message);
  });

  it("answers any bytes with data of the promised size or a FormatError", () => {
    const start = fc.constantFrom([0, 0, 8, 1], [0, 0, 8, 2], [0, 0, 0x0d, 1], []);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 24 }), (head, tail) => {
        try {
          const { shape, data } = parseIdx(new Uint8Array([...head, ...tail]));
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});

describe("readIdx", () => {
  it("reads plain and packed files, whatever they are called", () => {
    const folder = temporaryFolder();
    const file = idxBytes([3], [1, 2, 3]);
    expect(readIdx(put(join(folder, "a"), file)).data).toEqual(new Uint8Array([1, 2, 3]));
    expect(readIdx(put(join(folder, "b"), gzipSync(file))).data).toEqual(new Uint8Array([1, 2, 3]));
  });

  it("ends a gzip bomb at the limit", () => {
    const bomb = put(join(temporaryFolder(), "bomb.gz"), gzipSync(new Uint8Array(64 * 2 ** 20)));
    const before = process.memoryUsage().rss;
    expect(() => readIdx(bomb, { maxBytes: 2 ** 20 })).toThrow(/bomb\.gz: unpacks to more than 1048576 bytes/);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * 2 ** 20);
  });

  it("names a damaged or truncated gzip file, and one too large", () => {
    const folder = temporaryFolder();
    const packed = gzipSync(idxBytes([1000], new Uint8Array(1000)));
    expect(() => readIdx(put(join(folder, "cut.gz"), packed.subarray(0, packed.length - 9)))).toThrow(FormatError);
    const flipped = Uint8Array.from(packed);
    flipped[flipped.length - 6] = (flipped[flipped.length - 6] as number) ^ 1;
    expect(() => readIdx(put(join(folder, "flipped.gz"), flipped))).toThrow(/flipped\.gz: damaged gzip data/);
    expect(() => readIdx(put(join(folder, "large"), new Uint8Array(100)), { maxBytes: 99 })).toThrow(
      /100 bytes; at most 99/,
    );
  });

  it("says when there is no file", () => {
    expect(() => readIdx("/nowhere/at-all")).toThrow(/cannot open \/nowhere\/at-all/);
    expect(() => readIdx(temporaryFolder())).toThrow(/not a regular file/);
  });
});
