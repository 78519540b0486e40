"""The integer operators, one file each: equation, parameters, shape, `integer`, samples, and a factory from scales."""
