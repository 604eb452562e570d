/*
 * The limit: what this machine's compiler makes of the work when a person fuses it by hand. No framework can do much
 * better on the same algorithm. The counterpart of lib.mjs: the same numbers, the same check, the same timing.
 *
 *     limit <name> <kind> <size> <threads> <warmup> <seconds> <expect> <tolerance>
 *
 * Kinds: seed (batch 1, one thread), add, exp, sum.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IN = 784, HIDDEN = 200, OUT = 10, INPUTS = 8, TARGETS = 7 };

static float *uniform(long n, uint32_t seed, double low, double high) {
  float *numbers = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
  for (long i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    numbers[i] = (float)(low + (high - low) * (seed >> 8) / 16777216.0);
  }
  return numbers;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The seed's step: 784-200-10, sigmoids, mean squared error, gradient descent at 0.01, one image. */
static float *w1, *b1, *w2, *b2, *inputs[INPUTS], targets[TARGETS][OUT], loss;
static long count;

static void prepare_step(void) {
  w1 = uniform(HIDDEN * IN, 1, -1.0 / 28, 1.0 / 28);
  b1 = uniform(HIDDEN, 2, -1.0 / 28, 1.0 / 28);
  w2 = uniform(OUT * HIDDEN, 3, -0.07, 0.07);
  b2 = uniform(OUT, 4, -0.07, 0.07);
  for (int i = 0; i < INPUTS; i++) inputs[i] = uniform(IN, 10 + i, 0, 1);
  for (int i = 0; i < TARGETS; i++) targets[i][3 * i % 10] = 1;
}

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void step(void) {
  const float *restrict x = inputs[count % INPUTS], *restrict target = targets[count % TARGETS];
  const float rate = 0.01f;
  float hidden[HIDDEN], back[HIDDEN] = {0}, output[OUT];
  count++;
  for (int j = 0; j < HIDDEN; j++) {
    const float *restrict row = w1 + j * IN;
    float sum = 0;
    for (int i = 0; i < IN; i++) sum += row[i] * x[i];
    hidden[j] = sum + b1[j];
  }
  for (int j = 0; j < HIDDEN; j++) hidden[j] = sigmoid(hidden[j]);
  loss = 0;
  for (int k = 0; k < OUT; k++) {
    float *restrict row = w2 + k * HIDDEN;
    float sum = 0;
    for (int j = 0; j < HIDDEN; j++) sum += row[j] * hidden[j];
    output[k] = sigmoid(sum + b2[k]);
    const float error = output[k] - target[k];
    loss += error * error / OUT;
    const float delta = 2.0f / OUT * error * output[k] * (1 - output[k]);
    for (int j = 0; j < HIDDEN; j++) {
      back[j] += row[j] * delta;
      row[j] -= rate * delta * hidden[j];
    }
    b2[k] -= rate * delta;
  }
  for (int j = 0; j < HIDDEN; j++) {
    float *restrict row = w1 + j * IN;
    const float change = rate * back[j] * hidden[j] * (1 - hidden[j]);
    for (int i = 0; i < IN; i++) row[i] -= change * x[i];
    b1[j] -= change;
  }
}

/* The memory-bound loops, writing where they wrote before. */
static float *a, *b, *c, total;
static long size;
static int threads;

static void add(void) {
  const float *restrict p = a, *restrict q = b;
  float *restrict r = c;
#pragma omp parallel for simd num_threads(threads)
  for (long i = 0; i < size; i++) r[i] = p[i] + q[i];
}

static void exponential(void) {
  const float *restrict p = a;
  float *restrict r = c;
#pragma omp parallel for simd num_threads(threads)
  for (long i = 0; i < size; i++) r[i] = expf(p[i]);
}

static void sum(void) {
  const float *restrict p = a;
  float s = 0;
#pragma omp parallel for simd num_threads(threads) reduction(+ : s)
  for (long i = 0; i < size; i++) s += p[i];
  total = s;
}

static double sample(void (*run)(void), long reps) {
  const double start = now();
  for (long i = 0; i < reps; i++) {
    run();
    __asm__ volatile("" ::: "memory"); /* every repetition counts */
  }
  return (now() - start) / reps;
}

static int ascending(const void *x, const void *y) {
  const double p = *(const double *)x, q = *(const double *)y;
  return (p > q) - (p < q);
}

int main(int argc, char **argv) {
  if (argc != 9) return fprintf(stderr, "limit <name> <kind> <size> <threads> <warmup> <seconds> <expect> <tolerance>\n"), 2;
  const char *kind = argv[2];
  size = atol(argv[3]);
  threads = atoi(argv[4]);
  const double warmup = atof(argv[5]), seconds = atof(argv[6]);
  const double expect = atof(argv[7]), tolerance = atof(argv[8]);
  void (*run)(void);
  double outcome;
  if (!strcmp(kind, "seed")) {
    prepare_step();
    run = step;
    for (int i = 0; i < 20; i++) run();
    outcome = loss;
  } else {
    a = uniform(size, 20, 0, 1);
    b = uniform(size, 21, 0, 1);
    c = uniform(size, 22, 0, 1);
    run = !strcmp(kind, "add") ? add : !strcmp(kind, "exp") ? exponential : sum;
    run();
    outcome = run == sum ? total : c[1] + c[size - 2];
  }
  if (!(fabs(outcome - expect) <= tolerance * fabs(expect))) {
    return fprintf(stderr, "computes %g, expected %g\n", outcome, expect), 1;
  }

  static double times[100000];
  long reps = 1, n = 0;
  double start = now();
  do {
    reps = (long)(0.01 / sample(run, reps));
    if (reps < 1) reps = 1;
  } while (now() - start < warmup);
  start = now();
  while (n < 3 || (now() - start < seconds && n < 100000)) times[n++] = sample(run, reps);
  qsort(times, n, sizeof *times, ascending);
  const double median = (times[(n - 1) / 2] + times[n / 2]) / 2;
  printf("{\"workload\": \"%s\", \"threads\": %d, \"median_us\": %.9g, \"min_us\": %.9g, \"reps\": %ld}\n", argv[1],
         threads, median * 1e6, times[0] * 1e6, n * reps);
  return 0;
}
