"""Muon for matrices, those of one shape together: torch.optim.Muon does them one by one, which costs thousands of
small kernels a step."""

import math

import torch

MOMENTUM = 0.95
COEFFICIENTS = 3.4445, -4.775, 2.0315  # of the Newton-Schulz iteration


def orthogonal(x, steps=5):
    """[n, rows, columns]: each matrix with all its singular values near 1"""
    a, b, c = COEFFICIENTS
    turned = x.shape[1] > x.shape[2]
    x = x.bfloat16().mT if turned else x.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x


class Muon(torch.optim.Optimizer):
    """steps as large as AdamW's: the same learning rate suits both"""

    def __init__(self, matrices, lr, weight_decay):
        shapes = {}
        for p in matrices:
            shapes.setdefault(p.shape, []).append(p)
        super().__init__([{"params": group} for group in shapes.values()], {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            matrices = [p for p in group["params"] if p.grad is not None]
            if not matrices:
                continue
            gradients = [p.grad for p in matrices]
            for p in matrices:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum"] for p in matrices]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            updates = orthogonal(torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM)))
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            size = 0.2 * math.sqrt(max(matrices[0].shape))
            torch._foreach_add_(matrices, list(updates.to(matrices[0].dtype).unbind()), alpha=-group["lr"] * size)
