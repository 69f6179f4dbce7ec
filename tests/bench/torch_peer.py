"""PyTorch (Debian's python3-torch) in its best configuration: two threads, channels_last, and by the environment that
tests/bench/contender.lua sets a heap that keeps its pages and asks for huge ones. Inference is whichever is faster
here: eager channels_last, or a frozen graph optimised for inference.
"""
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

import peer

torch.manual_seed(1)
torch.set_num_threads(int(os.environ.get("PEER_THREADS", "2")))


def norm(channels, eps=2e-5):
    return nn.BatchNorm2d(channels, eps=eps, momentum=0.1)


# ---- the course's net: lua/giemsa/zoo/resnet.lua


class Module(nn.Module):
    def __init__(self, inputs, outputs, stride, reduce):
        super().__init__()
        narrow = outputs // 4
        self.stride = stride
        self.n1, self.c1 = norm(inputs), nn.Conv2d(inputs, narrow, 1, bias=False)
        self.n2, self.c2 = norm(narrow), nn.Conv2d(narrow, narrow, 3, stride, 1 if stride == 1 else 0, bias=False)
        self.n3, self.c3 = norm(narrow), nn.Conv2d(narrow, outputs, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if reduce else None

    def forward(self, x):
        activated = F.relu(self.n1(x), inplace=True)
        y = F.relu(self.n2(self.c1(activated)), inplace=True)
        if self.stride == 2:
            y = F.pad(y, (0, 1, 0, 1))
        y = self.c3(F.relu(self.n3(self.c2(y)), inplace=True))
        return y.add_(self.shortcut(activated) if self.shortcut is not None else x)


class Course(nn.Module):
    def __init__(self, stages, filters):
        super().__init__()
        self.n0, self.c0, self.n1 = norm(3), nn.Conv2d(3, filters[0], 5, padding=2, bias=False), norm(filters[0])
        modules, inputs = [], filters[0]
        for stage, (count, outputs) in enumerate(zip(stages, filters[1:])):
            for i in range(count):
                modules.append(Module(inputs, outputs, 2 if i == 0 and stage > 0 else 1, i == 0))
                inputs = outputs
        self.modules_, self.n2 = nn.Sequential(*modules), norm(inputs)
        self.dense = nn.LazyLinear(2)

    def forward(self, x):
        x = F.relu(self.n1(self.c0(self.n0(x))), inplace=True)
        x = self.modules_(F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2))
        return self.dense(F.avg_pool2d(F.relu(self.n2(x), inplace=True), 8).flatten(1))


# ---- ResNet-50: lua/giemsa/zoo/resnet50.lua


class Block(nn.Module):
    def __init__(self, inputs, filters, stride, changes_shape):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(inputs, filters, 1, bias=False), norm(filters, 1e-5)
        self.c2, self.n2 = nn.Conv2d(filters, filters, 3, stride, 1, bias=False), norm(filters, 1e-5)
        self.c3, self.n3 = nn.Conv2d(filters, 4 * filters, 1, bias=False), norm(4 * filters, 1e-5)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, 4 * filters, 1, stride, bias=False),
                                      norm(4 * filters, 1e-5)) if changes_shape else None

    def forward(self, x):
        y = F.relu(self.n1(self.c1(x)), inplace=True)
        y = F.relu(self.n2(self.c2(y)), inplace=True)
        y = self.n3(self.c3(y))
        return F.relu(y.add_(self.shortcut(x) if self.shortcut is not None else x), inplace=True)


def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), norm(64, 1e-5), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, count in enumerate([3, 4, 6, 3]):
        for i in range(count):
            layers.append(Block(inputs, 64 << stage, 2 if i == 0 and stage > 0 else 1, i == 0))
            inputs = 256 << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


# ---- U-Net: lua/giemsa/zoo/unet.lua


def two(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(True),
                         nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(True))


class UNet(nn.Module):
    def __init__(self, width=64, depth=4):
        super().__init__()
        sizes = [width << level for level in range(depth + 1)]
        self.down = nn.ModuleList(two(i, o) for i, o in zip([3] + sizes, sizes))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * o, o, 2, 2) for o in sizes[:-1])
        self.join = nn.ModuleList(two(2 * o, o) for o in sizes[:-1])
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        kept = []
        for level, layer in enumerate(self.down):
            kept.append(layer(F.max_pool2d(kept[-1], 2) if level else x))
        x = kept.pop()
        for level in reversed(range(len(kept))):
            x = self.join[level](torch.cat([kept[level], self.up[level](x)], 1))
        return self.out(x)


# ---- cases


def net_of(request):
    x = torch.rand(request["batch"], 3, request["side"], request["side"])
    if request["net"] == "course":
        net = Course(request["stages"], request["filters"])
    else:
        net = resnet50() if request["net"] == "resnet50" else UNet()
    net.eval()
    with torch.no_grad():
        net(x[:1])  # lazy layers learn their sizes
    return net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)


def loss_of(request):
    if request["net"] == "unet":
        y = (torch.rand(request["batch"], 1, request["side"], request["side"]) > 0.5).float()
        return lambda output: F.binary_cross_entropy_with_logits(output, y)
    y = torch.randint(0, 2, (request["batch"],))
    return lambda output: F.cross_entropy(output, y)


def step(request):
    net, x = net_of(request)
    loss = loss_of(request)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=2e-4)

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss(net(x)).backward()
        optimizer.step()
    return run, net


def forward(request):
    net, x = net_of(request)

    def runner(f, x):
        def run():
            with torch.no_grad():
                f(x)
        return run
    variants = [runner(net, x)]
    if request["net"] == "course":  # of the large nets tracing gains nothing and takes long
        plain = x.contiguous()
        with torch.no_grad():
            traced = torch.jit.trace(net.to(memory_format=torch.contiguous_format), plain)
            frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        net.to(memory_format=torch.channels_last)
        variants.append(runner(frozen, plain))
    return peer.best_of(variants), net


def make(request):
    run, net = {"step": step, "forward": forward}[request["what"]](request)
    return run, {"params": sum(p.numel() for p in net.parameters()), "version": torch.__version__}


def export(path):
    """The course's net for ONNX Runtime."""
    net, x = net_of({"net": "course", "batch": 1, "side": 64, "stages": [2, 2, 3], "filters": [32, 64, 128, 256]})
    torch.onnx.export(net.to(memory_format=torch.contiguous_format), x.contiguous(), path, input_names=["x"],
                      dynamic_axes={"x": {0: "n"}}, opset_version=13)


if sys.argv[1:2] == ["export"]:
    export(sys.argv[2])
else:
    peer.serve(make)
