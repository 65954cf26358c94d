"""What a notebook is: cells, parameters, title, fingerprint, rules. It reads files; it never runs or writes one."""

from notebooks_lib.notebooks.secrets import SecretStr, secret

__all__ = ["SecretStr", "secret"]
