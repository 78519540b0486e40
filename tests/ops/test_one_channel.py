"""One channel may carry any stride: torch's convolution must not be misled by it."""

from __future__ import annotations

import onnx
import pytest
import torch
from onnx_ir import from_proto

from intaglio.ops.conv import Conv


@pytest.mark.parametrize("what", ["image", "weight"])
def test_conv_of_one_channel_in_channels_last_strides(what: str) -> None:
    node = from_proto(onnx.helper.make_node("Conv", ["x", "w"], ["y"], strides=[1, 2], kernel_shape=[1, 2]))
    torch.manual_seed(0)
    x, w = torch.randn(5, 5, 3, 1).permute(0, 3, 1, 2), torch.randn(3, 1, 2, 1).permute(0, 3, 1, 2)
    want = torch.nn.functional.conv2d(x.double().clone(memory_format=torch.contiguous_format), w.double(), None, (1, 2))
    if what == "image":
        w = w.clone(memory_format=torch.contiguous_format)
    else:
        x = x.clone(memory_format=torch.contiguous_format)
    torch.testing.assert_close(Conv.real(node, x, w), want.float())
