/** The error function: Eigen's rational approximation in float32, Cephes' in float64. */
import * as k from "../expr.js";
import { type Expr, select } from "../expr.js";
import { exp } from "./exponential.js";
import { polynomial } from "./shared.js";

export function erf(x: Expr): Expr {
  if (x.type === "f32") {
    // Eigen's rational approximation on [−4, 4].
    const c = select(k.lt(x, -4), -4, select(k.gt(x, 4), 4, x));
    const z = k.mul(c, c);
    const p = polynomial(
      z,
      [
        -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5, -7.34990630326855e-4,
        -2.95459980854025e-3, -1.60960333262415e-2,
      ],
    );
    const q = polynomial(
      z,
      [-1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2],
    );
    return k.mul(c, k.div(p, q));
  }
  const a = k.abs(x);
  const z = k.mul(x, x);
  const small = k.div(
    k.mul(
      x,
      polynomial(
        z,
        [
          9.60497373987051638749, 9.00260197203842689217e1, 2.23200534594684319226e3, 7.00332514112805075473e3,
          5.55923013010394962768e4,
        ],
      ),
    ),
    polynomial(
      z,
      [
        1, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3, 2.26290000613890934246e4,
        4.92673942608635921086e4,
      ],
    ),
  );
  const p = polynomial(
    a,
    [
      2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687, 4.86371970985681366614e1,
      1.96520832956077098242e2, 5.26445194995477358631e2, 9.3452852717195760754e2, 1.02755188689515710272e3,
      5.57535335369399327526e2,
    ],
  );
  const q = polynomial(
    a,
    [
      1, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2, 9.75708501743205489753e2,
      1.82390916687909736289e3, 2.24633760818710981792e3, 1.65666309194161350182e3, 5.57535340817727675546e2,
    ],
  );
  const tail = k.sub(1, k.div(k.mul(exp(k.neg(z)), p), q));
  const large = select(k.gt(a, 6), 1, tail);
  return select(k.isNaN(x), x, select(k.le(a, 1), small, select(k.lt(x, 0), k.neg(large), large)));
}
