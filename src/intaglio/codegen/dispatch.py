"""Generate code for several machines of one family, with a choice at run time."""

from __future__ import annotations

from intaglio.codegen.emit import run_function, sizes
from intaglio.codegen.model import WRITTEN_BY, Model


def dispatcher(model: Model) -> str:
    """Generate `<prefix>.c` of a model with variants: it runs the first variant that the processor supports."""
    p, m = model.prefix, model.macro
    includes = "".join(f'#include "{variant.prefix}.h"\n' for variant in model.variants)
    calls = "".join(
        f"""
    if (status == {m}_WRONG_PROCESSOR) {{
        struct {v.prefix}_host own = {{NULL, 1, NULL, NULL}};
        if (host) {{
            own.user = host->user;
            own.threads = host->threads;
            own.parallel = host->parallel;
            own.after_step = host->after_step;
        }}
        status = {v.prefix}_run_on(host ? &own : NULL, inputs, outputs, arena, arena_bytes);
    }}"""
        for v in model.variants
    )
    return f"""/* {WRITTEN_BY}
 * The code of {len(model.variants)} machines; the first one that this processor is runs. All give the same integers.
 */
#include "{p}.h"
{includes}
{sizes(model)}
int {p}_run_on(const struct {p}_host *host, const void *const *inputs, void *const *outputs, void *arena,
    size_t arena_bytes)
{{
    int status = {m}_WRONG_PROCESSOR;
    if (arena && (uintptr_t)arena % {m}_ALIGNMENT == 0 && arena_bytes < {m}_ARENA_BYTES)
        return {m}_SMALL_ARENA; /* also where this processor's own variant would need less */
{calls}
    return status;
}}

{run_function(model)}"""
