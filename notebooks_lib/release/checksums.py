"""Sees to it that the file that was scored is the file that is deployed: a digest goes with the version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from notebooks_lib.errors import ModelError, PromotionError
from notebooks_lib.models import model_files, registry
from notebooks_lib.models.registry import Version
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from notebooks_lib.tracking.store import Store


def pin(store: Store, version: Version, sha256: str) -> None:
    """Write on the version what was scored. Raises PromotionError when its files are not those."""
    if not sha256:
        return  # a decision that was made without files, as tests make them
    found = model_files.read(version.source).sha256
    if found != sha256:
        raise PromotionError(_other(version, found, sha256, model_files.local(version.source)))
    registry.set_tags(store, version, {Tag.MODEL_SHA256: sha256})


def confirm(version: Version, folder: Path, trusted: Sequence[str]) -> tuple[str, str]:
    """The digest of the files in `folder`, about to be deployed, and what is known of it in words.

    Raises PromotionError when they are not those that were scored, or nobody knows although a decision chose them. A
    version that was registered otherwise, or by an older nbops, is taken as it is, and that is said.
    """
    wanted = version.tags.get(Tag.MODEL_SHA256, "")
    found = model_files.read(folder).sha256
    if wanted and found != wanted:
        raise PromotionError(_other(version, found, wanted, folder))
    if not wanted and Tag.CARD in version.tags:  # older decisions have no card, and no digest either
        raise PromotionError(
            f"version {version.version} of {version.model!r} was chosen by a decision, but its digest "
            f"({Tag.MODEL_SHA256}) is gone: nobody knows whether its files are those that were scored; promote again"
        )
    if not wanted:
        try:
            what = f"version {version.version} of {version.model!r}, which no promotion chose,"
            model_files.check_folder_trusted(folder, trusted, what)
        except ModelError as error:
            raise PromotionError(str(error)) from error
    return found, f"{found[:12]}, {'as scored' if wanted else 'taken when deployed: the version has no digest'}"


def _other(version: Version, found: str, wanted: str, folder: Path | None) -> str:
    left = model_files.bytecode(folder) if folder is not None else []
    if left:
        return (
            f"beside the files of version {version.version} of {version.model!r} there is bytecode that was not scored "
            f"({left[0]}): another program loaded the model there; remove it and try again"
        )
    return (
        f"the files of version {version.version} of {version.model!r} are not those that were scored (digest "
        f"{found[:12]}, scored {wanted[:12]}): somebody changed them; a refit is a new challenger, run its notebook"
    )
