"""The Plan: how each value is represented, and why; and placement, which makes it."""

from intaglio.plan.place import place
from intaglio.plan.plan import Format, OperatorPlan, Plan, Source, ValuePlan
from intaglio.plan.separate_operands import separate_operands
from intaglio.plan.step import Step

__all__ = ["Format", "OperatorPlan", "Plan", "Source", "Step", "ValuePlan", "place", "separate_operands"]
