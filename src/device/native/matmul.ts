/** Launches matrix products: chooses which operand is B, packs it where that pays, cuts C into blocks, decides on threads. */
import { matmulArguments, sliverColumns, type Tiling } from "../../kernel/c/matmul.js";
import { bytesOf, type MatmulKernel } from "../../kernel/ir.js";
import type { Buffer } from "../engine.js";
import type { Launcher } from "./launcher.js";
import type { NativeBuffer } from "./memory.js";

/** batch, M, N, K; the strides of A along b, m, k, of B along b, k, n, of C along b, m. */
type Numbers = [number, number, number, number, number, number, number, number, number, number, number, number];

const batchArgument = matmulArguments.indexOf("batch");
/** Elements of B up to which packing costs more than it spares, and rows of A with which it is always so. */
const smallB = 1 << 13;
const fewRows = 28;

export function launchMatmul(
  launcher: Launcher,
  { id, epilogue }: { readonly id: number; readonly epilogue: number },
  kernel: MatmulKernel,
  tiling: Tiling,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
): void {
  const { args } = launcher;
  const bytes = bytesOf[kernel.type];
  const address = (i: number): number => {
    const b = buffers[i] as NativeBuffer | undefined;
    return b === undefined ? 0 : b.address + (offsets[i] as number) * bytes;
  };
  const [batch, rows, columns, K, A_b, A_m, A_k, B_b, B_k, B_n, C_b, C_m] = params as unknown as number[] as Numbers;
  if (batch * rows * columns === 0) return;
  const NR = sliverColumns(tiling, bytes);
  const padded = (n: number): number => Math.ceil(n / NR) * NR;
  // Columns are padded to whole slivers and rows are not: a narrow C is computed as its transpose, Bᵀ·Aᵀ.
  const turned = columns * padded(rows) < 0.75 * rows * padded(columns);
  const [M, N] = turned ? [columns, rows] : [rows, columns];
  const slivers = Math.ceil(N / NR);
  const unit = (turned ? A_m : B_n) === 1;
  const packed = !(unit && N >= NR && (K * N <= smallB || M <= fewRows));
  const threads = launcher.threadsFor(batch * M * N * K);
  // As many tiles as the threads can share evenly, if they do not become too low for it.
  const least = Math.ceil(M / tiling.rows);
  const even = Math.ceil(least / threads) * threads;
  const tile = Math.ceil(M / (M / even >= tiling.rows * 0.7 ? even : least));
  const [blockM, blockN] = blocks(M, N, batch, slivers, NR, threads, tile);
  args[0] = address(turned ? 1 : 0);
  args[1] = address(turned ? 0 : 1);
  args[2] = address(2);
  args[3] = packed ? launcher.scratch((batch * K * slivers * NR + NR) * bytes) : 0;
  args[4] = epilogue;
  let at = batchArgument;
  const put = (...values: readonly number[]): void => {
    for (const v of values) args[at++] = v;
  };
  put(batch, M, N, K);
  if (turned) put(B_b, B_n, B_k, A_b, A_k, A_m, C_b, 1, C_m);
  else put(A_b, A_m, A_k, B_b, B_k, B_n, C_b, C_m, 1);
  // Blocks of nearly equal depth, as few as there may be.
  const depth = Math.max(1, Math.ceil(K / Math.max(1, Math.ceil(K / tiling.depth))));
  put(turned ? 1 : 0, tile, packed ? 1 : 0, blockM, blockN, depth);
  const { extras, scalars } = kernel;
  for (let i = 0; i < extras.length; i++) {
    put(address(3 + i));
    for (let axis = 0; axis < 3; axis++) put(params[12 + 3 * i + axis] as number);
  }
  for (let i = 0; i < scalars.length; i++) put(params[12 + 3 * extras.length + i] as number);
  const packUnits = packed ? batch * slivers * Math.ceil(K / depth) : 0;
  if (packUnits > 0) {
    launcher.run(id + 1, packUnits, Math.ceil(packUnits / (threads * 16)), batch * K * N < 1 << 15 ? 1 : threads);
  }
  const units = batch * Math.ceil(M / blockM) * Math.ceil(N / blockN);
  launcher.run(id, units, Math.max(1, Math.floor(units / (threads * 8))), threads);
}

/** Task sizes: rows or columns cut so that the threads finish together. */
function blocks(
  M: number,
  N: number,
  batch: number,
  slivers: number,
  NR: number,
  threads: number,
  tile: number,
): [number, number] {
  if (threads === 1 || batch >= threads * 4) return [M, N];
  const rowTiles = Math.ceil(M / tile);
  const byRows = cut(rowTiles, threads, 4);
  // Every task packs all of A's rows that it reads: columns are cut once a thread.
  const byColumns = cut(slivers, threads, 1);
  return byRows.span / rowTiles <= byColumns.span / slivers ? [byRows.size * tile, N] : [M, byColumns.size * NR];
}

/** Cuts `tiles` into at most `threads·most` tasks of equal size; `span` is what the busiest thread runs. */
function cut(tiles: number, threads: number, most: number): { size: number; span: number } {
  let best = { size: tiles, span: tiles };
  for (let each = 1; each <= most; each++) {
    const size = Math.ceil(tiles / (threads * each));
    const span = Math.ceil(Math.ceil(tiles / size) / threads) * size;
    if (span <= best.span) best = { size, span };
  }
  return best;
}
