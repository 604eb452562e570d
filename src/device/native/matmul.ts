/** Launches matrix products: chooses which operand is B, packs it where that pays, cuts C into blocks, decides on threads. */
import { matmulArguments, sliverColumns, type Tiling } from "../../kernel/c/matmul.js";
import { bytesOf, type MatmulKernel } from "../../kernel/ir.js";
import type { Buffer } from "../engine.js";
import type { Launcher } from "./launcher.js";
import type { NativeBuffer } from "./memory.js";

/** batch, M, N, K; the strides of A along b, m, k, of B along b, k, n, of C along b, m. */
type Numbers = [number, number, number, number, number, number, number, number, number, number, number, number];

const batchArgument = matmulArguments.indexOf("batch");

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
  const plain = planOf(tiling, bytes, rows, columns, K, A_m, A_k, B_k, B_n);
  const other = planOf(tiling, bytes, columns, rows, K, B_n, B_k, A_k, A_m);
  // Columns of C that do not lie side by side are stored by way of a tile that is transposed, and small vectors have no masks for it.
  const store = (tiling.vector < 32 ? 3 : 1) * rows * columns * Math.ceil(K / tiling.depth);
  const turned = other.cycles + store < plain.cycles;
  const { direct, packed } = turned ? other : plain;
  const [M, N] = turned ? [columns, rows] : [rows, columns];
  const threads = launcher.threadsFor(batch * M * N * K);
  // As many tiles as the threads can share evenly, if they do not become too low for it.
  const least = Math.ceil(M / tiling.rows);
  const even = Math.ceil(least / threads) * threads;
  const tile = Math.ceil(M / (M / even >= tiling.rows * 0.7 ? even : least));
  const [blockM, blockN] = blocks(M, N, batch, tile, NR, threads);
  args[0] = address(turned ? 1 : 0);
  args[1] = address(turned ? 0 : 1);
  args[2] = address(2);
  args[3] = epilogue;
  let at = batchArgument;
  const put = (...values: readonly number[]): void => {
    for (const v of values) args[at++] = v;
  };
  put(batch, M, N, K);
  if (turned) put(B_b, B_n, B_k, A_b, A_k, A_m, C_b, 1, C_m);
  else put(A_b, A_m, A_k, B_b, B_k, B_n, C_b, C_m, 1);
  // Blocks of nearly equal depth, as few as there may be; less deep where rows of B lie far apart.
  const deepest = packed ? tiling.depth : Math.min(tiling.depth, farDepth);
  const depth = Math.max(1, Math.ceil(K / Math.max(1, Math.ceil(K / deepest))));
  put(turned ? 1 : 0, tile, packed ? 1 : 0, direct ? 1 : 0, blockM, blockN, depth);
  const { extras, scalars } = kernel;
  for (let i = 0; i < extras.length; i++) {
    put(address(3 + i));
    for (let axis = 0; axis < 3; axis++) put(params[12 + 3 * i + axis] as number);
  }
  for (let i = 0; i < scalars.length; i++) put(params[12 + 3 * extras.length + i] as number);
  const units = batch * Math.ceil(M / blockM) * Math.ceil(N / blockN);
  launcher.run(id, units, Math.max(1, Math.floor(units / (threads * 8))), threads);
}

/** How an operand is read, and what the product takes in cycles of a core, roughly. */
interface Plan {
  readonly direct: boolean;
  readonly packed: boolean;
  readonly cycles: number;
}

/** Elements of B up to which packing costs more than it spares, and rows of A with which it is always so. */
const smallB = 1 << 13;
const fewRows = 28;
/** The greatest depth of a block of B that is read where it lies. */
const farDepth = 256;
/** Cycles that packing takes for a number that lies in order, or along the depth, or elsewhere. */
const copied = 0.4;
const transposed = 0.75;
const scattered = 2;
/** By how much multiplication takes longer with rows of A where they lie. */
const loose = 0.03;

function planOf(
  tiling: Tiling,
  bytes: number,
  M: number,
  N: number,
  K: number,
  A_m: number,
  A_k: number,
  B_k: number,
  B_n: number,
): Plan {
  const NR = sliverColumns(tiling, bytes);
  const W = tiling.vector / bytes;
  const unit = B_n === 1;
  const packed = !(unit && N >= NR && (K * N <= smallB || M <= fewRows));
  const tiles = Math.ceil(M / tiling.rows);
  const rest = N % NR;
  const wide = N - rest + (rest === 0 ? 0 : rest <= W ? W : NR);
  const multiply = (tiles * Math.ceil(M / tiles) * wide * K) / (2 * W);
  const times = Math.ceil((N * Math.min(K, tiling.depth)) / (tiling.blockSlivers * NR * tiling.depth));
  const packing = times * M * K * (A_k === 1 || A_m === 1 ? transposed : scattered);
  // Rows that lie half a page apart would drive each other out of the first-level cache.
  const direct = A_k === 1 && (A_m * bytes) % 2048 !== 0 && multiply * loose < packing;
  const packA = direct ? multiply * loose : packing;
  const packB = packed ? N * K * (unit ? copied : B_k === 1 ? transposed : scattered) : 0;
  return { direct, packed, cycles: multiply + packA + packB };
}

/**
 * Rows and columns of a task: whole tiles, so that the threads finish together and pack little twice. Packing a number takes as long as
 * a sliver's worth of multiplications.
 */
function blocks(M: number, N: number, batch: number, tile: number, NR: number, threads: number): [number, number] {
  if (threads === 1 || batch >= threads * 4) return [M, N];
  const down = Math.ceil(M / tile);
  const across = Math.ceil(N / NR);
  const most = Math.max(1, Math.floor((2 * threads) / batch));
  let best: [number, number] = [M, N];
  let least = Infinity;
  for (let rows = 1; rows <= Math.min(down, most); rows++) {
    for (let columns = 1; columns <= Math.min(across, most) && rows * columns <= most; columns++) {
      const high = Math.ceil(down / rows) * tile;
      const wide = Math.ceil(across / columns) * NR;
      const tasks = batch * Math.ceil(M / high) * Math.ceil(N / wide);
      const cost = Math.ceil(tasks / threads) * (high * wide + NR * (high + wide));
      if (cost >= least) continue;
      least = cost;
      best = [high, wide];
    }
  }
  return best;
}
