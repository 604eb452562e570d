/**
 * The one hand-written C file of the native engine: it loads compiled kernels and runs them on a small thread pool.
 * Workers spin for a moment after a launch, since the next one is usually microseconds away, and then sleep.
 */
export const runtimeSource = `#define _GNU_SOURCE
#include <dlfcn.h>
#ifdef __linux__
#include <malloc.h>
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdint.h>
#include <sys/mman.h>

typedef void (*kernel_fn)(const double*, long, long);

static kernel_fn* table = NULL;
static int count = 0, capacity = 0;
static char last_error[512];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

const char* cresset_error(void) { return last_error; }

static void* library(const char* path) {
  void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* message = dlerror();
    int i = 0;
    for (; message && message[i] && i < 511; i++) last_error[i] = message[i];
    last_error[i] = 0;
  }
  return handle;
}

/* Workers outlive whoever loaded this library: it must never be unmapped under them. */
__attribute__((constructor)) static void stay(void) {
  Dl_info info;
  if (dladdr((void*)stay, &info)) dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
#ifdef __GLIBC__
  /* What collected tensors leave is kept for the next ones, up to 256 MB, instead of going back to the system page by page. */
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

/* Loads run (and, where there is one, pack) of a kernel: gives the number of run; pack is the next. -1 on failure. */
int cresset_load(const char* path) {
  pthread_mutex_lock(&table_lock);
  int id = -1;
  void* handle = library(path);
  if (handle && dlsym(handle, "run")) {
    if (count + 2 > capacity) {
      /* Another JavaScript thread may be reading the old table in a launch: it is left where it is. */
      kernel_fn* larger = malloc((capacity ? capacity * 2 : 256) * sizeof(kernel_fn));
      for (int i = 0; i < count; i++) larger[i] = table[i];
      capacity = capacity ? capacity * 2 : 256;
      table = larger;
    }
    id = count;
    table[count++] = (kernel_fn)dlsym(handle, "run");
    table[count++] = (kernel_fn)dlsym(handle, "pack");
  }
  pthread_mutex_unlock(&table_lock);
  return id;
}

/* Where the function of that number is: a kernel may be told to call another. */
double cresset_entry(int id) { return (double)(uintptr_t)table[id]; }

double cresset_address(void* memory) { return (double)(uintptr_t)memory; }

/* Large fresh memory is touched first by a kernel: huge pages spare it hundreds of page faults a megabyte. */
void cresset_advise(double address, double bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t huge = 2 << 20;
  const uintptr_t from = ((uintptr_t)address + huge - 1) & ~(huge - 1), to = ((uintptr_t)address + (uintptr_t)bytes) & ~(huge - 1);
  if (to > from) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}

enum { MAX_THREADS = 256, SPINS = 16000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;
static int workers = 0;
static atomic_int sleeping = 0;
static atomic_long generation = 0;
/* A job may be written only while it is closed and nobody is in it. Workers that come late find it closed and leave, so that
   a launch never waits for one that the system has not scheduled. */
static atomic_int open_job = 0;
static atomic_int inside = 0;
static struct { kernel_fn fn; const double* args; long units, chunk; int threads, flush; } job;
/* Each thread has a share of the units, the same in every job of the same size, so that it finds in its core's cache what it left
   there. When it is done it helps the others. */
static struct { atomic_long next; long end; } __attribute__((aligned(64))) shares[MAX_THREADS];

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void wait_until_empty(void) {
  for (int spins = 0; atomic_load(&inside) > 0; spins++) {
    if (spins < SPINS) pause_cpu();
    else sched_yield();
  }
}

/* Whether kernels that this thread launches take denormal numbers for zero. */
static _Thread_local int flushing = 0;
#if defined(__x86_64__) || defined(__i386__)
#define FLUSH_BITS 0x8040u
static inline unsigned long control(void) { return __builtin_ia32_stmxcsr(); }
static inline void set_control(unsigned long c) { __builtin_ia32_ldmxcsr((unsigned)c); }
#elif defined(__aarch64__)
#define FLUSH_BITS (1ul << 24)
static inline unsigned long control(void) { unsigned long c; __asm__ volatile("mrs %0, fpcr" : "=r"(c)); return c; }
static inline void set_control(unsigned long c) { __asm__ volatile("msr fpcr, %0" : : "r"(c)); }
#endif

/* Gives whether this processor can. */
int cresset_flush(int on) {
#ifdef FLUSH_BITS
  flushing = on;
  return 1;
#else
  return 0;
#endif
}

/* The mode is the kernel's alone: the caller's own arithmetic, JavaScript's, must not see it. */
static inline void call(kernel_fn fn, const double* args, long from, long to, int flush) {
#ifdef FLUSH_BITS
  if (flush) {
    const unsigned long before = control();
    set_control(before | FLUSH_BITS);
    fn(args, from, to);
    set_control(before);
    return;
  }
#endif
  fn(args, from, to);
}

static void work(int me) {
  for (int i = 0; i < job.threads; i++) {
    const int of = (me + i) % job.threads;
    const long end = shares[of].end;
    for (long from; (from = atomic_fetch_add(&shares[of].next, job.chunk)) < end;)
      call(job.fn, job.args, from, from + job.chunk < end ? from + job.chunk : end, job.flush);
  }
}

/* What generation a worker starts from: written before it is created, read before the job it is created for ends. */
static long born = 0;

static void* worker(void* number) {
  long seen = born;
  const int me = (int)(intptr_t)number;
  for (;;) {
    int spins = 0;
    long now;
    while ((now = atomic_load_explicit(&generation, memory_order_acquire)) == seen) {
      if (++spins < SPINS) pause_cpu();
      else {
        pthread_mutex_lock(&lock);
        atomic_fetch_add(&sleeping, 1);
        while (atomic_load(&generation) == seen) pthread_cond_wait(&wake, &lock);
        atomic_fetch_sub(&sleeping, 1);
        pthread_mutex_unlock(&lock);
      }
    }
    seen = now;
    atomic_fetch_add(&inside, 1);
    if (atomic_load(&open_job) && me < job.threads) work(me);
    atomic_fetch_sub(&inside, 1);
  }
  return NULL;
}

static void launch(kernel_fn fn, const double* a, double units, double chunk, int threads) {
  if (threads <= 1 || units <= chunk || pthread_mutex_trylock(&busy) != 0) {
    call(fn, a, 0, (long)units, flushing);
    return;
  }
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  born = atomic_load(&generation);
  while (workers < threads - 1) {
    pthread_t t;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 4 << 20);
    int failed = pthread_create(&t, &attributes, worker, (void*)(intptr_t)(workers + 1));
    pthread_attr_destroy(&attributes);
    if (failed) break;
    workers++;
  }
  wait_until_empty();
  job.fn = fn;
  job.args = a;
  job.units = (long)units;
  job.chunk = (long)chunk;
  job.threads = threads;
  job.flush = flushing;
  const long chunks = (job.units + job.chunk - 1) / job.chunk;
  for (int t = 0; t < threads; t++) {
    const long end = chunks * (t + 1) / threads * job.chunk;
    atomic_store(&shares[t].next, chunks * t / threads * job.chunk);
    shares[t].end = end < job.units ? end : job.units;
  }
  atomic_store(&open_job, 1);
  atomic_fetch_add(&generation, 1);
  if (atomic_load(&sleeping) > 0) {
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
  }
  work(0);
  atomic_store(&open_job, 0);
  wait_until_empty();
  pthread_mutex_unlock(&busy);
}

static inline const double* at(double address) { return (const double*)(uintptr_t)address; }

/* A job that lies in memory: kernel, units, chunk, threads, and from the ninth number on the arguments. Each JavaScript thread
   has its own. */
static __thread const double* listened;
void cresset_listen(double address) { listened = at(address); }
void cresset_go(void) {
  const double* j = listened;
  launch(table[(int)j[0]], j + 8, j[1], j[2], (int)j[3]);
}

/* A list of launches has five numbers for each: address of the arguments, kernel, units, chunk, threads. */
enum { ENTRY = 5 };

/* Launches in a row. */
void cresset_replay(double list, int from, int to) {
  const double* e = at(list) + (long)ENTRY * from;
  for (; from < to; from++, e += ENTRY) launch(table[(int)e[1]], at(e[0]), e[2], e[3], (int)e[4]);
}

/* Some of the chunks of a list, counted through all its launches. */
static void chunks(const double* e, long from, long to) {
  for (long before = 0; from < to; e += ENTRY) {
    const long units = (long)e[2], chunk = (long)e[3], count = (units + chunk - 1) / chunk;
    for (; from < to && from < before + count; from++) {
      const long first = (from - before) * chunk;
      table[(int)e[1]](at(e[0]), first, first + chunk < units ? first + chunk : units);
    }
    before += count;
  }
}

/* Launches of which none needs another, as one: so many chunks in all. */
void cresset_together(double list, double count, int threads) {
  launch(chunks, at(list), count, threads > 1 ? 1 + (long)count / (threads * 16) : count, threads);
}
`;
