"""nbops: from a notebook to a served model. Importing this package does nothing."""

__version__ = "0.1.0"
