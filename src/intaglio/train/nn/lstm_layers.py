"""Quantized LSTM.

    i, f, g, o = parts of x W_ih + b_ih + h W_hh + b_hh
    c' = sigmoid(f) c + sigmoid(i) tanh(g)          h' = sigmoid(o) tanh(c')

The cell state and the sums before the gates lie in [-8, 8): sigmoid and tanh are flat beyond, and a wider range would
make the interpolating 16-bit tables less exact. Results of sigmoid and tanh have fixed parameters and as many bits as
their inputs, which makes 8-bit tables exact. Only weights and hidden state have learned scales.

Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget gate).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.errors import UsageError
from intaglio.plan import Format
from intaglio.train.nn.exporting import is_exporting
from intaglio.train.nn.fixed import over
from intaglio.train.nn.format_names import value_format
from intaglio.train.nn.grid_tensor import OnGrid, on_grid, plain
from intaglio.train.nn.layer import WEIGHT, Layer, given, rounded_bias, value_quantizer, weight_quantizer, written
from intaglio.train.nn.table_layers import written_by_table
from intaglio.train.quantizers.quantizer import Quantizer

REACH = 8.0
"""Range of sums and cell states: [-REACH, REACH)."""

State = tuple[Tensor, Tensor]


class LSTMCell(Layer, nn.LSTMCell):
    """Quantized `torch.nn.LSTMCell`.

    Args:
        input_size, hidden_size, bias: see `torch.nn.LSTMCell`.
        weight: the format of both weights.
        output: the format of the hidden state.
        gates: the format of the sums before the gates, and of the gates.
        cell: the format of the cell state.
        method, estimator: see `Conv2d`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        weight: Format | str = WEIGHT,
        output: Format | str = "int8 symmetric",
        gates: Format | str = "int16 symmetric",
        cell: Format | str = "int16 symmetric",
        method: str = "lsq",
        estimator: str = "clipped",
    ) -> None:
        nn.LSTMCell.__init__(self, input_size, hidden_size, bias)
        self.weight_ih_quantizer = weight_quantizer(weight, self.weight_ih, method, estimator)
        self.weight_hh_quantizer = weight_quantizer(weight, self.weight_hh, method, estimator)
        self.output_quantizer = value_quantizer(output, method, estimator)
        self.sums_quantizer = over(value_format(gates), -REACH, REACH)
        self.cell_quantizer = over(value_format(cell), -REACH, REACH)
        self.sigmoid_quantizer = over(value_format(gates), 0.0, 1.0)
        self.tanh_quantizer = over(value_format(gates), -1.0, 1.0)
        self.squashed_quantizer = over(value_format(cell), -1.0, 1.0)

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """Run one step.

        Args:
            x: quantized input, (N, input_size).
            state: hidden and cell state, (N, hidden_size) each, from the last step or real numbers, which are rounded;
                None: zeros.
        Returns:
            The new hidden state and cell state.
        """
        if state is not None:
            state = _rounded(state[0], self.output_quantizer), _rounded(state[1], self.cell_quantizer)
        return self.step(x, state)

    def step(self, x: Tensor, state: State | None) -> State:
        """Run one step from a quantized state."""
        data, grid = given(x, self)
        weight = self._weight("weight_ih", self.weight_ih_quantizer)
        if state is None:
            both = None if self.bias_ih is None else self.bias_ih + self.bias_hh
            sums = self._sums(data, grid, weight, self.weight_ih_quantizer, both)
        else:
            from_input = self._sums(data, grid, weight, self.weight_ih_quantizer, self.bias_ih)
            weight = self._weight("weight_hh", self.weight_hh_quantizer)
            hidden, grid = given(state[0], self, 1)
            from_state = self._sums(hidden, grid, weight, self.weight_hh_quantizer, self.bias_hh)
            sums = written(plain(from_input) + plain(from_state), self.sums_quantizer)
        i, f, g, o = plain(sums).chunk(4, 1)
        i, o = self._sigmoid(i), self._sigmoid(o)
        new = i * self._tanh(g, self.sums_quantizer, self.tanh_quantizer)
        if state is not None:
            kept = self._sigmoid(f) * given(state[1], self, 2)[0]
            new = plain(written(new, self.cell_quantizer)) + plain(written(kept, self.cell_quantizer))
        cell = written(new, self.cell_quantizer)
        hidden = o * self._tanh(plain(cell), self.cell_quantizer, self.squashed_quantizer, "state")
        return written(hidden, self.output_quantizer), cell

    def _sums(
        self, x: Tensor, grid: Quantizer | None, weight: Tensor, quantizer: Quantizer, bias: Tensor | None
    ) -> Tensor:
        if bias is not None:
            bias = rounded_bias(bias, grid, quantizer)
        return written(F.linear(x, weight, bias), self.sums_quantizer)

    def _sigmoid(self, x: Tensor) -> Tensor:
        y, grid = torch.sigmoid(x), self.sums_quantizer
        return plain(written_by_table(self, y, self.sigmoid_quantizer, x, grid, ("Sigmoid", {}), "sigmoid"))

    def _tanh(self, x: Tensor, grid: Quantizer, quantizer: Quantizer, place: str = "") -> Tensor:
        return plain(written_by_table(self, torch.tanh(x), quantizer, x, grid, ("Tanh", {}), place))

    def _weight(self, name: str, quantizer: Quantizer) -> Tensor:
        weight: Tensor = getattr(self, name)
        return weight if is_exporting() else quantizer(weight)

    def weights(self) -> Iterator[tuple[str, Quantizer]]:
        """Yield names and quantizers of both weights."""
        yield "weight_ih", self.weight_ih_quantizer
        yield "weight_hh", self.weight_hh_quantizer

    def settle(self) -> None:
        """Replace the weights by their frozen values."""
        with torch.no_grad():
            for name, quantizer in self.weights():
                weight = getattr(self, name)
                quantizer(weight)
                weight.copy_(quantizer.frozen(weight))


class LSTM(nn.Module):
    """Quantized LSTM over a sequence of fixed length, unrolled in the integer program; arguments as for `LSTMCell`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        weight: Format | str = WEIGHT,
        output: Format | str = "int8 symmetric",
        gates: Format | str = "int16 symmetric",
        cell: Format | str = "int16 symmetric",
        method: str = "lsq",
        estimator: str = "clipped",
    ) -> None:
        super().__init__()
        self.cell = LSTMCell(
            input_size,
            hidden_size,
            bias,
            weight=weight,
            output=output,
            gates=gates,
            cell=cell,
            method=method,
            estimator=estimator,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        """Run all steps from a zero state.

        Args:
            x: quantized input, (N, steps, input_size).
        Returns:
            Hidden states of all steps, (N, steps, hidden_size), and the last (hidden state, cell state).
        Raises:
            UsageError: x is not a sequence, or has no steps.
        """
        if x.ndim != 3 or not x.shape[1]:
            raise UsageError(f"[LSTM] expected (N, steps, features), got {tuple(x.shape)}")
        state: State | None = None
        hidden = []
        for part in x.unbind(1):
            state = self.cell.step(part, state)
            hidden.append(plain(state[0]))
        assert state is not None
        every = torch.stack(hidden, 1)
        return every if is_exporting() else on_grid(every, self.cell.output_quantizer), state


def _rounded(x: Tensor, quantizer: Quantizer) -> Tensor:
    """Round a state, unless this quantizer has already rounded it."""
    if isinstance(x, OnGrid) and x.quantizer is quantizer:
        return x
    return written(plain(x), quantizer)
