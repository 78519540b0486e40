"""The part of a model's text that knows processors: the check at run time, and what lets the compiler use them."""

from __future__ import annotations

from intaglio.codegen.machine import INSTRUCTION_SETS
from intaglio.codegen.model import Model

CPUID = "isa/cpuid.h"


def processor(model: Model) -> str:
    """The check that the processor has what the code needs, and the switch that lets the compiler use it."""
    sets = [INSTRUCTION_SETS[isa] for isa in model.machine.isas]
    checks = " && ".join(
        f'__builtin_cpu_supports("{b}")' for b in dict.fromkeys(b for isa in sets for b in isa.builtins)
    )
    needed = " | ".join(isa.cpuid for isa in sets if isa.cpuid)
    text = "static int processor_fits(void)\n{\n    return 1;\n}\n"
    if needed:
        # The compiler's own check is quick, but zig's always says no, and clang does not know every name.
        guard = ("#if !defined(__clang__)\n", "#endif\n") if "avxvnni" in checks else ("", "")
        text = f"""#include "kernels/{CPUID}"

static int processor_fits(void)
{{
    const uint32_t needed = {needed};
{guard[0]}    if ({checks})
        return 1;
{guard[1]}    return (ig_cpu_features() & needed) == needed;
}}
"""
    target = ",".join(dict.fromkeys(t for isa in sets for t in isa.target.split(",") if t))
    if target:
        text += f"""
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("{target}"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("{target}")
#endif
"""
    return text


def processor_end(model: Model) -> str:
    """What ends the switch again."""
    if not any(INSTRUCTION_SETS[isa].target for isa in model.machine.isas):
        return ""
    return """
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
"""
