"""PyTorch, eager, as a user writes it. The counterpart of workloads/cresset.mjs and of what lib.mjs does for it.

    pytorch.py probe                                          is torch there, and which?
    pytorch.py '{"name": …, "kind": …, …}'                    one job, timed
    pytorch.py expect '[{"name": …, "kind": …, …}, …]'        what the workloads compute, in float64
"""

import json
import math
import resource
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


def fill(*models):
    """lib.mjs's weightOfLayer for every layer of some modules."""
    layers = [layer for model in models for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    with torch.no_grad():
        for i, layer in enumerate(layers):
            n, outputs = layer.weight.numel(), layer.weight.shape[0]
            bound = (n / outputs) ** -0.5
            layer.weight.copy_(uniform(n, 40 + i, -bound, bound).reshape(layer.weight.shape))
            layer.bias.zero_()


def random(shape, seed, low, high, dtype):
    return uniform(math.prod(shape), seed, low, high).to(dtype).reshape(shape)


def images(size, dtype):
    return [uniform(size * 784, 10 + i).to(dtype).reshape(size, 784) for i in range(8)]


def classes(size):
    return [(3 * i + 7 * torch.arange(size)) % 10 for i in range(7)]


def training(run, loss):
    """Runs get their number; the outcome is the 20th loss."""
    last = {"i": 0}

    def step():
        run(last["i"])
        last["i"] += 1

    def check():
        for _ in range(20):
            step()
        return loss()

    return step, loss, check


def supervised(model, loss_function, optimiser, inputs, targets):
    last = {}

    def run(i):
        loss = loss_function(model(inputs[i % 8]), targets[i % 7])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        last["loss"] = loss

    return training(run, lambda: last["loss"].item())


def classifier(job, dtype):
    kind, size, width = job["kind"], job["size"], job.get("width", 200)
    if kind == "seed":
        model = nn.Sequential(nn.Linear(784, width), nn.Sigmoid(), nn.Linear(width, 10), nn.Sigmoid())
        loss_function = nn.MSELoss()
    else:
        model = nn.Sequential(
            nn.Linear(784, width), nn.LeakyReLU(0.02), nn.LayerNorm(width), nn.Linear(width, 10), nn.Sigmoid()
        )
        loss_function = nn.BCELoss()
    model = model.to(dtype)
    first, second = (layer for layer in model if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(uniform(width * 784, 1, -1 / 28, 1 / 28).reshape(width, 784))
        first.bias.copy_(uniform(width, 2, -1 / 28, 1 / 28))
        second.weight.copy_(uniform(10 * width, 3, -0.07, 0.07).reshape(10, width))
        second.bias.copy_(uniform(10, 4, -0.07, 0.07))
    optimiser = optim.SGD(model.parameters(), lr=0.01) if kind == "seed" else optim.Adam(model.parameters())
    inputs = images(size, dtype)
    targets = [nn.functional.one_hot(c, 10).to(dtype) for c in classes(size)]
    if kind == "seed" and size == 1:  # the seed learns from one image without a batch dimension
        inputs = [x.reshape(784) for x in inputs]
        targets = [t.reshape(10) for t in targets]
    return supervised(model, loss_function, optimiser, inputs, targets)


def gan(job, dtype):
    """The seed's GAN: the discriminator learns from a real and a made batch, then the generator learns from it."""
    size = job["size"]
    discriminator = nn.Sequential(
        nn.Linear(784, 200), nn.LeakyReLU(0.02), nn.LayerNorm(200), nn.Linear(200, 1), nn.Sigmoid()
    ).to(dtype)
    generator = nn.Sequential(
        nn.Linear(100, 200), nn.LeakyReLU(0.02), nn.LayerNorm(200), nn.Linear(200, 784), nn.Sigmoid()
    ).to(dtype)
    fill(discriminator, generator)
    loss_function = nn.BCELoss()
    of_discriminator = optim.Adam(discriminator.parameters(), lr=1e-4)
    of_generator = optim.Adam(generator.parameters(), lr=1e-4)
    lead = [] if size == 1 else [size]
    real_images = [x.reshape(*lead, 784) for x in images(size, dtype)]
    seeds = [random([*lead, 100], 30 + i, -1, 1, dtype) for i in range(7)]
    real, made = torch.ones(*lead, 1, dtype=dtype), torch.zeros(*lead, 1, dtype=dtype)
    last = {}

    def learn(optimiser, output, target):
        loss = loss_function(output, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    def run(i):
        seed = seeds[i % 7]
        last["losses"] = [
            learn(of_discriminator, discriminator(real_images[i % 8]), real),
            learn(of_discriminator, discriminator(generator(seed).detach()), made),
            learn(of_generator, discriminator(generator(seed)), real),
        ]

    return training(run, lambda: sum(loss.item() for loss in last["losses"]))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

    def attention(self, x):
        batch, length, width = x.shape
        head = width // self.heads
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, head).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(2, 3) / head**0.5
        mixed = nn.functional.softmax(scores, dim=3) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


def block(job, dtype):
    model = nn.Sequential(Block(256, 4), Block(256, 4)).to(dtype)
    fill(model)
    inputs = [random([job["size"], 64, 256], 50 + i, -1, 1, dtype) for i in range(8)]
    targets = [random([job["size"], 64, 256], 60 + i, -1, 1, dtype) for i in range(7)]
    return supervised(model, nn.MSELoss(), optim.Adam(model.parameters()), inputs, targets)


def cnn(job, dtype):
    size = job["size"]
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 49, 10),
    ).to(dtype)
    fill(model)
    inputs = [x.reshape(size, 1, 28, 28) for x in images(size, dtype)]
    return supervised(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), inputs, classes(size))


def pick(t):
    flat = t.flatten()
    return (flat[1] + flat[-2]).item()


def with_gradients(leaves, forward, outgoing, outcome):
    """Forward and backward of one operation."""
    for leaf in leaves:
        leaf.requires_grad_()

    def run():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(outgoing)

    def check():
        run()
        return outcome()

    return run, lambda: None, check


def conv(job, dtype):
    size, (ins, outs), image = job["size"], job["channels"], job["image"]
    x = random([size, ins, image, image], 20, -0.5, 0.5, dtype)
    weight = random([outs, ins, 3, 3], 21, -0.1, 0.1, dtype)
    bias = random([outs], 22, -0.1, 0.1, dtype)
    outgoing = random([size, outs, image, image], 23, -0.5, 0.5, dtype)
    forward = lambda: nn.functional.conv2d(x, weight, bias, stride=1, padding=1)
    return with_gradients([x, weight, bias], forward, outgoing, lambda: pick(weight.grad) + pick(x.grad))


def embedding(job, dtype):
    rows, columns = job["table"]
    table = random([rows, columns], 20, -1, 1, dtype)
    at = (uniform(job["size"], 21) * rows).long()
    outgoing = random([job["size"], columns], 22, -1, 1, dtype)
    forward = lambda: nn.functional.embedding(at, table)
    return with_gradients([table], forward, outgoing, lambda: table.grad.square().sum().item())


def operation(job, dtype):
    kind = job["kind"]
    if kind == "matmul":
        m, k, n = job["shape"]
        a, b = random([m, k], 20, -0.5, 0.5, dtype), random([k, n], 21, -0.5, 0.5, dtype)
    else:
        columns = job.get("columns")
        shape = [job["size"]] if columns is None else [job["size"] // columns, columns]
        a, b = random(shape, 20, 0, 1, dtype), random(shape, 21, 0, 1, dtype)
    run = {
        "matmul": lambda: a @ b,
        "add": lambda: a + b,
        "exp": lambda: a.exp(),
        "sum": lambda: a.sum(),
        "softmax": lambda: a.softmax(1),
        "layernorm": lambda: nn.functional.layer_norm(a, [job["columns"]]),
        "copy": lambda: a.transpose(0, 1).contiguous(),
    }[kind]
    return run, lambda: None, lambda: run().item() if kind == "sum" else pick(run())


special = {
    "seed": classifier,
    "refined": classifier,
    "gan": gan,
    "block": block,
    "cnn": cnn,
    "conv": conv,
    "embedding": embedding,
}


def prepare(job, dtype=torch.float32):
    return special.get(job["kind"], operation)(job, dtype)


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
            print(w["name"], prepare(w, torch.float64)[2]())
    else:
        job = json.loads(sys.argv[1])
        torch.set_num_threads(job["threads"])
        run, finish, check = prepare(job)
        outcome = check()
        if not abs(outcome - job["expect"]) <= job["tolerance"] * abs(job["expect"]):
            sys.exit(f"computes {outcome}, expected {job['expect']}")
        if "steps" in job:
            for _ in range(job["steps"]):
                run()
            finish()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return print(json.dumps({"bytes": peak * (1 if sys.platform == "darwin" else 1024)}))
        result = measure(run, finish, job["warmup"], job["seconds"])
        print(json.dumps({"workload": job["name"], "threads": job["threads"], **result}))


main()
