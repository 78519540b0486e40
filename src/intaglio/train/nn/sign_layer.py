"""One-bit values.   y = +1 if x >= 0, else -1"""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.number import BIPOLAR, QuantParams
from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.grid import Estimator, Grid
from intaglio.train.nn.exporting import is_exporting
from intaglio.train.nn.fixed import FixedQuantizer
from intaglio.train.nn.grid_tensor import OnGrid, Sums, plain
from intaglio.train.nn.layer import Layer, given, written


class Sign(Layer):
    """Sign of a value, or of the accumulator sums of a layer without an output format, which needs no extra operator.

    Args:
        estimator: gradient estimator: `clipped` (1 for |x| <= 1), or `piecewise_polynomial`, closer to the step.
    Source: Hubara et al. 2016, arXiv:1602.02830, eq. (1) and (4).
    """

    def __init__(self, estimator: Estimator = clipped) -> None:
        super().__init__()
        one_bit = QuantParams(BIPOLAR, 1.0)  # type: ignore[arg-type]
        self.output_quantizer = FixedQuantizer(one_bit, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """Map a quantized value, or accumulator sums, to -1 and +1."""
        data = self._read(x)
        return written(data.sign() if is_exporting() else data, self.output_quantizer)

    def _read(self, x: Tensor) -> Tensor:
        if isinstance(x, OnGrid) and x.quantizer is None:
            self.__dict__["_sums"] = x.sums
        elif not torch.compiler.is_dynamo_compiling():
            self.__dict__["_sums"] = None
            return given(x, self)[0]
        sums: Sums | None = self.__dict__.get("_sums")
        data = plain(x)
        if self.training or sums is None or is_exporting():
            return data
        # An integer sum of exactly 0 may be slightly negative as a float sum.
        step = sums[0].scale_now() * sums[1].scale_now()
        step = step.reshape(-1, *(1,) * (data.ndim - 2)) if step.ndim else step
        return (data / step).round() * step


def piecewise_polynomial(x: Tensor, grid: Grid) -> Tensor:
    """Compute the sign with the gradient of a piecewise polynomial.

        dy/dx = 2 - 2 |x / s| if |x| < s, else 0

    Source: Liu et al. 2018, arXiv:1808.00278 (Bi-Real Net), eq. (7) and (8).
    """
    steps = (x / grid.scale).clamp(-1.0, 1.0)
    smooth = 2 * steps - steps * steps.abs()
    return (smooth + (torch.where(x >= 0, 1.0, -1.0) - smooth).detach()) * grid.scale
