"""The C itself: a folder per integer operator, with its scalar specification and one variant per instruction set.

A folder holds C templates (`scalar.h`, `gemm.h`, ...) and an `__init__.py` whose `KERNELS` says, as data, which
function serves which operator on which instruction set, and what integers it needs. `codegen` writes the templates
that a Program uses, and no others, beside the generated model.
"""
