/** Launches matrix products: packs B, cuts C into blocks, decides how many threads pay. */
import { matmulArguments, sliverColumns, type Tiling } from "../../kernel/c/matmul.js";
import { bytesOf, type MatmulKernel } from "../../kernel/ir.js";
import type { Buffer } from "../engine.js";
import type { Launcher } from "./launcher.js";
import type { NativeBuffer } from "./memory.js";

const blockMArgument = matmulArguments.indexOf("block_m");
const blockNArgument = matmulArguments.indexOf("block_n");

export function launchMatmul(
  launcher: Launcher,
  id: number,
  kernel: MatmulKernel,
  tiling: Tiling,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
  count: number,
): void {
  const { args } = launcher;
  const bytes = bytesOf[kernel.type];
  for (let i = 0; i < 4; i++) {
    const b = buffers[i] as NativeBuffer | undefined;
    args[i] = b === undefined ? 0 : b.address + (offsets[i] as number) * bytes;
  }
  for (let i = 0; i < count; i++) args[5 + i] = params[i] as number;
  const [batch, M, N, K] = params as unknown as [number, number, number, number];
  const NR = sliverColumns(tiling, bytes);
  const slivers = Math.ceil(N / NR);
  args[4] = launcher.scratch((batch * K * slivers * NR + NR) * bytes);
  const threads = launcher.threadsFor(batch * M * N * K);
  const [blockM, blockN] = blocks(M, N, batch, slivers, NR, threads, tiling.rows);
  args[blockMArgument] = blockM;
  args[blockNArgument] = blockN;
  const packUnits = batch * slivers * Math.ceil(K / tiling.depth);
  if (packUnits > 0) {
    launcher.run(id + 1, packUnits, Math.ceil(packUnits / (threads * 2)), batch * K * N < 1 << 16 ? 1 : threads);
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
  rows: number,
): [number, number] {
  if (threads === 1 || batch >= threads * 4) return [M, N];
  const rowTiles = Math.ceil(M / rows);
  const byRows = cut(rowTiles, threads, 4);
  // Every task packs all of A's rows that it reads: columns are cut once a thread.
  const byColumns = cut(slivers, threads, 1);
  return byRows.span / rowTiles <= byColumns.span / slivers ? [byRows.size * rows, N] : [M, byColumns.size * NR];
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
