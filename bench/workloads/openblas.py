"""Matrix products of numpy on OpenBLAS: what a BLAS tuned by hand reaches. Called as workloads/pytorch.py is."""

import ctypes
import json
import os
import re
import statistics
import sys
import time

import numpy as np


def uniform(n, seed, low, high):
    """lib.mjs's generator without a loop, as in workloads/pytorch.py: uint64 wraps at a multiple of 2³²."""
    powers = np.full(n, 1664525, dtype=np.uint64).cumprod() & 0xFFFFFFFF
    sums = np.concatenate([np.ones(1, dtype=np.uint64), powers[:-1]]).cumsum() & 0xFFFFFFFF
    state = (powers * np.uint64(seed) + sums * np.uint64(1013904223)) & 0xFFFFFFFF
    return (low + (high - low) * (state >> np.uint64(8)).astype(np.float64) / 2**24).astype(np.float32)


def version():
    """numpy takes whatever BLAS the system links: the library in memory tells whether it is OpenBLAS."""
    a = np.ones((64, 64), dtype=np.float32)
    a @ a
    with open("/proc/self/maps") as maps:
        files = {match[0] for line in maps if (match := re.search(r"/\S*openblas\S*", line))}
    for file in sorted(files):
        library = ctypes.CDLL(file)
        config = next((f for f in ("openblas_get_config", "openblas_get_config64_") if hasattr(library, f)), None)
        if config is not None and hasattr(library, "cblas_sgemm"):
            get = getattr(library, config)
            get.restype = ctypes.c_char_p
            core = getattr(library, config.replace("config", "corename"))
            core.restype = ctypes.c_char_p
            name = " ".join(get().decode().split()[:2])
            return f"{name}, {core().decode()} kernels, numpy {np.__version__}"
    sys.exit(f"numpy {np.__version__} does not run on OpenBLAS: {os.path.realpath(np.__file__)}")


def main():
    if sys.argv[1] == "probe":
        return print(json.dumps({"version": version()}))
    job = json.loads(sys.argv[1])
    m, k, n = job["shape"]
    a = uniform(m * k, 20, -0.5, 0.5).reshape(m, k)
    b = uniform(k * n, 21, -0.5, 0.5).reshape(k, n)
    flat = (a @ b).ravel()
    outcome = float(flat[1] + flat[-2])
    if not abs(outcome - job["expect"]) <= job["tolerance"] * abs(job["expect"]):
        sys.exit(f"computes {outcome}, expected {job['expect']}")

    def sample(count):
        start = time.perf_counter()
        for _ in range(count):
            a @ b
        return (time.perf_counter() - start) / count

    count, warm = 1, time.perf_counter()
    while True:
        count = max(1, round(0.01 / sample(count)))
        if time.perf_counter() - warm >= job["warmup"]:
            break
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < job["seconds"]:
        times.append(sample(count))
    result = {"median_us": statistics.median(times) * 1e6, "min_us": min(times) * 1e6, "reps": len(times) * count}
    print(json.dumps({"workload": job["name"], "threads": job["threads"], **result}))


main()
