"""Losses as pure functions of tensors; the trainer only routes."""

from __future__ import annotations

from math import isinf, log
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kernel = Literal["huber", "gaussian"]
HUBER_BETA = 1.0 / 9
"""Where smooth L1 turns from square to straight; Detectron's value for box deltas."""
_NEAR_ONE = 1e-4


def penalty(residual: Tensor, kernel: Kernel = "huber") -> Tensor:
    """u(e) >= 0, elementwise; exp(-u) is the evidence for a coordinate.

    huber: smooth L1 with beta = 1/9; gaussian: e^2 / 2.
    """
    if kernel == "gaussian":
        return 0.5 * residual.square()
    zero = torch.zeros_like(residual)
    return F.smooth_l1_loss(residual, zero, reduction="none", beta=HUBER_BETA)


def renyi_entropy(residuals: Tensor, alpha: float, kernel: Kernel = "huber") -> Tensor:
    """Renyi entropy of order alpha of a box's residuals: [N, m] -> [N].

    With evidence P_j = exp(-u(e_j)):  H = 1 / (1 - alpha) * log mean_j P_j^(alpha - 1).
    alpha -> 1 is the mean of u_j (with `huber`: smooth L1), alpha -> inf its minimum.
    Renyi 1961 for an incomplete distribution; the form with a fiducial point at zero, since the
    entropy of normalised residuals does not see their size (docs/adr/0005). In float64 for
    float64 residuals, else in float32.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, not {alpha}")
    # In double: of a box that nearly fits, log-sum-exp less log m has no digit left in single.
    u = penalty(residuals.double(), kernel)
    if isinf(alpha):
        entropy = u.amin(dim=1)
    elif abs(alpha - 1) < _NEAR_ONE:
        entropy = u.mean(dim=1)
    else:
        entropy = (torch.logsumexp((1 - alpha) * u, dim=1) - log(u.shape[1])) / (1 - alpha)
    return entropy if residuals.dtype == torch.float64 else entropy.float()


def box_loss(
    predicted: Tensor, target: Tensor, alpha: float, kernel: Kernel, normaliser: float
) -> Tensor:
    """Sum over positive boxes of 4 H_alpha, over `normaliser` (the number of sampled RoIs).

    predicted, target: deltas [N, 4]; a scalar comes back, zero with its graph when N = 0.
    alpha = 1 with huber equals the stock Fast R-CNN loss. Raises ValueError unless
    0 < alpha <= 8: beyond, only the best coordinate of a box gets a gradient.
    """
    if not 0 < alpha <= 8:
        raise ValueError(f"train with 0 < alpha <= 8, not {alpha}")
    if len(predicted) == 0:
        return predicted.sum() * 0
    entropies = renyi_entropy(predicted - target, alpha, kernel)
    return predicted.shape[1] * entropies.sum() / normaliser


def objectness_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean binary cross-entropy over sampled anchors: logits [N], positive [N] in {0, 1}."""
    if len(logits) == 0:
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(logits.float(), positive.float())


LESION = 3
"""Label of a lesion whose kind is not known, beside 0 background, 1 benign, 2 malignant."""


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over sampled RoIs or images: logits [N, 3], labels [N]; -1 is left out.

    A label LESION asks for a lesion of either kind: -log(p_benign + p_malignant), which moves no
    odds between the two.
    """
    known = labels >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    if not bool((labels == LESION).any()):
        return F.cross_entropy(logits.float(), labels, ignore_index=-1)
    log_p = F.log_softmax(logits.float(), dim=1)[known]
    either = torch.logsumexp(log_p[:, 1:], dim=1, keepdim=True)
    return F.nll_loss(torch.cat([log_p, either], dim=1), labels[known])


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean per-pixel binary cross-entropy over positive RoIs: both [N, h, w]."""
    if len(logits) == 0:
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float())
