"""What to do instead of an operator, or a form of one, that is refused."""

from __future__ import annotations

_AFTER = "It belongs to the post-processing: cut the network before it, and compute it from the outputs"
_RANDOM = "It draws random numbers: export the model for inference (module.eval()), or make them an input"
_SCATTER = (
    "Its indices are computed at run time, its reduction is neither none nor add, or more than 8 updates are added to "
    "one place: compute the indices from constants, write the reduction with other operators, or cut the network "
    "before it"
)
_REGIONS = "Its regions are computed at run time: cut the network before it and run the part behind it by itself"

_SEQUENCE = "A sequence of tensors is no tensor: return its elements, or their Concat, as outputs of a fixed number"

INSTEAD: dict[str, str] = {
    **dict.fromkeys(("NonMaxSuppression", "NonZero", "Unique", "StringNormalizer", "TfIdfVectorizer"), _AFTER),
    **dict.fromkeys(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _RANDOM
    ),
    **dict.fromkeys(("MaxRoiPool", "RoiAlign"), _REGIONS),
    "GatherND": "Its indices are computed at run time and name several axes: compute one index of these axes, made "
    "one by Reshape, or cut the network before it",
    "ReverseSequence": "Its lengths are computed at run time: use constant lengths, or GatherElements",
    **dict.fromkeys(("ScatterElements", "ScatterND"), _SCATTER),
    **dict.fromkeys(("SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"), _SEQUENCE),
    "Compress": "Its condition is computed at run time, so its result has no fixed size: cut the network before it",
    "CumSum": "Its axis is computed: export the model with a constant axis",
    "DeformConv": "Its offsets are computed at run time: use a convolution on a fixed grid",
    "Einsum": "An axis is named twice in one operand (a diagonal), or its operands are no floats: multiply by an "
    "identity matrix and sum, or use MatMul",
    "GridSample": "Its grid is computed at run time: use a constant grid, or resample outside the network",
    "MaxUnpool": "It writes to places that are computed at run time: use Resize or ConvTranspose",
    "Tile": "Its repeats are computed at run time: fix the input sizes with --shape",
    "TopK": f"{_AFTER}. One element (k = 1) is a maximum and its index",
    "Trilu": "Its diagonal is computed at run time, or it does not cut floats: multiply by a constant mask",
}
"""By operator: the reason and the way out, for the error that names the node."""
