"""Generate processor-specific C text: the check at run time, and the target pragmas for the compiler."""

from __future__ import annotations

from intaglio.codegen.machine import INSTRUCTION_SETS
from intaglio.codegen.model import Model

CPUID = "isa/cpuid.h"


def processor(model: Model) -> str:
    """Generate the run-time check of instruction sets, and the pragma that enables them."""
    sets = [INSTRUCTION_SETS[isa] for isa in model.machine.isas]
    checks = " && ".join(
        f'__builtin_cpu_supports("{b}")' for b in dict.fromkeys(b for isa in sets for b in isa.builtins)
    )
    needed = " | ".join(isa.cpuid for isa in sets if isa.cpuid)
    text = "static int processor_fits(void)\n{\n    return 1;\n}\n"
    if needed:
        # The compiler's builtin is fast, but zig's always returns 0, and clang lacks some names.
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
    """Generate the pragma that ends the target region."""
    if not any(INSTRUCTION_SETS[isa].target for isa in model.machine.isas):
        return ""
    return """
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
"""
