"""Random networks of the operators that the passes rearrange."""

from __future__ import annotations

import numpy as np

from intaglio_tests.onnx_net import Net

f = np.float32


class RandomImages:
    """Grows an image network, node by node; half of the values are channels last."""

    def __init__(self, seed: int) -> None:
        self.net = Net(opset=18, seed=seed)
        self.rng = np.random.default_rng(seed)
        self.values = [(self.net.input("x", (1, 4, 6, 6)), (4, 6, 6), False)]

    def pick(self) -> tuple[str, tuple[int, int, int], bool]:
        recent = self.values[-3:]
        return recent[int(self.rng.integers(len(recent)))]

    def broadcast(self, sizes: tuple[int, int, int], last: bool) -> np.ndarray:
        """A constant that varies along the channels, along any axes, or not at all."""
        full = (1, sizes[1], sizes[2], sizes[0]) if last else (1, *sizes)
        kind = self.rng.integers(4)
        if kind == 0:
            return self.net.positive()
        if kind < 3:
            return self.net.positive(*(full[3:] if last else (full[1], 1, 1)))
        return self.net.positive(*(size if self.rng.random() < 0.5 else 1 for size in full))

    def step(self) -> None:
        net, rng = self.net, self.rng
        x, sizes, last = self.pick()
        c, h, w = sizes
        axis = 3 if last else 1
        kind = rng.choice(
            ["unary", "constant", "norm", "conv", "turn", "pair", "pad", "slice", "concat", "pool", "clip", "gate"]
        )
        if kind == "unary":
            y = net.op(str(rng.choice(["Relu", "Tanh", "Abs", "Neg", "Sigmoid"])), x)
        elif kind == "constant":
            operands = [x, self.broadcast(sizes, last)]
            op_type = str(rng.choice(["Add", "Mul", "Sub", "Div", "Max", "Min"]))
            if op_type != "Div" and rng.random() < 0.5:
                operands.reverse()
            y = net.op(op_type, *operands)
        elif kind == "norm" and not last:
            y = net.batch_norm(x, c)
        elif kind == "conv" and not last:
            group = 2 if c % 2 == 0 and rng.random() < 0.3 else 1
            y = net.op(
                "Conv",
                x,
                net.normal(4, c // group, 3, 3, scale=1 / (3 * c**0.5)),
                net.normal(4),
                group=group,
                pads=[1] * 4,
            )
            sizes = (4, h, w)
        elif kind == "turn":
            y, last = net.op("Transpose", x, perm=[0, 3, 1, 2] if last else [0, 2, 3, 1]), not last
        elif kind == "pair":
            z, other, turned = self.pick()
            if other != sizes or turned != last:
                return
            y = net.op(str(rng.choice(["Add", "Mul", "Sub", "Max"])), x, z)
        elif kind == "pad":
            y = net.op(
                "Pad", x, [0, 0, 1, 0, 0, 0, 0, 0] if not last else [0, 1, 0, 0, 0, 0, 0, 0], f(rng.choice([0.0, 0.5]))
            )
            sizes = (c, h + 1, w)
        elif kind == "slice" and h > 2:
            y = net.op("Slice", x, [1], [h], [1 if last else 2], [1])
            sizes = (c, h - 1, w)
        elif kind == "concat" and c <= 8:
            y = net.op("Concat", x, net.op("Tanh", x), axis=axis)
            sizes = (2 * c, h, w)
        elif kind == "pool" and not last and min(h, w) > 2:
            y = net.op(str(rng.choice(["MaxPool", "AveragePool"])), x, kernel_shape=[3, 3], pads=[1] * 4)
        elif kind == "clip":
            y = net.op("Clip", x, f(rng.choice([-1.0, 0.0])), f(rng.choice([1.0, 6.0])))
        elif kind == "gate":
            y = net.op("Mul", x, net.op("Sigmoid", net.op("ReduceMean", x, [1, 2] if last else [2, 3], keepdims=1)))
        else:
            return
        self.values.append((y, sizes, last))
