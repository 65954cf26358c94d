"""Sweeps: one notebook, many sets of parameters; a parent run with one child run per trial."""
