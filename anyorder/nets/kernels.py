"""Faster modules for stock models on a CPU: weights packed once at load instead of at every call.

torch's `F.linear` on a CPU reorders the weights for oneDNN in each call. For the embedded model that is most
of a step. `pack` swaps every `nn.Linear` of a loaded model for one that was reordered at load; the model
file itself stays stock. Where the operator is missing (another device, another build) nothing is swapped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """`nn.Linear` with its weight in oneDNN's own layout. Same inputs, same outputs, no gradients."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether this build of torch packs weights of this kind, asked by doing it once."""
    if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return False
    probe = nn.Linear(8, 4).to(dtype)
    x = torch.ones(2, 8, dtype=dtype)
    try:
        with torch.inference_mode():
            return bool(torch.allclose(PackedLinear(probe)(x), probe(x), atol=1e-2))
    except (AttributeError, NotImplementedError, RuntimeError):
        return False


def pack(model: nn.Module) -> nn.Module:
    """Swap the model's linear layers for packed ones, in place, and return it."""
    parameter = next(model.parameters())
    if can_pack(parameter.dtype, parameter.device):
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Linear:
                    setattr(module, name, PackedLinear(child))
    return model
