"""Find the lowest opset that can express a model, so that older runtimes can read it."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from intaglio.graph import NORMAL_OPSET, attribute

OLDEST = 13
"""First opset with per-channel quantization and with today's definition of Softmax."""

# Attribute values that were added later than the attribute: value -> first opset.
_LATER_VALUES = {
    ("Pad", "mode", "wrap"): 19,
    ("Resize", "coordinate_transformation_mode", "half_pixel_symmetric"): 19,
}


def lowest_opset(model: ir.Model, least: int = OLDEST) -> int:
    """Return the first opset, at least `least`, in which every node of a prepared model has the same meaning.

    Between these opsets the operators of prepared models changed only in what they accept, so it is enough that the
    older schema accepts the node.
    """
    return max([least, *needs(model)])


def needs(model: ir.Model) -> dict[int, ir.Node]:
    """Find the opsets that nodes of a prepared model need, with the first node that needs each."""
    found: dict[int, ir.Node] = {}
    for node in model.graph:
        if not node.domain:
            found.setdefault(_since(node), node)
    return found


def first_that_does_not_fit(model: ir.Model, version: int) -> ir.Node | None:
    """Find a node that a later opset does not have in this form; None if there is none."""
    return next((node for node in model.graph if not node.domain and not _fits(node, version)), None)


def leave_out_newer(model: ir.Model, version: int) -> None:
    """Remove attributes that an opset does not have yet; their values are the opset's fixed behaviour."""
    for node in model.graph:
        if node.domain:
            continue  # other domains have their own versions
        known = onnx.defs.get_schema(node.op_type, version, "").attributes
        for name in [name for name in node.attributes if name not in known]:
            node.attributes.pop(name)


def _since(node: ir.Node) -> int:
    later = [
        since
        for (op, name, value), since in _LATER_VALUES.items()
        if node.op_type == op and attribute(node, name) == value
    ]
    for version in range(max([OLDEST, *later]), NORMAL_OPSET):
        if _fits(node, version):
            return version
    return NORMAL_OPSET


def _fits(node: ir.Node, version: int) -> bool:
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return False
    newer = [name for name in node.attributes if name not in schema.attributes]
    if schema.deprecated or len(node.inputs) > schema.max_input or not all(_implied(node, name) for name in newer):
        return False
    return all(_takes(schema, index, value) for index, value in enumerate(node.inputs) if value is not None)


def _implied(node: ir.Node, name: str) -> bool:
    """Return whether an attribute has the value that is implied without it."""
    value = attribute(node, name)
    if name == "dilations":
        return all(step == 1 for step in value)
    default = onnx.defs.get_schema(node.op_type, NORMAL_OPSET, "").attributes[name].default_value
    return default.type != onnx.AttributeProto.UNDEFINED and value == _python(default)


def _python(proto: onnx.AttributeProto) -> object:
    value = onnx.helper.get_attribute_value(proto)
    return value.decode() if isinstance(value, bytes) else value


def _takes(schema: onnx.defs.OpSchema, index: int, value: ir.Value) -> bool:
    """Return whether the schema allows an input's element type."""
    if value.dtype is None:
        return True
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    return f"tensor({value.dtype.name.lower()})" in formal.types
