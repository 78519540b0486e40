"""Generate `selftest.c`: inputs, the interpreter's integers for them, and the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.selftest_parts import Sample, float_test, single_run, stream_test
from intaglio.codegen.stream_functions import argument_names
from intaglio.codegen.text import LONG_STRINGS, array_text
from intaglio.kernels.kernel import C_TYPES
from intaglio.program import Program
from intaglio.program.random_codes import random_codes
from intaglio.samples import nth_sample

SEED = 20240229


def random_samples(program: Program, count: int, seed: int = SEED) -> list[Sample]:
    """Draw codes of every input; see `program.random_codes`."""
    return list(zip(*random_codes(program, count, seed), strict=True))


def split_samples(program: Program, inputs: Sequence[NDArray[Any]]) -> list[Sample]:
    """Split inputs of `run_int` into samples. An input without an axis of samples is the same for all.

    Args:
        program: the Program.
        inputs: checked codes of each input; those with an axis of samples have the same number of them.
    """
    pairs = [(x, program.tensors[name].shape) for x, name in zip(inputs, program.inputs, strict=True)]
    several = [shape[:1] == (1,) or x.ndim > len(shape) for x, shape in pairs]
    count = max((len(x) for (x, _), counted in zip(pairs, several, strict=True) if counted), default=1)
    return [
        tuple(nth_sample(x, s, shape) if counted else x for (x, shape), counted in zip(pairs, several, strict=True))
        for s in range(count)
    ]


def selftest(program: Program, samples: Sequence[Sample], prefix: str = "model") -> str:
    """Generate the text of `selftest.c`.

    Args:
        program: the Program.
        samples: inputs of the self-test, at least one sample.
        prefix: prefix of the model's public names.
    Returns:
        C text of a program that prints `N outputs bit-exact` and returns 0, or prints the first difference and returns
        1. With SELFTEST_BARE it runs on `board.c` and also prints stack and instructions of one inference.
    """
    results = [single_run(program, sample) for sample in samples]
    inputs, outputs = ([np.stack(column) for column in zip(*rows, strict=True)] for rows in (samples, results))
    given = argument_names([program.tensors[name] for name in program.inputs], "input")
    got = argument_names([program.tensors[name] for name in program.outputs], "output")
    arrays = [array_text(x, f"test_{name}", 16) for name, x in zip(given, inputs, strict=True)]
    arrays += [array_text(y, f"expected_{name}", 16) for name, y in zip(got, outputs, strict=True)]
    sizes = [y[0].size for y in outputs]
    arrays += [
        f"static {C_TYPES[y.dtype.str[1:]]} {name}[{n}];\n" for name, y, n in zip(got, outputs, sizes, strict=True)
    ]
    arguments = [f"&test_{name}[s * {x[0].size}]" for name, x in zip(given, inputs, strict=True)]
    clear = "\n".join(f"        memset({name}, 0x5a, sizeof {name});" for name in got)
    compare = "\n".join(
        f"""        for (int32_t i = 0; i < {n}; i++)
            if ({name}[i] != expected_{name}[s * {n} + i])
                return differs("{name}", s, i, {name}[i], expected_{name}[s * {n} + i]);"""
        for name, n in zip(got, sizes, strict=True)
    )
    more = [stream_test(program, samples, prefix), float_test(program, samples, prefix)]
    return _TEXT.format(
        pragmas=LONG_STRINGS,
        prefix=prefix,
        macro=prefix.upper(),
        samples=len(samples),
        arrays="".join(arrays),
        arguments=", ".join((*arguments, *got)),
        clear=clear,
        compare=compare,
        total=(len(samples) * sum(sizes)) + sum(part.outputs for part in more),
        arena="FLOAT_ARENA" if program.float_ends else "ARENA",
        more_arrays="".join(part.arrays for part in more),
        more="".join(part.text for part in more),
    )


_TEXT = """/* Written by Intaglio: {samples} samples through the model, every integer compared with the reference's. */
#include "{prefix}.h"

#include <string.h>

{pragmas}
#ifdef SELFTEST_BARE
#include "board.h"
#else
#include <stdio.h>
static void board_print(const char *text)
{{
    fputs(text, stdout);
}}
#endif

enum {{ SAMPLES = {samples} }};
{arrays}{more_arrays}
static _Alignas({macro}_ALIGNMENT) unsigned char arena[{macro}_{arena}_BYTES];

/* Decimal; hexadecimal beyond 32 bits, so that no processor needs a 64-bit division for it. */
static void print_number(int64_t number)
{{
    char text[24];
    char *at = text + sizeof text - 1;
    *at = 0;
    if (number < INT32_MIN || number > INT32_MAX) {{
        for (int32_t i = 0; i < 64; i += 4)
            *--at = "0123456789abcdef"[((uint64_t)number >> i) & 15];
        *--at = 'x';
        *--at = '0';
    }} else {{
        uint32_t rest = number < 0 ? 0 - (uint32_t)number : (uint32_t)number;
        do
            *--at = (char)('0' + rest % 10);
        while (rest /= 10);
        if (number < 0)
            *--at = '-';
    }}
    board_print(at);
}}

static int differs(const char *output, int32_t sample, int32_t index, int64_t got, int64_t want)
{{
    board_print("sample ");
    print_number(sample);
    board_print(", ");
    board_print(output);
    board_print("[");
    print_number(index);
    board_print("]: got ");
    print_number(got);
    board_print(", want ");
    print_number(want);
    board_print("\\n");
    return 1;
}}

int main(void)
{{
#ifdef SELFTEST_BARE
    uint32_t stack = 0, ticks = 0;
#endif
    for (int32_t s = 0; s < SAMPLES; s++) {{
        int status;
        memset(arena, 0xa5, sizeof arena); /* nothing may depend on what was there */
{clear}
#ifdef SELFTEST_BARE
        const uintptr_t top = board_paint_stack();
        const uint32_t start = board_ticks();
#endif
        status = {prefix}_run({arguments}, arena, sizeof arena);
#ifdef SELFTEST_BARE
        if (s == 0) {{
            ticks = board_ticks() - start;
            stack = board_stack_used(top);
        }}
#endif
        if (status) {{
            board_print("{prefix}_run: status ");
            print_number(status);
            board_print("\\n");
            return 1;
        }}
{compare}
    }}
{more}    print_number({total});
    board_print(" outputs bit-exact\\n");
#ifdef SELFTEST_BARE
    print_number(stack);
    board_print(" bytes of stack\\n");
    if (ticks) {{
        print_number(board_instructions(ticks));
        board_print(" instructions per inference\\n");
    }}
#endif
    return 0;
}}
"""
