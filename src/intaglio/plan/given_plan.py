"""Place a network as a given Plan says: formats, calibrators and parameters that a person may have edited.

The formats are those of layers, which placement carries to whatever shares or derives from them. So what the Plan says
of a single value must agree with its layer, with the target, and with the network, or it is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx_ir as ir

from intaglio.errors import PlanError, TargetError
from intaglio.graph import Graph
from intaglio.number import QuantParams
from intaglio.ops import Role
from intaglio.plan.layer_patterns import FIRST, only_layer
from intaglio.plan.place import place
from intaglio.plan.plan import Plan
from intaglio.plan.plan_records import Source, ValuePlan
from intaglio.plan.separate_operands import separate_operands
from intaglio.targets import Target

_RECOVERED = re.compile(r"(\.(equalized|absorbed)(__\d+)?)+$")
"""What recovery algorithms add to the names of values that they change."""
_GRID = (Source.OWN, Source.FIXED)
_SHOWN = 3
_GIVEN = "; its parameters were given"


class GivenPlan:
    """A Plan that decides how a network is placed.

    Args:
        plan: calibrated or not; left as it is.
        graph: the prepared network.
        target: the one that the Plan was made for.
    Raises:
        PlanError: the Plan was made for another network or target, or says something that the target or the network
            does not allow; the text names value and key.
    """

    def __init__(self, plan: Plan, graph: Graph, target: Target) -> None:
        self.plan, self.target = plan, target
        for key, want in (("target", target.name), ("rule", target.rule), ("accumulator", target.accumulator)):
            if (got := getattr(plan, key)) != want:
                values = (getattr(v, "value", v) for v in (want, got))
                raise PlanError("plan: {}: expected {!r}, that of the target, got {!r}".format(key, *values))
        self._by_name = {_base(name): value for name, value in plan.values.items()} | dict(plan.values)
        base = place(separate_operands(graph, target), target)
        self._check_names(base)
        self._first = next(self._first_layer(graph, base), None)
        self._layers = dict(self._other_layers(graph, base))
        try:
            placed = self.place(separate_operands(graph, target, self.layers(graph)))
        except TargetError as error:
            raise PlanError(f"plan: {error}") from None
        self._check_formats(placed)

    def layers(self, graph: Graph) -> dict[str, str]:
        """Formats of a network's layers, as `place` takes them."""
        names = [str(node.name) for node in graph.nodes]
        known = set(names)
        first = {} if self._first is None else {FIRST: self._first}
        return first | {only_layer(name, names): text for name, text in self._layers.items() if name in known}

    def place(self, graph: Graph) -> Plan:
        """Place the network, or what a recovery algorithm made of it, with the formats and calibrators of the Plan.

        Values with parameters and without calibrator keep their parameters; those of others are to be found.
        """
        placed = place(graph, self.target, layers=self.layers(graph))
        for value in placed.values.values():
            given = self._find(value.name)
            if given is None or value.source not in _GRID:
                continue
            if value.calibrator is not None:
                value.calibrator = given.calibrator or value.calibrator
            if given.params is not None and (given.source is Source.FIXED or given.calibrator is None):
                value.params = self._fitting(given, value, graph)
                if value.source is Source.OWN:
                    value.source, value.calibrator = Source.FIXED, None
                    value.why += _GIVEN
        return placed

    def sentence(self, graph: Graph) -> str:
        """Say for the history what was taken from the Plan."""
        kept = sum(value.why.endswith(_GIVEN) for value in self.place(graph).values.values())
        if not kept:
            return "formats and calibrators are those of the given Plan; parameters are found anew"
        values = "1 value keeps its parameters, as it has" if kept == 1 else f"{kept} values keep theirs, as they have"
        return (
            f"formats and calibrators are those of the given Plan; {values} no calibrator there; the other parameters "
            "are found anew"
        )

    def _find(self, name: str) -> ValuePlan | None:
        return self._by_name.get(name) or self._by_name.get(_base(name))

    def _fitting(self, given: ValuePlan, value: ValuePlan, graph: Graph) -> QuantParams:
        assert given.params is not None and value.format is not None
        if given.params.type != value.format.type or given.params.granularity != value.format.granularity:
            raise PlanError(
                f"plan: [value {given.name!r}] params: expected parameters of its format, {value.format}, got "
                f"{given.params.type} {given.params.granularity}"
            )
        shape = graph.value(value.name).shape
        want = given.params.granularity.param_shape(tuple(int(n) for n in shape.numpy())) if shape is not None else ()
        if given.params.scale.shape != want:
            raise PlanError(
                f"plan: [value {given.name!r}] params: expected scales of shape {want}, got {given.params.scale.shape}"
            )
        return given.params

    def _check_names(self, base: Plan) -> None:
        """Compare the values that have a grid, and the operators, with those of the network."""
        missing = [v.name for v in base.values.values() if v.source in _GRID and self._find(v.name) is None]
        known = {_base(name) for name in base.values}
        foreign = [name for name in self.plan.values if name == _base(name) and name not in known]
        foreign = [name for name in foreign if not name.endswith(".operand")]
        for names, text in ((missing, "expected every value of the network, got none of"), (foreign, "got")):
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                raise PlanError(
                    f"plan: values: {text} {', '.join(map(repr, names[:_SHOWN]))}{more}, "
                    f"{'which it has' if names is missing else 'which the network does not have'}; the Plan was made "
                    "for another network or target"
                )
        for operator in self.plan.operators.values():
            if not operator.integer:
                raise PlanError(
                    f"plan: [operator {operator.name!r}] integer: expected true, as every operator of a program runs "
                    "on integers, got false"
                )

    def _first_layer(self, graph: Graph, base: Plan) -> Iterator[str]:
        """Find the format of the first layer where an input has another than the target gives it unasked."""
        for value in graph.inputs:
            bits = self._other_bits(str(value.name), base)
            if bits is not None:
                yield f"a{bits}"

    def _other_layers(self, graph: Graph, base: Plan) -> Iterator[tuple[str, str]]:
        """List the layers whose formats differ from those that the target gives unasked."""
        for node in graph.nodes:
            weights = self._weights(node, base)
            text = next((f"w{bits}" for name in weights if (bits := self._other_bits(name, base))), "")
            if self.target.products is not None and weights:
                bits = self._operand_bits(node, base)
            else:
                bits = next((b for v in node.outputs if (b := self._other_bits(str(v.name), base)) is not None), None)
                if self.target.products is not None and bits == self.target.products.type.bits:
                    bits = None  # only products read it, which decide its format
            text += "" if bits is None else f"a{bits}"
            if text:
                yield str(node.name), text

    @staticmethod
    def _weights(node: ir.Node, base: Plan) -> list[str]:
        names = [str(v.name) for v in node.inputs if v is not None and v.name in base.values]
        return [name for name in names if base.values[name].role is Role.WEIGHT]

    def _other_bits(self, name: str, base: Plan) -> int | None:
        """Bits of a value in the Plan, where they differ from those of the target's own format."""
        own, given = base.values.get(name), self._find(name)
        if own is None or given is None or own.source not in _GRID or own.format is None or given.format is None:
            return None
        return None if given.format.type.bits == own.format.type.bits else given.format.type.bits

    def _operand_bits(self, node: ir.Node, base: Plan) -> int | None:
        """Bits in which a product reads its data, where they differ from those that the target gives unasked."""
        data = node.inputs[0]
        assert data is not None
        own = base.values.get(f"{data.name}.operand") or base[str(data.name)]
        given = self._find(f"{data.name}.operand") or self._find(str(data.name))
        if (
            given is None
            or given.format is None
            or own.format is None
            or given.format.type.bits == own.format.type.bits
        ):
            return None
        return given.format.type.bits

    def _check_formats(self, placed: Plan) -> None:
        """Compare what the Plan says of single values with what placement made of its layers."""
        for value in placed.values.values():
            given = self._find(value.name)
            if given is None or given.name != _base(given.name):  # of a network that an algorithm changed
                continue
            if given.role is not value.role:
                raise _error(given.name, "role", value.role.value, given.role.value)
            if given.format != value.format:
                raise _error(given.name, "format", value.format, given.format, _formats_of(self.target))
            made_fixed = value.source is Source.FIXED and given.source is Source.OWN and given.calibrator is None
            if given.source is not value.source and not made_fixed:
                raise _error(given.name, "source", value.source.value, given.source.value)
            if tuple(map(_base, given.of)) != tuple(map(_base, value.of)):
                raise _error(given.name, "of", list(value.of), list(given.of))


def _error(name: str, key: str, want: object, got: object, hint: str = "") -> PlanError:
    return PlanError(f"plan: [value {name!r}] {key}: expected {want} in this network on this target, got {got}{hint}")


def _formats_of(target: Target) -> str:
    kinds = {
        "activations": ", ".join(f"{f.type} {f.scheme.value}" for f in target.activations),
        "weights": ", ".join(f"{f.type} {f.scheme.value} per {f.per}" for f in target.weights),
    }
    offers = "; ".join(f"{kind} {texts}" for kind, texts in kinds.items())
    return (
        f" (target {target.name} has {offers}; what shares the parameters of another value has its format, and the "
        "first layer's result that of the input)"
    )


def _base(name: str) -> str:
    return _RECOVERED.sub("", name)
