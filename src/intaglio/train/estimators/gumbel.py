"""Relaxed quantization: logistic noise before rounding, and a Gumbel-softmax over neighbouring codes.

    pi_i = F((g_i + h - t) / sigma) - F((g_i - h - t) / sigma)          F the logistic function, h half a step
    z = softmax((log pi + G) / temperature)          G from Gumbel(0, 1)          y = s * sum z_i g_i

The candidates are the nearest code and `reach` codes on each side of it within the range (the paper's local grid, which
leaves out codes that the noise hardly ever reaches). Noise, scale and zero point are learned; evaluation rounds to
nearest.

Source: Louizos et al. 2019, arXiv:1810.01875, section 2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.train.estimators.draws import Draws
from intaglio.train.estimators.grid import Grid, steps_of

_LEAST = 1e-20  # keeps the logarithms finite


class Gumbel(Draws):
    """Differentiable random draw from neighbouring codes.

    Args:
        seed: see `Draws`.
        temperature: near 0 a single code is drawn; larger values blend several codes.
        sigma: initial width of the noise, in steps.
        reach: candidates on each side of the nearest code; memory grows by a factor 2 * reach + 1.
    """

    def __init__(self, seed: int = 0, temperature: float = 1.0, sigma: float = 1 / 3, reach: int = 1) -> None:
        super().__init__(seed)
        self.temperature, self.reach = temperature, reach
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma)))

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Draw codes for x; the gradient is that of the softmax."""
        steps, _ = steps_of(x, grid)
        codes, log_pi = self.nearby(steps, grid)
        draw = self.uniform(x, 2 * self.reach + 1)
        noise = -torch.log(-torch.log(draw.clamp(min=_LEAST)) + _LEAST)
        z = F.softmax((log_pi + noise) / self.temperature, dim=-1)
        return ((z * codes).sum(-1) * grid.scale).to(x.dtype)

    def nearby(self, steps: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the candidate codes along a last axis, and their log pi up to a common constant."""
        offsets = torch.arange(-self.reach, self.reach + 1, device=steps.device) * grid.spacing
        codes = grid.codes(steps).unsqueeze(-1) + offsets
        half, sigma, at = grid.spacing / 2, self.log_sigma.exp(), steps.unsqueeze(-1)
        # F(a) - F(b) = F(a) F(-b) (1 - exp(b - a)); the last factor is the same for all codes
        log_pi = F.logsigmoid((codes + half - at) / sigma) + F.logsigmoid((at - codes + half) / sigma)
        beyond = (codes < grid.low.unsqueeze(-1)) | (codes > grid.high.unsqueeze(-1))
        return codes, log_pi.masked_fill(beyond, -math.inf)
