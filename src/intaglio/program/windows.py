"""Sliding windows over channels-last images, shared by convolution and pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from intaglio.program.operator import Ints, Operator, Shape

Pair = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """A window of `kernel` (vertical, horizontal) elements that moves over a padded image.

    Args:
        kernel, strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right).
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pair

    @property
    def extent(self) -> Pair:
        """Rows and columns from the first tap to the last."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def out(self, height: int, width: int) -> tuple[int, int]:
        """Positions of the window over an image: (H', W')."""
        (top, left, bottom, right), (rows, columns) = self.pads, self.extent
        return (height + top + bottom - rows) // self.strides[0] + 1, (width + left + right - columns) // self.strides[
            1
        ] + 1

    def check(self, operator: Operator, image: Shape) -> None:
        """Refuse windows that make no sense, or that do not fit the image (N, H, W, C).

        Raises:
            ProgramError: named after the operator.
        """
        operator.expect(
            len(self.kernel) == len(self.strides) == len(self.dilations) == 2,
            f"expected two kernel sizes, strides and dilations, got {self.kernel}, {self.strides}, {self.dilations}",
        )
        operator.expect(len(self.pads) == 4, f"expected 4 pads, got {self.pads}")
        operator.expect(len(image) == 4, f"expected an image (N, H, W, C), got shape {image}")
        self._check_reach(operator, image)
        operator.expect(
            min(self.out(image[1], image[2])) >= 1, f"a window of {self.kernel} does not fit an image of shape {image}"
        )

    def _check_reach(self, operator: Operator, image: Shape) -> None:
        """Refuse offsets of which C, which counts elements in 32 bits, could not add two."""
        (top, left, bottom, right), (_, height, width, channels) = self.pads, image
        row = (left + width + right) * channels
        reach = {
            "the padded image": (top + height + bottom) * row,
            "a stride": max(self.strides[0] * row, self.strides[1] * channels),
            "a dilation": max(self.dilations[0] * row, self.dilations[1] * channels),
        }
        for what, elements in reach.items():
            operator.expect(
                elements < 1 << 29, f"{what} spans {elements} elements of a shape {image}, expected less than 2**29"
            )

    def check_never_empty(self, operator: Operator, image: Shape) -> None:
        """Refuse windows that see nothing but padding at some position.

        Steps of at most the image's size cannot jump over it, so it is enough that the first window reaches the image
        and the last one starts in it.
        """
        (top, left, bottom, right), (rows, columns) = self.pads, self.extent
        operator.expect(
            max(top, bottom) < rows and max(left, right) < columns
            and (self.dilations[0] <= image[1] or self.kernel[0] == 1)
            and (self.dilations[1] <= image[2] or self.kernel[1] == 1),
            f"a window of {self.kernel} with pads {self.pads} sees padding only over an image of shape {image}",
        )  # fmt: skip

    def view(self, x: Ints, fill: int) -> Ints:
        """The windows of an image (N, H, W, C) padded with `fill`: (N, H', W', kh, kw, C), read-only."""
        (height, width), (top, left, bottom, right) = self.out(x.shape[1], x.shape[2]), self.pads
        if any(self.pads):
            padded = np.full_like(
                x, fill, shape=(x.shape[0], x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3])
            )
            padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
            x = padded
        (n, h, w, c), (down, right_), (dy, dx) = x.strides, self.strides, self.dilations
        return as_strided(
            x,
            (x.shape[0], height, width, *self.kernel, x.shape[3]),
            (n, h * down, w * right_, h * dy, w * dx, c),
            subok=True,
            writeable=False,
        )
