/**
 * One family of errors. Messages name the operation, what met, and what would be right:
 * `matmul: inner sizes differ: (64, 784) × (200, 10); 784 must equal 200`.
 */
export class CressetError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}
/** Shapes that do not fit an operation. */
export class ShapeError extends CressetError {}
/** A dtype an operation does not take. */
export class DTypeError extends CressetError {}
/** An index or dimension out of range. */
export class IndexError extends CressetError {}
/** Any other argument out of its domain. */
export class ValueError extends CressetError {}
/** A device that is absent, or tensors on two of them. */
export class DeviceError extends CressetError {}
/** A compiler that failed or hung. */
export class CompileError extends DeviceError {}
/** Misuse of the tape: a second backward, a non-scalar root, a saved value changed in place. */
export class AutogradError extends CressetError {}
/** Something that `torch.compile` cannot record. */
export class CaptureError extends CressetError {}
/** A state dict whose keys or shapes do not match. */
export class StateDictError extends CressetError {}
/** A file that is truncated, oversized or not what it says it is. */
export class FormatError extends CressetError {}
/** Data that is not there: a missing file, a failed download. */
export class DataError extends CressetError {}
