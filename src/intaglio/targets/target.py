"""Target description as a validated model; the built-in targets are TOML files beside this one."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from intaglio.errors import TargetError, UsageError
from intaglio.files.reading import UnreadableError, read_toml
from intaglio.files.schema_error import schema_error
from intaglio.number import Granularity, IntType, PerChannel, PerGroup, PerTensor, Rule, Scheme

FORMAT_VERSION = 1


def _int_type(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return IntType.parse(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
    return value


Type = Annotated[IntType, BeforeValidator(_int_type)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


AUTO = "auto"
"""Instead of the name of a calibrator: compare some, and take the best."""
WIDEST = "widest"
"""Instead of the format of a layer: the most bits that the target has for its weights and results."""


class TensorFormat(_Strict):
    """Number format that a target supports for a kind of tensor.

    Args:
        type: integer type.
        scheme: symmetric, asymmetric or power of two.
        per: granularity of weights; "channel" is the operator's output-channel axis, if it has one. Activations have
            one scale per tensor.
        group: elements that share a scale if `per` is "group".
        calibrator: default calibrator.
    """

    type: Type
    scheme: Scheme
    per: Literal["tensor", "channel", "group"] = "tensor"
    group: int | None = Field(default=None, ge=1)
    calibrator: str = "max"

    @model_validator(mode="after")
    def _bipolar_is_symmetric(self) -> TensorFormat:
        if self.type.bipolar and self.scheme is Scheme.ASYMMETRIC:
            raise ValueError("type bipolar: expected scheme symmetric or power_of_two, got asymmetric")
        return self

    @model_validator(mode="after")
    def _group_has_a_size(self) -> TensorFormat:
        if (self.per == "group") != (self.group is not None):
            raise ValueError('`group` (elements that share a scale) belongs to per = "group", and only there')
        return self

    def granularity(self, channel_axis: int | None, group_axis: int = 1) -> Granularity:
        """Return the granularity of a tensor with output channels on `channel_axis`."""
        if channel_axis is None or self.per == "tensor":
            return PerTensor()
        return PerChannel(channel_axis) if self.per == "channel" else PerGroup(group_axis, self.group or 1)


Formats = Annotated[tuple[TensorFormat, ...], Field(min_length=1)]


class OperatorRow(_Strict):
    """Restrictions of one operator on a target.

    Args:
        supported: false if the target has no such operator.
        activations, weights: formats instead of the target's own; the first is the default.
        output: "same": the output has the parameters of the first input.
        scale, zero_point: output parameters, if fixed by the hardware or its library.
    """

    supported: bool = True
    activations: Formats | None = None
    weights: Formats | None = None
    output: Literal["own", "same"] = "own"
    scale: float | None = Field(default=None, gt=0)
    zero_point: int | None = Field(default=None, ge=-(1 << 31), lt=1 << 31)

    @model_validator(mode="after")
    def _both_or_none(self) -> OperatorRow:
        if (self.scale is None) != (self.zero_point is None):
            raise ValueError("a fixed output needs both scale and zero_point")
        return self

    @model_validator(mode="after")
    def _no_key_hides_another(self) -> OperatorRow:
        given = [name for name in ("activations", "weights", "scale") if getattr(self, name) is not None]
        given += ["output"] if self.output == "same" else []
        if not self.supported and given:
            raise ValueError(f"supported = false: expected no other key beside it, got {', '.join(given)}")
        if self.output == "same" and (ignored := [name for name in given if name in ("activations", "scale")]):
            raise ValueError(
                f'output = "same" takes the input\'s parameters: expected no {", ".join(ignored)} beside it'
            )
        return self


class Target(_Strict):
    """A processor, as far as quantization is concerned.

    Args:
        version: of this description format, 1.
        name, description: for people.
        rule: the rounding rule of every program made for it.
        accumulator: bits of the accumulator; 64 allows 16-bit activations whose sums do not fit 32.
        activations, weights: formats of computed tensors and of weights; the first is used unasked, the others
            where a layer is given another format.
        final: format of the scores that a network returns (one vector per sample) and of what its last softmax reads;
            no product reads them again, so small steps cost nothing and keep close classes apart.
        products: format in which products with weights (convolutions, fully connected layers) read their data, where it
            is another than `activations`; what others read too stays in `activations` (see `plan.separate_operands`).
        layers: other formats for some layers, as `intaglio.quantize` takes them (`first = "w8"`); what the user asks
            for goes before.
        operators: rows by ONNX operator name.
    """

    version: Literal[1]
    name: str = Field(min_length=1)
    description: str = ""
    rule: Rule = Rule.HALF_UP
    accumulator: Literal[32, 64] = 32
    activations: Formats
    weights: Formats
    final: TensorFormat | None = None
    products: TensorFormat | None = None
    layers: dict[Literal["first", "last"], str] = {}
    operators: dict[str, OperatorRow] = {}

    def row(self, op_type: str) -> OperatorRow:
        """Return the restrictions of an operator; none by default."""
        return self.operators.get(op_type, _PLAIN)

    @model_validator(mode="after")
    def _activations_have_one_scale(self) -> Target:
        computed = {"activations": self.activations}
        computed |= {name: (f,) for name in ("final", "products") if (f := getattr(self, name)) is not None}
        computed |= {f"operators.{name}.activations": row.activations or () for name, row in self.operators.items()}
        for key, formats in computed.items():
            for fmt in formats:
                if fmt.per != "tensor":
                    raise ValueError(f'{key}: expected per = "tensor", got "{fmt.per}", which only weights may have')
        return self

    @model_validator(mode="after")
    def _zero_points_are_codes(self) -> Target:
        for name, row in self.operators.items():
            kind = (row.activations or self.activations)[0].type
            if row.zero_point is not None and not kind.qmin <= row.zero_point <= kind.qmax:
                raise ValueError(
                    f"operators.{name}.zero_point: expected a code of {kind}, {kind.qmin} to {kind.qmax}, "
                    f"got {row.zero_point}"
                )
        return self

    @model_validator(mode="after")
    def _only_signs_are_bipolar(self) -> Target:
        computed = [*self.activations, *(f for f in (self.final, self.products) if f is not None)]
        computed += [f for op_type, row in self.operators.items() if op_type != "Sign" for f in row.activations or ()]
        if any(f.type.bipolar for f in computed):
            raise ValueError("type bipolar: expected for weights, or in operators.Sign.activations, got other values")
        return self

    @model_validator(mode="after")
    def _rule_fits_schemes(self) -> Target:
        schemes = {f.scheme for f in (*self.activations, *self.weights, *([self.products] if self.products else []))}
        if self.rule is Rule.SHIFT and schemes != {Scheme.POWER_OF_TWO}:
            raise ValueError('rule = "shift" needs scheme = "power_of_two" for activations and weights')
        return self


_PLAIN = OperatorRow()
BUILTIN: tuple[str, ...] = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


def load_target(target: str | Path | Target) -> Target:
    """Load a target by built-in name or from a TOML file; a Target is returned unchanged.

    Raises:
        TargetError: there is no such name or file, or the description is invalid (the message names key and reason).
    """
    if isinstance(target, Target):
        return target
    if not isinstance(target, str | os.PathLike):
        raise TargetError(f"target: expected a name such as cpu-int8, a TOML file or a Target, got {target!r:.60}")
    builtin = str(target) in BUILTIN
    path = Path(__file__).parent / f"{target}.toml" if builtin else Path(target)
    try:
        data = read_toml(path)
    except UnreadableError as error:
        if isinstance(error.__cause__, OSError):
            raise TargetError(
                f"target {str(target)!r}: expected one of {', '.join(BUILTIN)}, or a TOML file ({error})"
                + _nearest(str(target))
            ) from None
        raise TargetError(f"target {path}: not valid TOML: {error}") from None
    try:
        return Target.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        known = f"; known are {_known_keys(first['loc'])}" if first["type"] == "extra_forbidden" else ""
        raise TargetError(f"target {path}: {where or 'the description'}: {schema_error(first)}{known}") from None


def _known_keys(place: tuple[int | str, ...]) -> str:
    """List the keys of the table that holds an unknown one."""
    table = Target if len(place) == 1 else OperatorRow if place[0] == "operators" and len(place) == 3 else TensorFormat
    return ", ".join(sorted(table.model_fields))


def _nearest(name: str) -> str:
    if name.startswith("cortex"):
        return f"; {name} is a machine, which `intaglio compile --machine` takes: its target is mcu-int8"
    close = get_close_matches(name, BUILTIN, n=1)
    return f"; did you mean {close[0]}?" if close else ""
