/**
 * The bytes of TensorBoard's event files: records in TFRecord's frame, and in them protocol buffers. Field numbers are
 * those of TensorBoard's event.proto, summary.proto, tensor.proto and graph.proto. What is logged, and where, is left to
 * `summary-writer.ts`; varints and tags are @bufbuild/protobuf's.
 *
 * Frame: length (8 bytes, little-endian), masked CRC-32C of these 8 bytes, the data, masked CRC-32C of the data.
 * Source: https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto
 */
import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { ComputationGraph } from "../autograd/graph.js";

const polynomial = 0x82f63b78; // Castagnoli's, reflected

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  return crc;
});

/** CRC-32C, turned and shifted as TFRecord has it, because a checksum of data that holds checksums would be weak. */
export function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 255] as number);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One record, in its frame. */
export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(16 + data.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

export interface Histogram {
  readonly min: number;
  readonly max: number;
  readonly count: number;
  readonly sum: number;
  readonly sumSquares: number;
  /** The upper ends of the buckets, ascending, and how many numbers are in each. */
  readonly limits: readonly number[];
  readonly counts: readonly number[];
}

/** What one value of a summary can be. */
export type SummaryValue =
  | { readonly kind: "scalar"; readonly value: number }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "histogram"; readonly value: Histogram }
  | {
      readonly kind: "image";
      readonly value: {
        readonly height: number;
        readonly width: number;
        readonly channels: number;
        readonly png: Uint8Array;
      };
    };

type What =
  | { readonly fileVersion: string }
  | { readonly tag: string; readonly summary: SummaryValue }
  | { readonly graph: ComputationGraph };

// Wire types: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
const varint = 0;
const eightBytes = 1;
const counted = 2;
const fourBytes = 5;

const textType = 7; // DT_STRING
const graphVersion = 22;

/** Encodes events with the library's writer, which its user has loaded. */
export class EventEncoder {
  constructor(private readonly Writer: new () => BinaryWriter) {}

  /** Event: wall_time = 1, step = 2, file_version = 3, graph_def = 4, summary = 5. */
  event(seconds: number, step: number, what: What): Uint8Array {
    const writer = new this.Writer().tag(1, eightBytes).double(seconds);
    if (step !== 0) writer.tag(2, varint).int64(step);
    if ("fileVersion" in what) writer.tag(3, counted).string(what.fileVersion);
    else if ("graph" in what) writer.tag(4, counted).bytes(this.graph(what.graph));
    else message(writer, 5, () => message(writer, 1, () => value(writer, what.tag, what.summary)));
    return writer.finish();
  }

  /** GraphDef: node = 1, versions = 4. NodeDef: name = 1, op = 2, input = 3. */
  private graph({ nodes, edges }: ComputationGraph): Uint8Array {
    const writer = new this.Writer();
    const nameOf = new Map(nodes.map(({ id, name }) => [id, `${name.replace(/[^A-Za-z0-9._\\/-]/g, "_")}_${id}`]));
    for (const { id, name, shape } of nodes) {
      message(writer, 1, () => {
        writer.tag(1, counted).string(nameOf.get(id) as string);
        writer.tag(2, counted).string(shape === null ? name : `${name} (${shape.join(", ")})`);
        for (const { from, to } of edges) if (to === id) writer.tag(3, counted).string(nameOf.get(from) as string);
      });
    }
    message(writer, 4, () => writer.tag(1, varint).int32(graphVersion));
    return writer.finish();
  }
}

function message(writer: BinaryWriter, field: number, fields: () => void): void {
  writer.tag(field, counted).fork();
  fields();
  writer.join();
}

/** Summary.Value: tag = 1, simple_value = 2, image = 4, histo = 5, tensor = 8, metadata = 9. */
function value(writer: BinaryWriter, tag: string, summary: SummaryValue): void {
  writer.tag(1, counted).string(tag);
  switch (summary.kind) {
    case "scalar":
      writer.tag(2, fourBytes).float(summary.value);
      break;
    case "image": {
      const { height, width, channels, png } = summary.value;
      message(writer, 4, () => {
        writer.tag(1, varint).int32(height).tag(2, varint).int32(width).tag(3, varint).int32(channels);
        writer.tag(4, counted).bytes(png);
      });
      break;
    }
    case "histogram": {
      const { min, max, count, sum, sumSquares, limits, counts } = summary.value;
      message(writer, 5, () => {
        for (const [i, number] of [min, max, count, sum, sumSquares].entries())
          writer.tag(i + 1, eightBytes).double(number);
        for (const [field, list] of [
          [6, limits],
          [7, counts],
        ] as const) {
          message(writer, field, () => {
            for (const number of list) writer.double(number);
          });
        }
      });
      break;
    }
    case "text":
      message(writer, 8, () => {
        writer.tag(1, varint).int32(textType);
        message(writer, 2, () => message(writer, 2, () => writer.tag(1, varint).int64(1)));
        writer.tag(8, counted).string(summary.value);
      });
      message(writer, 9, () => message(writer, 1, () => writer.tag(1, counted).string("text")));
  }
}
