"""Measure a net of your own: shapes, parameters, MACs and receptive fields of any PyTorch module."""

import torch
from torch import nn

import convatlas as ca


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.dense = nn.Linear(8 * 12 * 12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv1(x))
        x = x + torch.relu(self.conv2(x))
        x = nn.functional.max_pool2d(x, 2)
        return self.dense(x.flatten(1))


anatomy = ca.measure(Small(), size=28)
print(anatomy)
print(anatomy.table().markdown())
