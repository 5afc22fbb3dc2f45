"""Tests run on one thread: toy nets are too small to share."""

import torch

torch.set_num_threads(1)
