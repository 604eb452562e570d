"""PyTorch, eager, as a user writes it. The counterpart of workloads/cresset.mjs and of what lib.mjs does for it.

    pytorch.py probe                                         is torch there, and which?
    pytorch.py '{"name": …, "kind": …, "size": …, …}'       one job, timed
    pytorch.py expect '[{"name": …, "kind": …, "size": …}]'  what the workloads compute, in float64
"""

import json
import statistics
import sys
import time

import torch
from torch import nn, optim


def uniform(n, seed, low=0.0, high=1.0):
    """lib.mjs's generator without a loop: state i is aⁱ·seed + c·(1 + a + … + aⁱ⁻¹), modulo 2³²."""
    mask = 2**32 - 1
    powers = torch.full((n,), 1664525, dtype=torch.int64).cumprod(0) & mask
    sums = torch.cat([torch.ones(1, dtype=torch.int64), powers[:-1]]).cumsum(0) & mask
    state = (powers * seed + sums * 1013904223) & mask
    return low + (high - low) * (state >> 8).double() / 2**24


def step(kind, size, dtype):
    if kind == "seed":
        model = nn.Sequential(nn.Linear(784, 200), nn.Sigmoid(), nn.Linear(200, 10), nn.Sigmoid())
        loss_function = nn.MSELoss()
    else:
        model = nn.Sequential(
            nn.Linear(784, 200), nn.LeakyReLU(0.02), nn.LayerNorm(200), nn.Linear(200, 10), nn.Sigmoid()
        )
        loss_function = nn.BCELoss()
    model = model.to(dtype)
    first, second = (layer for layer in model if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(uniform(200 * 784, 1, -1 / 28, 1 / 28).reshape(200, 784))
        first.bias.copy_(uniform(200, 2, -1 / 28, 1 / 28))
        second.weight.copy_(uniform(10 * 200, 3, -0.07, 0.07).reshape(10, 200))
        second.bias.copy_(uniform(10, 4, -0.07, 0.07))
    optimiser = optim.SGD(model.parameters(), lr=0.01) if kind == "seed" else optim.Adam(model.parameters())
    inputs = [uniform(size * 784, 10 + i).to(dtype).reshape(size, 784) for i in range(8)]
    rows = torch.arange(size)
    targets = [nn.functional.one_hot((3 * i + 7 * rows) % 10, 10).to(dtype) for i in range(7)]
    if kind == "seed" and size == 1:  # the seed learns from one image without a batch dimension
        inputs = [x.reshape(784) for x in inputs]
        targets = [t.reshape(10) for t in targets]
    last = {"i": 0, "loss": None}

    def run():
        i = last["i"]
        loss = loss_function(model(inputs[i % 8]), targets[i % 7])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        last["i"], last["loss"] = i + 1, loss

    def check():
        for _ in range(20):
            run()
        return last["loss"].item()

    return run, lambda: last["loss"].item(), check


def operation(kind, size, dtype):
    low, high, n = (-0.5, 0.5, size * size) if kind == "matmul" else (0, 1, size)
    a, b = uniform(n, 20, low, high).to(dtype), uniform(n, 21, low, high).to(dtype)
    if kind == "matmul":
        a, b = a.reshape(size, size), b.reshape(size, size)
    run = {"matmul": lambda: a @ b, "add": lambda: a + b, "exp": lambda: a.exp(), "sum": lambda: a.sum()}[kind]

    def check():
        flat = run().flatten()
        return flat[0].item() if kind == "sum" else (flat[1] + flat[-2]).item()

    return run, lambda: None, check


def prepare(kind, size, dtype=torch.float32):
    return (step if kind in ("seed", "refined") else operation)(kind, size, dtype)


def measure(run, finish, warmup, seconds):
    def sample(count):
        start = time.perf_counter()
        for _ in range(count):
            run()
        finish()
        return (time.perf_counter() - start) / count

    count, warm = 1, time.perf_counter()
    while True:
        count = max(1, round(0.01 / sample(count)))
        if time.perf_counter() - warm >= warmup:
            break
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        times.append(sample(count))
    return {"median_us": statistics.median(times) * 1e6, "min_us": min(times) * 1e6, "reps": len(times) * count}


def main():
    if sys.argv[1] == "probe":
        print(json.dumps({"version": torch.__version__}))
    elif sys.argv[1] == "expect":
        for w in json.loads(sys.argv[2]):
            print(w["name"], prepare(w["kind"], w["size"], torch.float64)[2]())
    else:
        job = json.loads(sys.argv[1])
        torch.set_num_threads(job["threads"])
        run, finish, check = prepare(job["kind"], job["size"])
        outcome = check()
        if not abs(outcome - job["expect"]) <= job["tolerance"] * abs(job["expect"]):
            sys.exit(f"computes {outcome}, expected {job['expect']}")
        result = measure(run, finish, job["warmup"], job["seconds"])
        print(json.dumps({"workload": job["name"], "threads": job["threads"], **result}))


main()
