"""Generate C from a Program: schedule, memory plan, kernel choice, C text, compilers, and the library in Python."""
