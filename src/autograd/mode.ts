/** The grad modes: whether operations are recorded. They nest, and hold for synchronous code only. */
let enabled = true;
let anomaly = false;

/** True where operations on tensors that require gradients are recorded. */
export const isGradEnabled = (): boolean => enabled;

function within<T>(mode: boolean, fn: () => T): T {
  const before = enabled;
  enabled = mode;
  try {
    return fn();
  } finally {
    enabled = before;
  }
}

/**
 * Runs `fn` without recording. https://pytorch.org/docs/stable/generated/torch.no_grad.html
 *
 * ```ts
 * const model = new nn.Linear(4, 2);
 * const y = torch.noGrad(() => model.forward(torch.rand([3, 4]))); // y.requiresGrad is false
 * ```
 */
export const noGrad = <T>(fn: () => T): T => within(false, fn);

/** Records again inside `noGrad`. https://pytorch.org/docs/stable/generated/torch.enable_grad.html */
export const enableGrad = <T>(fn: () => T): T => within(true, fn);

/** As `noGrad`; here there is nothing cheaper still to be had. */
export const inferenceMode = <T>(fn: () => T): T => within(false, fn);

/** Switches recording on or off from here on. */
export function setGradEnabled(mode: boolean): void {
  enabled = mode;
}

/** In anomaly mode each recorded operation remembers where it was called. */
export const isAnomalyEnabled = (): boolean => anomaly;
export function setDetectAnomaly(mode: boolean): void {
  anomaly = mode;
}

/** Runs `fn` in anomaly mode: a NaN met in `backward` names the forward line that recorded it. */
export function detectAnomaly<T>(fn: () => T): T {
  const before = anomaly;
  anomaly = true;
  try {
    return fn();
  } finally {
    anomaly = before;
  }
}
