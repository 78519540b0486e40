"""Parts of `selftest.c` beside single runs on codes: all samples as one stream, and ends of the type float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.stream_functions import argument_names
from intaglio.codegen.text import array_text
from intaglio.program import Program

Sample = tuple[NDArray[Any], ...]  # codes of every input, in the shape that the Program declares


@dataclass(frozen=True)
class TestPart:
    """A part of the self-test.

    Args:
        arrays: definitions.
        text: statements.
        outputs: how many numbers are compared.
    """

    arrays: str = ""
    text: str = ""
    outputs: int = 0


def single_run(program: Program, sample: Sample) -> Sample:
    """Return the codes of every output."""
    return _several(program.run_int(*sample))


def stream_test(program: Program, samples: Sequence[Sample], prefix: str) -> TestPart:
    """Generate the part that runs all samples as one stream; nothing for a Program without states."""
    if not program.states:
        return TestPart()
    given, got, expected = _results(program, samples)
    arrays = "".join(array_text(y, f"streamed_{name}", 16) for (name, _), y in zip(got, expected, strict=True))
    arguments = ["&state", *_test_arrays(given, samples), *(name for name, _ in got)]
    compare = "\n".join(
        f"""        for (int32_t i = 0; i < {y[0].size}; i++)
            if ({name}[i] != streamed_{name}[s * {y[0].size} + i])
                return differs("{name} of the stream", s, i, {name}[i], streamed_{name}[s * {y[0].size} + i]);"""
        for (name, _), y in zip(got, expected, strict=True)
    )
    text = _loop(f"{prefix}_step", arguments, compare, f"    {prefix}_reset(&state);\n")
    return TestPart(f"{arrays}static struct {prefix}_state state;\n", text, sum(y.size for y in expected))


def float_test(program: Program, samples: Sequence[Sample], prefix: str) -> TestPart:
    """Generate the part that passes real numbers; nothing for a Program without ends of float32."""
    if not program.float_ends:
        return TestPart()
    given, got, expected = _results(program, samples)
    arrays, arguments = [], _test_arrays(given, samples)
    for place, (argument, name) in enumerate(given):
        if name in program.float_ends:
            index = program.inputs.index(name)
            real = _bits(program, name, np.stack([sample[index] for sample in samples]))
            arrays.append(_union(f"real_{argument}", real))
            arguments[place] = f"&real_{argument}.real[s * {samples[0][index].size}]"
    outputs, compared = [], []
    for (argument, name), y in zip(got, expected, strict=True):
        outputs.append(argument)
        if name in program.float_ends:
            size = y[0].size
            arrays.append(_union(f"wanted_{argument}", _bits(program, name, y)))
            arrays.append(f"static union {{ uint32_t bits[{size}]; float real[{size}]; }} got_{argument};\n")
            outputs[-1] = f"got_{argument}.real"
            at = f"wanted_{argument}.bits[s * {size} + i]"
            compared.append(
                f"""        for (int32_t i = 0; i < {size}; i++)
            if (got_{argument}.bits[i] != {at})
                return differs("bits of {argument} as float", s, i, got_{argument}.bits[i], {at});"""
            )
        elif not program.states:
            size = y[0].size
            compared.append(
                f"""        for (int32_t i = 0; i < {size}; i++)
            if ({argument}[i] != expected_{argument}[s * {size} + i])
                return differs("{argument} beside float", s, i, {argument}[i], expected_{argument}[s * {size} + i]);"""
            )
    reset = f"    {prefix}_reset(&state);\n" if program.states else ""
    state = ["&state"] if program.states else []
    function = f"{prefix}_{'step' if program.states else 'run'}_float"
    text = _loop(function, [*state, *arguments, *outputs], "\n".join(compared), reset)
    numbers = sum(y.size for (_, n), y in zip(got, expected, strict=True) if n in program.float_ends)
    return TestPart("".join(arrays), text, numbers)


def _results(
    program: Program, samples: Sequence[Sample]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[NDArray[Any]]]:
    """Parameter and name of the inputs and outputs that are no states, and what the outputs are for all samples."""
    kept = {name for state in program.states for name in (state.input, state.output)}
    pairs = []
    for kind, names in (("input", program.inputs), ("output", program.outputs)):
        arguments = argument_names([program.tensors[name] for name in names], kind)
        pairs.append([(a, name) for a, name in zip(arguments, names, strict=True) if name not in kept])
    given, got = pairs
    if program.states:
        inputs, stream = [program.inputs.index(name) for _, name in given], program.stream()
        rows = [_several(stream.step_int(*(sample[i] for i in inputs))) for sample in samples]
    else:
        rows = [single_run(program, sample) for sample in samples]
    return given, got, [np.stack(column) for column in zip(*rows, strict=True)]


def _several(results: Any) -> Sample:
    return results if isinstance(results, tuple) else (results,)


def _test_arrays(given: Sequence[tuple[str, str]], samples: Sequence[Sample]) -> list[str]:
    """Address of each input of sample `s`, where the self-test has its codes."""
    numbers = [0 if argument == "input" else int(argument.removeprefix("input")) for argument, _ in given]
    return [f"&test_{argument}[s * {samples[0][i].size}]" for (argument, _), i in zip(given, numbers, strict=True)]


def _bits(program: Program, name: str, codes: NDArray[Any]) -> NDArray[np.uint32]:
    params = program.tensors[name].params
    assert params is not None
    return np.ascontiguousarray(params.dequantize(codes)).view(np.uint32)


def _union(name: str, bits: NDArray[np.uint32]) -> str:
    """Define numbers by their bits, so that no compiler rounds them."""
    values = ",\n    ".join(
        ", ".join(f"0x{value:08x}u" for value in bits.reshape(-1)[start : start + 10])
        for start in range(0, bits.size, 10)
    )
    return (
        f"static const union {{ uint32_t bits[{bits.size}]; float real[{bits.size}]; }} {name} = "
        f"{{{{\n    {values}}}}};\n"
    )


def _loop(function: str, arguments: Sequence[str], compare: str, before: str) -> str:
    return f"""{before}    for (int32_t s = 0; s < SAMPLES; s++) {{
        memset(arena, 0xa5, sizeof arena);
        const int status = {function}({", ".join(arguments)}, arena, sizeof arena);
        if (status) {{
            board_print("{function}: status ");
            print_number(status);
            board_print("\\n");
            return 1;
        }}
{compare}
    }}
"""
