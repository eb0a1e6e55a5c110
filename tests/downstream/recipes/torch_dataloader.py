# requires: torch>=2.4 numpy
# methods: fork spawn forkserver
"""torch's DataLoader with workers, under a start method."""

from __future__ import annotations

import sys

import torch
from torch.utils.data import DataLoader, Dataset


class Squares(Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        return torch.tensor([float(index), float(index * index)]), f"item {index}"


if __name__ == "__main__":
    loader = DataLoader(Squares(), batch_size=8, num_workers=2, multiprocessing_context=sys.argv[1])
    for numbers, names in loader:
        print(numbers.sum(0).tolist(), names[0], names[-1])
