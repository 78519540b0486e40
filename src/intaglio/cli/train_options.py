"""The options of `intaglio train` in groups: start, schedule, data, machine."""

from __future__ import annotations

import argparse

from intaglio.cli.layer_options import add_layer_options
from intaglio.cli.on_off import OnOff


def add_start(parser: argparse.ArgumentParser) -> None:
    """Declare how scales and layers begin."""
    group = parser.add_argument_group("start")
    add = group.add_argument
    add("--samples", type=int, default=512, help="calibrate initial scales on this many samples (default: %(default)s)")
    add("--from-nothing", action="store_true", help="do not calibrate: set initial scales from the first batch")
    add("--calibrator", metavar="NAME", help="calibrator of initial activation scales (default: the target's own)")
    add("--weight-calibrator", metavar="NAME", help="calibrator of initial weight scales (default: the target's own)")
    add_layer_options(group)


def add_schedule(parser: argparse.ArgumentParser) -> None:
    """Declare steps, learning rates, freezing and distillation."""
    add = parser.add_argument_group("schedule").add_argument
    add("--epochs", type=float, default=5.0, help="epochs to train; fractions are allowed (default: %(default)s)")
    add("--steps", type=int, metavar="N", help="optimizer steps to train, instead of --epochs")
    add(
        "--batch",
        type=int,
        metavar="N",
        help="batch size, summed over all processes (default: 128, or all samples where they are fewer)",
    )
    add("--optimizer", default="sgd", help="sgd (Nesterov momentum) or adamw (default: %(default)s)")
    add("--lr", type=float, help="peak learning rate (default: sgd 0.001 at 8 bits, 0.01 below; adamw a tenth of it)")
    add(
        "--final-lr",
        type=float,
        default=0.01,
        metavar="PART",
        help="final learning rate of the cosine schedule, as a fraction of --lr (default: %(default)s)",
    )
    add(
        "--warmup",
        type=float,
        default=0.02,
        metavar="PART",
        help="fraction of the steps over which the learning rate rises (default: %(default)s)",
    )
    add("--momentum", type=float, default=0.9, help="momentum of sgd (default: %(default)s)")
    add(
        "--weight-decay",
        type=float,
        default=1e-4,
        help="weight decay; applied to weights only, not to biases or scales (default: %(default)s)",
    )
    add(
        "--quantizer-lr",
        type=float,
        default=0.1,
        metavar="FACTOR",
        help="learning rate of scales and other quantizer parameters, as a multiple of --lr (default: %(default)s)",
    )
    add(
        "--label-smoothing",
        type=float,
        default=0.0,
        metavar="PART",
        help="label smoothing: fraction of each label spread over all classes (default: %(default)s)",
    )
    add(
        "--batch-norm",
        default="auto",
        metavar="auto|revive|as-is",
        help="revive: insert new batch norms into a network whose own were folded; as-is: do not; auto: revive below "
        "8 bits "
        "(default: auto)",
    )
    add(
        "--freeze-batch-norm",
        type=float,
        metavar="AT",
        help="fraction of the training after which batch norms use their running statistics (default: never)",
    )
    add(
        "--freeze-ranges",
        type=float,
        metavar="AT",
        help="fraction of the training after which observed ranges are fixed",
    )
    add("--gradual", metavar="KIND", help="quantize gradually: weights, noise or layers (default: all at once)")
    add(
        "--gradual-end",
        type=float,
        default=0.5,
        metavar="AT",
        help="fraction of the training after which --gradual quantizes everything (default: %(default)s)",
    )
    add(
        "--reestimate-batch-norm",
        type=int,
        default=0,
        metavar="N",
        help="after training, re-estimate batch-norm statistics over N batches; kept only if the validation score "
        "improves",
    )
    add(
        "--teacher",
        metavar="float|MODEL.onnx",
        help="distillation: network whose outputs are learned too; `float` is the float network itself",
    )
    add(
        "--distill",
        type=float,
        metavar="PART",
        help="weight of the distillation loss, 0 to 1; at 1 no labels are needed (default with --teacher: 0.5)",
    )
    add(
        "--distill-features",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="weight of the loss between features at block ends and those of --teacher float. Use 5; at 1 and 2 bits "
        "10 for hundreds of steps, 3 to 5 for thousands (default: %(default)s)",
    )
    add(
        "--temperature",
        type=float,
        default=4.0,
        help="softmax temperature of the distillation loss (default: %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of all random choices: order of samples, crops, initialization (default: %(default)s)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Declare augmentation, validation samples and reading."""
    add = parser.add_argument_group("data").add_argument
    add("--augment", default="", metavar="crop,flip", help="data augmentation: random crops, random horizontal flips")
    add("--pad", type=int, default=4, help="padding of the random crops in pixels (default: %(default)s)")
    add(
        "--held-back",
        type=int,
        metavar="N",
        help="validation samples, evenly spread over TRAIN, that choose the best weights (default: 2000, at most a "
        "tenth; "
        "0: keep the last weights)",
    )
    add(
        "--cache",
        type=int,
        default=2048,
        metavar="MIB",
        help="memory for decoded samples in MiB; samples that do not fit are decoded again (default: %(default)s)",
    )
    add(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="processes that load data in the background (default: %(default)s)",
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Declare precision, device, checkpoints and logs."""
    add = parser.add_argument_group("machine").add_argument
    add(
        "--precision",
        default="float32",
        help="precision of convolutions and matrix products in training: float32 or bf16 (default: %(default)s)",
    )
    add(
        "--channels-last",
        action=OnOff,
        default=True,
        help="use PyTorch's channels-last memory layout (default: on)",
    )
    add("--compile", action="store_true", help="compile the training step with torch.compile: slow start, faster steps")
    add("--device", metavar="NAME", help="cpu, cuda or cuda:1 (default: the GPU when there is one)")
    add(
        "--checkpoint-minutes",
        type=float,
        default=5.0,
        metavar="M",
        help="minutes between two checkpoints (default: %(default)s)",
    )
    add("--checkpoint-steps", type=int, metavar="N", help="also write a checkpoint every N steps")
    add("--lines", type=int, default=50, metavar="N", help="print progress every N steps (default: %(default)s)")
    add("--tensorboard", metavar="DIR", help="write logs for TensorBoard")
