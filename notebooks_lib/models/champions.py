"""The champion of each stage, and the version before it. It moves marks and knows no endpoint.

A mark is an alias where the registry has aliases and a version tag where it has none (docs/design D6): `champion` and
`previous` in prod, `champion-dev` and `previous-dev` in dev. Each moves in one write, so there is never a moment
without a champion. Each version also records which was champion before it, so that one can go back more than one step.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from notebooks_lib import errors
from notebooks_lib.models.registry import Version, set_tags, versions
from notebooks_lib.stages import STAGES
from notebooks_lib.tags import Tag

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

    from notebooks_lib.tracking.store import Store

PROD = STAGES[-1]
"""The stage whose marks have no suffix: other tools look for an alias `champion`."""
NONE = "none"


class _Tagged(Protocol):
    """What the mark of a version is read from."""

    @property
    def version(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


_AnyVersion = TypeVar("_AnyVersion", bound=_Tagged)


def champion(store: Store, model: str, stage: str = PROD) -> Version | None:
    """Return the version that serves in a stage; None if there is none yet."""
    return _Marks(store, model).champion(stage)


def champion_among(
    versions: Mapping[str, _AnyVersion], aliases: Mapping[str, str], stage: str = PROD
) -> _AnyVersion | None:
    """Return the champion of a stage among a model's announced versions, by number, and its aliases, if any."""
    return _holder(_name("champion", stage), versions, aliases)


def previous(store: Store, model: str, stage: str = PROD) -> Version | None:
    """Return the version that a rollback would restore: the last earlier champion that was not withdrawn."""
    return _Marks(store, model).previous(stage)


def mark_champion(
    store: Store, version: Version, *, reason: str, stage: str = PROD, back: bool = False
) -> Version | None:
    """Make `version` the champion of a stage; return the one before it. `reason` is kept with the version.

    `back` is for a rollback: `version` was champion before, so the predecessor recorded then stays, and a withdrawal is
    undone. After a crash between two writes, the next call finishes the change; until then the champion is the old or
    the new version, and `previous` is right either way. The mark of the previous version is written first when the
    champion becomes previous, and last when the previous version becomes champion. In between, both marks name the same
    version, which readers ignore.
    """
    with errors.as_model_error(f"{version.uri} cannot be marked champion of {stage}"):
        marks = _Marks(store, version.model)
        old = marks.champion(stage)
        if old is None or old.version != version.version:
            current = marks.versions.get(version.version, version)
            tags = {Tag.REASON: reason}
            if not (back and _before_tag(stage) in current.tags):
                tags[_before_tag(stage)] = old.version if old else NONE
                if old is not None:
                    marks.put(_name("previous", stage), old)
            if back and stage in current.withdrawn:
                tags[_withdrawn_tag(stage)] = ""
            set_tags(store, version, tags)
            marks.put(_name("champion", stage), version)
        marks = _Marks(store, version.model)
        before = marks.before(marks.versions[version.version], stage)
        held = marks.holder(_name("previous", stage))
        if (before.version if before else "") != (held.version if held else ""):
            marks.put(_name("previous", stage), before)
        marks.tidy(_name("champion", stage))
    return old


def withdraw(store: Store, version: Version, *, stage: str = PROD) -> None:
    """Withdraw a version from a stage: no promotion moves it automatically, even if it was approved before."""
    with errors.as_model_error(f"{version.uri} cannot be withdrawn"):
        set_tags(store, version, {_withdrawn_tag(stage): "true", Tag.WAITING: ""})


def was_champion(store: Store, version: Version, stage: str = PROD) -> bool:
    """Return True if a version is or was champion of a stage. A rollback can restore only such versions."""
    marks = _Marks(store, version.model)
    mine = marks.versions.get(version.version, version).tags
    held = (marks.holder(_name(mark, stage)) for mark in ("champion", "previous"))
    named = {other.tags.get(_before_tag(stage)) for other in marks.versions.values()}
    named |= {other.version for other in held if other is not None}
    return _before_tag(stage) in mine or _withdrawn_tag(stage) in mine or version.version in named


def _name(mark: str, stage: str) -> str:
    return mark if stage == PROD else f"{mark}-{stage}"


def _withdrawn_tag(stage: str) -> str:
    return f"{Tag.WITHDRAWN_PREFIX}{stage}"


def _before_tag(stage: str) -> str:
    return f"{Tag.BEFORE_PREFIX}{stage}"


class _Marks:
    """The marks of one model at this moment."""

    def __init__(self, store: Store, model: str) -> None:
        self.store = store
        self.model = model
        self.versions: Mapping[str, Version] = {version.version: version for version in versions(store, model)}
        self.aliases = _aliases(store, model) if self.versions else {}

    def holder(self, name: str) -> Version | None:
        """Return the version that has the mark `name`; None if there is none."""
        return _holder(name, self.versions, self.aliases)

    def champion(self, stage: str) -> Version | None:
        return self.holder(_name("champion", stage))

    def previous(self, stage: str) -> Version | None:
        now, held = self.champion(stage), self.holder(_name("previous", stage))
        if now is None:
            return None
        usable = held is not None and held.version != now.version and stage not in held.withdrawn
        return held if usable else self.before(now, stage)

    def before(self, version: Version, stage: str) -> Version | None:
        """Return the last champion before a version. Deleted and withdrawn versions are skipped."""
        visited = {version.version}
        number = version.tags.get(_before_tag(stage), NONE)
        while number not in visited and number in self.versions:
            candidate = self.versions[number]
            if stage not in candidate.withdrawn:
                return candidate
            visited.add(number)
            number = candidate.tags.get(_before_tag(stage), NONE)
        return None

    def put(self, name: str, version: Version | None) -> None:
        """Move the mark `name` to a version, or remove it if `version` is None."""
        from mlflow.exceptions import MlflowException

        try:
            if version is None:
                self.store.client.delete_registered_model_alias(self.model, name)
            else:
                self.store.client.set_registered_model_alias(self.model, name, version.version)
        except MlflowException as error:
            if not _lacks_aliases(error):
                raise
            self._tag(name, version)

    def _tag(self, name: str, version: Version | None) -> None:
        tag = Tag.MARK_PREFIX + name
        if version is not None:
            # Later than all others: another machine's clock may be ahead.
            times = [int(other.tags.get(tag) or 0) + 1 for other in self.versions.values()]
            set_tags(self.store, version, {tag: str(max([int(time.time() * 1000), *times]))})
        self._clear(tag, version)

    def tidy(self, name: str) -> None:
        """Remove tags of the mark `name` that a crash left on other versions."""
        if name not in self.aliases:
            self._clear(Tag.MARK_PREFIX + name, self.holder(name))

    def _clear(self, tag: str, holder: Version | None) -> None:
        for other in self.versions.values():
            if other.tags.get(tag) and (holder is None or other.version != holder.version):
                set_tags(self.store, other, {tag: ""})


def _holder(name: str, versions: Mapping[str, _AnyVersion], aliases: Mapping[str, str]) -> _AnyVersion | None:
    """Return the version that has the mark `name`, by alias or by tag; None if there is none."""
    if name in aliases:
        return versions.get(aliases[name])
    tag = Tag.MARK_PREFIX + name
    bearing = [version for version in versions.values() if version.tags.get(tag)]
    return max(bearing, key=lambda version: (int(version.tags[tag]), int(version.version)), default=None)


def _aliases(store: Store, model: str) -> Mapping[str, str]:
    with errors.as_model_error(f"the marks of {model!r} cannot be read"):
        aliases = store.client.get_registered_model(model).aliases or {}
    return {str(name): str(version) for name, version in aliases.items()}


def _lacks_aliases(error: MlflowException) -> bool:
    """Return whether the registry has no aliases: it answers 404 for their address."""
    return error.error_code == "ENDPOINT_NOT_FOUND" or "error code 404" in str(error)


def rollback_command(model: str, stage: str, version: str = "") -> str:
    """Return the nbops command that restores a stage's previous champion, or the earlier champion `version`."""
    where, to = "" if stage == PROD else f" --stage {stage}", f" --to {version}" if version else ""
    return f"nbops rollback {model}{where}{to}"
