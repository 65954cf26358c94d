"""What a notebook is: cells, parameters, title, fingerprint, rules. Files are read, never run or written."""

from notebooks_lib.notebooks.secret_str import SecretStr, secret

# Notebooks of version 0.1 import them from here; the front door has them now.
__all__ = ["SecretStr", "secret"]
