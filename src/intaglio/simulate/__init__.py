"""Simulate a Graph in PyTorch, in real numbers or with fake quantization according to a Plan."""

from intaglio.simulate.fake_quantize import FakeQuantize
from intaglio.simulate.simulator import Simulator, saturated

__all__ = ["FakeQuantize", "Simulator", "saturated"]
