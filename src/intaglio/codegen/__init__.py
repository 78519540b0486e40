"""Program to C: schedule, memory plan, kernel choice, text, tool chains, and the compiled library in Python."""
