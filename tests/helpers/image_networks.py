"""Image networks in plain torch as torchvision names their weights, written from its model pages.

timm calls a ResNet's weights as torchvision does, and a VGG's fully connected layers otherwise
(`timm_vgg`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Basic(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = shortcut(inputs, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1."""

    def __init__(self, inputs: int, width: int, stride: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = shortcut(inputs, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def shortcut(inputs: int, out: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == out:
        return None
    return nn.Sequential(nn.Conv2d(inputs, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """A ResNet of `width` channels in its stem, where the printed one has 64."""

    def __init__(
        self, depths: Sequence[int], *, bottleneck: bool, width: int, classes: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for number, depth in enumerate(depths):
            inner = width * 2**number
            out = inner * (4 if bottleneck else 1)
            blocks = []
            for place in range(depth):
                block = Bottleneck if bottleneck else Basic
                blocks.append(block(inputs, inner, 2 if number and not place else 1, out))
                inputs = out
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(x.mean(dim=(2, 3)))


class Vgg(nn.Module):
    """VGG-16 whose first stage has `width` channels, where the printed one has 64."""

    def __init__(self, *, norm: bool, width: int, units: int, side: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for count, factor in ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)):
            for _ in range(count):
                layers.append(nn.Conv2d(inputs, factor * width, 3, padding=1))
                layers += [nn.BatchNorm2d(factor * width)] * norm + [nn.ReLU()]
                inputs = factor * width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * (side // 32) ** 2, units),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(units, units),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(units, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def timm_vgg(state: dict[str, Tensor], side: int) -> dict[str, Tensor]:
    """torchvision's VGG as timm has it: convolutions in place of the first two linear layers."""
    kernels = {"classifier.0": side // 32, "classifier.3": 1}
    names = {
        "classifier.0": "pre_logits.fc1",
        "classifier.3": "pre_logits.fc2",
        "classifier.6": "head.fc",
    }
    found = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if module in kernels and leaf == "weight":
            value = value.reshape(value.shape[0], -1, kernels[module], kernels[module])
        found[f"{names.get(module, module)}.{leaf}"] = value
    return found


def stirred(network: nn.Module) -> nn.Module:
    """The network with statistics and shifts that differ from those of a fresh one, in eval."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low in (
                (module.running_mean, -0.3),
                (module.running_var, 0.5),
                (module.weight.data, 0.5),
                (module.bias.data, -0.3),
            ):
                value.copy_(low + torch.rand(value.shape, generator=generator))
    return network.eval()
