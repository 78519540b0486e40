"""The Plan: how each value is represented, and why; its builder, and placement."""

from intaglio.plan.place import place
from intaglio.plan.plan import Plan, load_plan
from intaglio.plan.plan_builder import PlanBuilder
from intaglio.plan.plan_records import Format, OperatorPlan, Source, ValuePlan
from intaglio.plan.separate_operands import separate_operands
from intaglio.plan.step import Step

__all__ = [
    "Format",
    "OperatorPlan",
    "Plan",
    "PlanBuilder",
    "Source",
    "Step",
    "ValuePlan",
    "load_plan",
    "place",
    "separate_operands",
]
