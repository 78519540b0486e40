"""Float operators: what they compute, what they promise about their operands, how they become integers."""

from importlib import import_module
from pkgutil import iter_modules

from intaglio.ops.contract import Contract, Fixed, Joined, Own, Plain, Role, Same
from intaglio.ops.float_operator import (
    FLOAT_OPERATORS,
    FloatOperator,
    Lowering,
    Placed,
    Result,
    contract_of,
    float_operator,
)
from intaglio.ops.unary import may_be_unary, unary_operator

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "FLOAT_OPERATORS",
    "Contract",
    "Fixed",
    "FloatOperator",
    "Joined",
    "Lowering",
    "Own",
    "Placed",
    "Plain",
    "Result",
    "Role",
    "Same",
    "contract_of",
    "float_operator",
    "may_be_unary",
    "unary_operator",
]
