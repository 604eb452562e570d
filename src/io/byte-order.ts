/**
 * Typed arrays have the host's byte order, files have their own: safetensors is little-endian, IDX big-endian.
 * This is the one place that turns bytes round.
 */

/** True on every machine JavaScript commonly meets; asked all the same. */
export const hostIsLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Reverses each item of `itemBytes` bytes, in place. */
export function swapBytes(bytes: Uint8Array, itemBytes: number): void {
  for (let start = 0; start < bytes.length; start += itemBytes) {
    bytes.subarray(start, start + itemBytes).reverse();
  }
}
