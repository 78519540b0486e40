"""What every quantizer is: a tensor in, the same tensor rounded to a grid out."""

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
    """`scale * clamp(round(x / scale), qmin - z, qmax - z)` with a grid of its own.

    In evaluation it rounds to nearest, whatever the estimator and however much of the rounding is on.

    Args:
        format: type, scheme and granularity of the integers.
        shape: of the parameters: `granularity.param_shape(shape of the tensor)`.
        ties_up: round ties up, as requantization does; to even where inputs and weights are quantized.
        estimator: how training rounds, and its gradient.
    """

    needs: ClassVar[str] = ""  # the formats that it is made for, in words; empty: all
    transforms: ClassVar[bool] = False  # whether it rounds something else than the weight itself

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
        self.amount = 1.0  # how much of the rounding training sees: y = x + amount * (rounded x - x)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.register_buffer("held", None)  # codes that stay, minus the zero point; NaN where the weight is free
        self.held_part = 0.0  # how many of the weights they are
        self._has_begun = False  # `begun`, once true, without asking the device

    @classmethod
    def takes(cls, format: Format) -> bool:
        """Whether it is made for a format; see `needs`."""
        return True

    @abstractmethod
    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point for a tensor, in the parameters' shape; the zero point holds whole numbers."""

    @abstractmethod
    def begin(self, x: Tensor) -> None:
        """Find a first grid for a tensor."""

    @abstractmethod
    def begin_at(self, params: QuantParams) -> None:
        """Begin with a grid that calibration found."""

    def measured_in(self, unit: Tensor) -> None:
        """Count learned scales in units that change while the network trains: a live batch norm's factors.

        A training calls it before each use of a weight; a method whose grid follows the weight has no need of it.

        Args:
            unit: positive, one for each output channel.
        """

    def shaped(self, x: Tensor) -> Tensor:
        """What is rounded: x, unless a method transforms weights first."""
        return x

    def forward(self, x: Tensor, ties_up: bool | None = None) -> Tensor:
        """Rounded x; in training the first tensor also begins the grid where calibration did not.

        Args:
            x: a tensor.
            ties_up: instead of the quantizer's own, where values that are rounded otherwise share a grid.
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
        """From now on there is a grid."""
        self.begun.fill_(True)
        self._has_begun = True

    def spread_grid(self, x: Tensor, ties_up: bool | None = None) -> Grid:
        """The grid in shapes that broadcast against x; `ties_up` as for `forward`."""
        scale, zero_point = (spread(p, self.format.granularity, x.shape) for p in self.grid(x))
        return Grid(scale, zero_point, self.format.type, self.ties_up if ties_up is None else ties_up)

    def hold(self, x: Tensor, fraction: float) -> None:
        """Let the codes of the largest weights stay as they are now; those that stay already do so.

        Args:
            x: the weights as they are rounded.
            fraction: of all of them that shall stay, 0 to 1.
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
        """The constant that a frozen Graph holds for a weight: x itself, or what it was transformed and rounded to."""
        with torch.no_grad():
            shaped = self.shaped(x)
            grid = self.spread_grid(shaped)
            kept = self._with_held(shaped, grid)
            return x if kept is x else grid.codes(kept / grid.scale) * grid.scale

    def scale_now(self) -> Tensor:
        """The scale as it is, without a gradient."""
        with torch.no_grad():
            return self.grid(torch.zeros(()))[0]

    def collapsed(self) -> Tensor:
        """Whether the grid is of no use any more: not finite, or learned down to nothing. A boolean on its device."""
        with torch.no_grad():
            scale, zero_point = self.grid(torch.zeros(()))
        return ~(scale.isfinite().all() & zero_point.isfinite().all())

    def penalty(self) -> Tensor | None:
        """What the method adds to the loss; None where it adds nothing."""
        return None

    def params(self) -> QuantParams:
        """The grid as it is now, for a Plan.

        Raises:
            UsageError: the scale has collapsed (see `QuantParams`), or the zero point is not finite.
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
        """`params`, with an error that says whose grid it is.

        Args:
            name: of the value or parameter.
        Raises:
            UsageError: the scale has collapsed.
        """
        try:
            return self.params()
        except UsageError as error:
            raise UsageError(
                f"value {name!r}: {error}; its grid was lost in training, which a lower learning rate or a checkpoint "
                "of before prevents"
            ) from None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        held = state_dict.get(f"{prefix}held")
        self.held = None if held is None else torch.empty_like(held, device=self.begun.device)
        self.held_part = 0.0 if held is None else float((~held.isnan()).float().mean())
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._has_begun = bool(self.begun)  # here, as compiled code cannot ask
