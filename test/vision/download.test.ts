/** Downloads against a server on this machine: mirrors, checksums, resuming, servers that lie or fall silent. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { type DownloadProgress, MNIST } from "cresset/vision";
import { describe, expect, it, onTestFinished } from "vitest";
import { imageFile, labelFile, put, temporaryFolder } from "./fixtures.js";

const plain: Record<string, Uint8Array> = {
  "train-images-idx3-ubyte": imageFile(40),
  "train-labels-idx1-ubyte": labelFile(Array.from({ length: 40 }, (_, i) => i % 10)),
  "t10k-images-idx3-ubyte": imageFile(2),
  "t10k-labels-idx1-ubyte": labelFile([3, 4]),
};
const packed = new Map(Object.entries(plain).map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]));
const md5 = Object.fromEntries(
  [...packed].map(([name, bytes]) => [name, createHash("md5").update(bytes).digest("hex")]),
);
const first = "train-images-idx3-ubyte.gz";
const whole = packed.get(first) as Buffer;

interface Asked {
  file: string;
  range: string | undefined;
}

type Handler = (body: Buffer, response: ServerResponse, asked: Asked) => void;

/** Answers as a good server does, ranges included. */
const serve: Handler = (body, response, { range }) => {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  if (range !== undefined && from >= body.length) {
    response.writeHead(416, { "Content-Range": `bytes */${body.length}` }).end();
    return;
  }
  const headers = {
    "Content-Length": body.length - from,
    "Content-Range": `bytes ${from}-${body.length - 1}/${body.length}`,
  };
  response.writeHead(
    range === undefined ? 200 : 206,
    range === undefined ? { "Content-Length": body.length } : headers,
  );
  response.end(body.subarray(from));
};

/** A mirror on the loopback that answers the first file by `handler` and the others well. */
async function mirror(handler: Handler = serve): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const file = basename(request.url ?? "");
    const one = { file, range: request.headers.range };
    asked.push(one);
    const body = packed.get(file) as Buffer;
    (file === first ? handler : serve)(body, response, one);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mnist`, asked };
}

const notFound: Handler = (_, response) => void response.writeHead(404).end("no such file");

/** Says how long the body is and cuts the line after `bytes` of it. */
const cutAfter =
  (bytes: number): Handler =>
  (body, response) => {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20));
  };

const partOf = (root: string) => join(root, "MNIST/raw/train-images-idx3-ubyte.gz.part");

function expectWhole(root: string): void {
  const folder = join(root, "MNIST/raw");
  expect(readdirSync(folder).toSorted()).toEqual(Object.keys(plain).toSorted());
  for (const [name, bytes] of Object.entries(plain))
    expect(new Uint8Array(readFileSync(join(folder, name)))).toEqual(bytes);
  expect(new MNIST({ root }).length).toBe(40);
  expect(new MNIST({ root, train: false }).labelOf(1)).toBe(4);
}

describe("MNIST.download", () => {
  it("fetches, checks and unpacks the four files, and tells how far it is", async () => {
    const root = temporaryFolder();
    const { url, asked } = await mirror();
    const seen: DownloadProgress[] = [];
    expect(await MNIST.download(root, { mirrors: [url], md5, onProgress: (progress) => seen.push(progress) })).toBe(
      join(root, "MNIST/raw"),
    );
    expectWhole(root);
    expect(asked.map(({ file }) => file)).toEqual([...packed.keys()]);
    expect(seen.findLast(({ file }) => file === first)).toEqual({
      file: first,
      received: whole.length,
      total: whole.length,
      mirror: url,
    });
  });

  it("asks for nothing that is there", async () => {
    const root = temporaryFolder();
    const { url, asked } = await mirror();
    await MNIST.download(root, { mirrors: [url], md5 });
    await MNIST.download(root, { mirrors: [url], md5 });
    expect(asked.length).toBe(4);
  });

  it("goes to the next mirror when one has not got it", async () => {
    const root = temporaryFolder();
    const [bad, good] = [await mirror(notFound), await mirror()];
    await MNIST.download(root, { mirrors: [bad.url, good.url], md5 });
    expectWhole(root);
    expect(good.asked.map(({ file }) => file)).toEqual([first]);
  });

  it("takes up a download that was cut, from another mirror too", async () => {
    const root = temporaryFolder();
    const [bad, good] = [await mirror(cutAfter(100)), await mirror()];
    await MNIST.download(root, { mirrors: [bad.url, good.url], md5 });
    expectWhole(root);
    expect(good.asked).toEqual([{ file: first, range: "bytes=100-" }]);
  });

  it("keeps what it has when all mirrors fail, names them, and goes on next time", async () => {
    const root = temporaryFolder();
    const bad = await mirror(cutAfter(100));
    await expect(MNIST.download(root, { mirrors: [bad.url], md5 })).rejects.toThrow(
      /MNIST: train-images-idx3-ubyte\.gz could not be downloaded: http:\/\/127/,
    );
    expect(readdirSync(join(root, "MNIST/raw"))).toEqual([basename(partOf(root))]);
    expect(readFileSync(partOf(root))).toEqual(whole.subarray(0, 100));
    const good = await mirror();
    await MNIST.download(root, { mirrors: [good.url], md5 });
    expectWhole(root);
    expect(good.asked[0]).toEqual({ file: first, range: "bytes=100-" });
  });

  it("starts again where a server knows no ranges", async () => {
    const root = temporaryFolder();
    put(partOf(root), whole.subarray(0, 50));
    const { url } = await mirror(
      (body, response) => void response.writeHead(200, { "Content-Length": body.length }).end(body),
    );
    await MNIST.download(root, { mirrors: [url], md5 });
    expectWhole(root);
  });

  it("finishes a part that was whole already", async () => {
    const root = temporaryFolder();
    put(partOf(root), whole);
    const { url } = await mirror();
    await MNIST.download(root, { mirrors: [url], md5 });
    expectWhole(root);
  });

  it.each([
    ["shorter than", whole.length - 10],
    ["as long as", whole.length],
    ["longer than", whole.length + 10],
  ])("drops a part of something else, %s the file", async (_, length) => {
    const root = temporaryFolder();
    put(partOf(root), new Uint8Array(length).fill(1));
    const { url } = await mirror();
    await MNIST.download(root, { mirrors: [url], md5 });
    expectWhole(root);
  });

  it("refuses a file with another checksum and leaves nothing of it", async () => {
    const root = temporaryFolder();
    const { url } = await mirror(
      (body, response) => void response.end(Buffer.concat([body.subarray(0, 20), Buffer.from([0]), body.subarray(21)])),
    );
    await expect(MNIST.download(root, { mirrors: [url], md5 })).rejects.toThrow(/checksum differs/);
    expect(readdirSync(join(root, "MNIST/raw"))).toEqual([]);
  });

  it("refuses a file with the right checksum and the wrong content", async () => {
    const root = temporaryFolder();
    const odd = gzipSync("not IDX at all");
    const { url } = await mirror((_, response) => void response.end(odd));
    const sums = { ...md5, [first]: createHash("md5").update(odd).digest("hex") };
    await expect(MNIST.download(root, { mirrors: [url], md5: sums })).rejects.toThrow(/an IDX file begins with 0, 0/);
    expect(readdirSync(join(root, "MNIST/raw"))).toEqual([]);
  });

  it("refuses another range than it asked for", async () => {
    const root = temporaryFolder();
    put(partOf(root), whole.subarray(0, 50));
    const { url } = await mirror(
      (body, response) =>
        void response
          .writeHead(206, { "Content-Range": `bytes 40-${body.length - 1}/${body.length}` })
          .end(body.subarray(40)),
    );
    await expect(MNIST.download(root, { mirrors: [url], md5 })).rejects.toThrow(/another range/);
  });

  it("leaves a silent mirror", async () => {
    const root = temporaryFolder();
    const [silent, stalled, good] = [
      await mirror(() => {}),
      await mirror((body, response) => {
        response.writeHead(200, { "Content-Length": body.length });
        response.write(body.subarray(0, 10));
      }),
      await mirror(),
    ];
    await MNIST.download(root, { mirrors: [silent.url, stalled.url, good.url], md5, timeout: 150 });
    expectWhole(root);
    expect(good.asked).toEqual([{ file: first, range: "bytes=10-" }]);
  });

  it("stops when it is told to", async () => {
    const root = temporaryFolder();
    const controller = new AbortController();
    const { url } = await mirror(() => controller.abort(new Error("enough")));
    await expect(MNIST.download(root, { mirrors: [url, url], md5, signal: controller.signal })).rejects.toThrow(
      "enough",
    );
    expect(existsSync(join(root, "MNIST/raw/train-images-idx3-ubyte"))).toBe(false);
  });

  it("never keeps an endless body", async () => {
    const root = temporaryFolder();
    const { url } = await mirror((_, response) => {
      const block = Buffer.alloc(1 << 20);
      const push = () => {
        while (!response.destroyed && response.write(block));
      };
      response.writeHead(200);
      response.on("drain", push);
      push();
    });
    await expect(MNIST.download(root, { mirrors: [url], md5 })).rejects.toThrow(/more than 67108864 bytes/);
    expect(readdirSync(join(root, "MNIST/raw"))).toEqual([]);
  });
});
