"""What a notebook is: cells, parameters, title, fingerprint, rules. Files are read, never run or written."""

from notebooks_lib.notebooks.secret_str import SecretStr, secret

__all__ = ["SecretStr", "secret"]
