"""The stages through which a version of a model goes. It imports nothing, so that help pages can name them."""

from typing import Literal, get_args

StageName = Literal["dev", "test", "prod"]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""Where a model version is deployed, in this order."""
