"""Base class of the quantizers of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from intaglio.errors import UsageError
from intaglio.number import QuantParams
from intaglio.plan import Format
from intaglio.train.estimators.clipped import clipped
from intaglio.train.estimators.grid import Estimator, Grid
from intaglio.train.quantizers.learned_parameters import spread


class Quantizer(nn.Module, ABC):
    """Rounds a tensor: `scale * clamp(round(x / scale), qmin - z, qmax - z)`, with its own scale and zero point.

    In evaluation it always rounds everything to nearest.

    Args:
        format: type, scheme and granularity of the integers.
        shape: shape of the parameters: `granularity.param_shape(shape of the tensor)`.
        ties_up: round ties up, as requantization does; otherwise to even, as for inputs and weights.
        estimator: rounding in training and its gradient.
    """

    needs: ClassVar[str] = ""  # supported formats, for messages; empty: all
    transforms: ClassVar[bool] = False  # whether the weight is transformed before it is rounded

    begun: Tensor
    held: Tensor | None

    def __init__(
        self,
        format: Format,
        shape: tuple[int, ...],
        *,
        ties_up: bool = False,
        estimator: Estimator = clipped,
    ) -> None:
        super().__init__()
        self.format, self.shape, self.ties_up, self.estimator = format, shape, ties_up, estimator
        self.amount = 1.0  # gradual quantization in training: y = x + amount * (rounded x - x)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.register_buffer("held", None)  # fixed codes minus zero point; NaN for free weights
        self.held_part = 0.0  # fraction of fixed codes
        self._has_begun = False  # copy of `begun` that needs no device synchronization

    @classmethod
    def takes(cls, format: Format) -> bool:
        """Return whether a format is supported; see `needs`."""
        return True

    @abstractmethod
    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and zero point for a tensor, in the parameters' shape; zero points have integer values."""

    @abstractmethod
    def begin(self, x: Tensor) -> None:
        """Initialize scale and zero point from a tensor."""

    @abstractmethod
    def begin_at(self, params: QuantParams) -> None:
        """Initialize scale and zero point from calibrated parameters."""

    def measured_in(self, unit: Tensor) -> None:
        """Set the units of learned scales: the factors of a trainable batch norm, which change during training.

        Called before each use of a weight; methods that compute the scale from the weight ignore it.

        Args:
            unit: positive, (O,): one for each output channel.
        """

    def shaped(self, x: Tensor) -> Tensor:
        """Transform x before it is rounded; the identity unless a method overrides it."""
        return x

    def forward(self, x: Tensor, ties_up: bool | None = None) -> Tensor:
        """Round x; in training the first tensor initializes an uncalibrated quantizer.

        Args:
            x: the tensor.
            ties_up: overrides the quantizer's own rule, for values with another rule that share its scale.
        """
        if self.training and not self._has_begun:
            self._begin_once(x)
        shaped = self.shaped(x)
        grid = self.spread_grid(shaped, ties_up)
        kept = self._with_held(shaped, grid)
        if not self.training:
            return clipped(kept, grid)
        rounded = self.estimator(kept, grid)
        if self.amount == 1:
            return rounded
        return torch.lerp(kept if shaped is x else self._with_held(x, grid), rounded, self.amount)

    def _begin_once(self, x: Tensor) -> None:
        with torch.no_grad():
            if not bool(self.begun):
                self.begin(x.detach())
        self.mark_begun()

    def mark_begun(self) -> None:
        """Mark scale and zero point as initialized."""
        self.begun.fill_(True)
        self._has_begun = True

    def spread_grid(self, x: Tensor, ties_up: bool | None = None) -> Grid:
        """Return the grid in shapes that broadcast against x; `ties_up` as for `forward`."""
        scale, zero_point = (spread(p, self.format.granularity, x.shape) for p in self.grid(x))
        return Grid(scale, zero_point, self.format.type, self.ties_up if ties_up is None else ties_up)

    def hold(self, x: Tensor, fraction: float) -> None:
        """Fix the current codes of the largest weights; codes that are already fixed stay fixed.

        Args:
            x: the weights.
            fraction: fraction of all weights to be fixed, 0 to 1.
        """
        with torch.no_grad():
            shaped = self.shaped(x)
            grid = self.spread_grid(shaped)
            codes = grid.codes(shaped / grid.scale)
            if self.held is None:
                self.held = torch.full_like(codes, torch.nan)
            free = self.held.isnan()
            order = torch.where(free, x.abs(), torch.inf).flatten()
            chosen = torch.zeros_like(order, dtype=torch.bool)
            chosen[order.topk(round(fraction * order.numel())).indices] = True
            self.held = torch.where(free & chosen.view_as(free), codes, self.held)
            self.held_part = fraction

    def _with_held(self, x: Tensor, grid: Grid) -> Tensor:
        if self.held is None:
            return x
        free = self.held.isnan()
        return torch.where(free, x, self.held.nan_to_num() * grid.scale)

    def frozen(self, x: Tensor) -> Tensor:
        """Return the constant of the frozen Graph: x itself, or its rounded transform or fixed codes."""
        with torch.no_grad():
            shaped = self.shaped(x)
            grid = self.spread_grid(shaped)
            kept = self._with_held(shaped, grid)
            return x if kept is x else grid.codes(kept / grid.scale) * grid.scale

    def scale_now(self) -> Tensor:
        """Return the current scale, without a gradient."""
        with torch.no_grad():
            return self.grid(torch.zeros(()))[0]

    def collapsed(self) -> Tensor:
        """Return whether scale or zero point are NaN or infinite, or have collapsed; a boolean tensor."""
        with torch.no_grad():
            scale, zero_point = self.grid(torch.zeros(()))
        return ~(scale.isfinite().all() & zero_point.isfinite().all())

    def penalty(self) -> Tensor | None:
        """Return what the method adds to the loss; None if nothing."""
        return None

    def params(self) -> QuantParams:
        """Return the current parameters, for a Plan.

        Raises:
            UsageError: the scale has collapsed (see `QuantParams`), or the zero point is NaN or infinite.
        """
        with torch.no_grad():
            scale, zero_point = self.grid(torch.zeros(()))
        whole = np.rint(zero_point.double().cpu().numpy())
        finite = np.isfinite(whole)
        if not finite.all() and bool(scale.isfinite().all()):
            raise UsageError(f"zero point: expected finite numbers, got {whole[~finite].flat[0]}")
        as_codes = np.where(finite, whole, 0).astype(np.int32)
        return QuantParams(self.format.type, scale.float().cpu().numpy(), as_codes, self.format.granularity)

    def named_params(self, name: str) -> QuantParams:
        """Return `params`; errors name the value.

        Args:
            name: name of the value or parameter.
        Raises:
            UsageError: the scale has collapsed.
        """
        try:
            return self.params()
        except UsageError as error:
            raise UsageError(
                f"value {name!r}: {error}; its scale collapsed in training: use a lower learning rate, or an earlier "
                "checkpoint"
            ) from None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        held = state_dict.get(f"{prefix}held")
        self.held = None if held is None else torch.empty_like(held, device=self.begun.device)
        self.held_part = 0.0 if held is None else float((~held.isnan()).float().mean())
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._has_begun = bool(self.begun)  # compiled code cannot read `begun`
