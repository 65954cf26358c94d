"""Where notebooks of version 0.1 find `Gate`. New ones say `from notebooks_lib import Gate`."""

from notebooks_lib import Gate

__all__ = ["Gate"]
