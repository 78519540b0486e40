"""Runs a Graph in PyTorch, real or under a Plan; generic over the operators."""

from intaglio.simulate.fake_quantize import FakeQuantize
from intaglio.simulate.simulator import Simulator

__all__ = ["FakeQuantize", "Simulator"]
