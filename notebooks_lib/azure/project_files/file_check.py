"""Checks all files under production/azure at once, without network and sign-in: YAML, secrets, schema, then the SDK.

The parameters under production/infra are held against the template there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebooks_lib import errors
from notebooks_lib.azure.project_files import (
    batch_file_kinds,
    endpoint_file_kinds,
    file_kinds,
    file_loading,
    file_schema,
    file_secrets,
    parameter_files,
    pipeline_file_kind,
    schedule_file_kinds,
    template_files,
    yaml_file,
)
from notebooks_lib.azure.project_files.file_faults import FileFault, KeyPath
from notebooks_lib.azure.project_files.file_kinds import FileKind
from notebooks_lib.azure.project_files.yaml_file import YamlFile
from notebooks_lib.stages import STAGES

STAGED = {"endpoint.yml": endpoint_file_kinds.ENDPOINT, "deployment.yml": endpoint_file_kinds.DEPLOYMENT}
"""The files that a stage may have of its own, in a folder of its name."""
BATCH = {"endpoint.yml": batch_file_kinds.BATCH_ENDPOINT, "deployment.yml": batch_file_kinds.BATCH_DEPLOYMENT}
"""The files of batch endpoints, in a folder of their own."""
FILES = {"environment.yml": file_kinds.ENVIRONMENT, "job.yml": file_kinds.JOB, **STAGED}
OPTIONAL = {"monitor.yml": schedule_file_kinds.MONITOR}
"""The files without which there is no such thing: no default stands for them."""
COMPUTES = "compute"
"""The folder with a file for each compute."""
SCHEDULES = "schedules"
"""The folder with a file for each schedule."""
FOLDERS = {
    COMPUTES: file_kinds.COMPUTE,
    pipeline_file_kind.FOLDER: pipeline_file_kind.PIPELINE,
    SCHEDULES: schedule_file_kinds.SCHEDULE,
}
"""The folders whose files are all of one kind, under names that the user chooses."""


@dataclass(frozen=True)
class CheckedFile:
    """A file, or the default that stands for one that is missing."""

    path: Path
    kind: FileKind
    exists: bool
    values: Mapping[str, Any]
    """As written, with each `${NAME}` left as it is: fit to be shown."""
    faults: tuple[FileFault, ...] = ()

    @property
    def completed(self) -> dict[str, Any]:
        """The values and what nbops fills in: what `az ml … create --file` would take."""
        values = {**self.kind.filled_in(self.path), **self.kind.inherited(self.path), **self.values}
        return self.kind.completed(values)


@dataclass(frozen=True)
class CheckedFolder:
    """All files of the folder, their faults in the order of the lines, and the YAML files that nbops does not read."""

    files: tuple[CheckedFile, ...]
    faults: tuple[FileFault, ...]
    unread: tuple[Path, ...]
    parameters: tuple[Path, ...] = ()
    """The files of parameters under production/infra."""


def folder(root: Path) -> Path:
    """Return the folder of a project in which the files lie."""
    return root / "production" / "azure"


def check(root: Path, environ: Mapping[str, str], *, by_sdk: bool = True) -> CheckedFolder:
    """Return the files with all of their faults. The SDK judges only files that have no fault without it.

    Without `by_sdk`, the SDK, which takes seconds to import, is not asked.
    """
    known = dict(_known_files(folder(root)))
    misnamed, unread = _other_files(folder(root), known)
    files = tuple(check_file(path, kind, environ, by_sdk=by_sdk) for path, kind in known.items())
    parameters = tuple(sorted((root / template_files.FOLDER).glob("parameters.*.json")))
    of_parameters = [*parameter_files.shared_prefixes(parameters)]
    if parameters:
        template = template_files.find_template(root)
        schedules = [path.stem for path in known if path.parent.name == SCHEDULES]
        of_parameters += (fault for path in parameters for fault in parameter_files.wake_faults(path, schedules))
        of_parameters += (fault for path in parameters for fault in parameter_files.faults(path, template))
    faults = sorted([*misnamed, *(fault for file in files for fault in file.faults), *of_parameters])
    conda_files = [file.path.parent / str(file.values.get("conda_file")) for file in files]
    return CheckedFolder(files, tuple(faults), tuple(path for path in unread if path not in conda_files), parameters)


def _known_files(place: Path) -> Iterator[tuple[Path, FileKind]]:
    """Yield the files that are read, whether they exist or not."""
    yield from ((place / name, kind) for name, kind in FILES.items())
    for folder_name, kind in FOLDERS.items():
        yield from ((path, kind) for path in sorted((place / folder_name).glob("*.yml")))
    staged = [(place / stage / name, kind) for stage in STAGES for name, kind in STAGED.items()]
    batch = [(place / batch_file_kinds.FOLDER / name, kind) for name, kind in BATCH.items()]
    for path, kind in (*((place / name, kind) for name, kind in OPTIONAL.items()), *staged, *batch):
        if path.exists() or path.is_symlink():
            yield path, kind


def _other_files(place: Path, known: Mapping[Path, FileKind]) -> tuple[list[FileFault], list[Path]]:
    """Return faults of files whose names are nearly right, and the paths of other YAML files."""
    faults, unread = [], []
    folders = (*FOLDERS, batch_file_kinds.FOLDER, *STAGES)
    inside = [path for name in folders for path in (place / name).glob("*")]
    for path in [path for path in sorted((*place.glob("*"), *inside)) if path not in known]:
        if path.is_dir() and path.name not in folders and (nearest := errors.nearest(path.name, folders)):
            faults.append(FileFault(path, 1, "", f"this folder is not read: rename it to {nearest}"))
        elif path.is_file() and path.suffix.lower() in (".yml", ".yaml"):
            names = STAGED if path.parent.name in (batch_file_kinds.FOLDER, *STAGES) else FILES | OPTIONAL
            free = path.parent in [place / name for name in FOLDERS]
            near = path.stem if free else errors.nearest(path.stem, [Path(name).stem for name in names])
            if path.parent.name in STAGES and path.name in FILES | OPTIONAL:
                faults.append(FileFault(path, 1, "", f"a stage has no file of this kind: move it to {place.name}/"))
            elif near:
                faults.append(FileFault(path, 1, "", f"this file is not read: rename it to {near}.yml"))
            else:
                unread.append(path)
    return faults, unread


def valid_values(path: Path, kind: FileKind, root: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a file, or its default, with each `${NAME}` filled in, as they are to be sent.

    Raises UsageError with all faults of the file. The SDK judges it when it makes the request, if it is asked to.
    """
    checked = check_file(path, kind, environ, by_sdk=False)
    if checked.faults:
        raise errors.UsageError("; ".join(fault.shown(root) for fault in checked.faults))
    filled: dict[str, Any] = file_secrets.filled({**kind.inherited(path), **checked.values}, environ)
    return filled


def check_file(path: Path, kind: FileKind, environ: Mapping[str, str], *, by_sdk: bool = True) -> CheckedFile:
    """Return one file with all of its faults, or the default of its kind if there is no such file.

    Without `by_sdk`, the SDK, which takes seconds to import, is not asked.
    """
    if not path.exists() and not path.is_symlink():
        return CheckedFile(path, kind, exists=False, values=kind.default or {})
    file, faults = yaml_file.read(path)
    if file is None:
        return CheckedFile(path, kind, exists=True, values={}, faults=tuple(faults))
    filled = file_secrets.filled(file.values, environ)
    secrets = list(file_secrets.faults(file, environ, kind.written_out))
    lines = {fault.line for fault in secrets}
    others = [*faults, *_own_faults(file, kind, filled, environ)]
    faults = secrets + [fault for fault in others if fault.line not in lines]  # which would show the secret
    if not faults and by_sdk:
        faults += (
            file.fault(_of_file(key_path, file), file_secrets.hidden(f"Azure's SDK refuses it: {text}", file, environ))
            for key_path, text in _refused_by_sdk(path, kind, filled)
        )
    return CheckedFile(path, kind, exists=True, values=file.values, faults=tuple(dict.fromkeys(faults)))


def sdk_refusal(path: Path, error: Exception, environ: Mapping[str, str]) -> errors.UsageError:
    """Return the error for a file that the SDK refuses. It shows no value that a `${NAME}` of the file stands for."""
    found = file_loading.refusals(error)
    texts = "; ".join(f"{'.'.join(map(str, key))}: {text}" if key else text for key, text in found)
    file, _ = yaml_file.read(path)
    shown = file_secrets.hidden(texts, file, environ) if file else texts
    return errors.UsageError(f"{path}: Azure's SDK refuses it: {shown}")


def _own_faults(
    file: YamlFile, kind: FileKind, filled: dict[str, Any], environ: Mapping[str, str]
) -> Iterator[FileFault]:
    """Yield what is wrong with the values of a file, as far as that is known without the SDK."""
    if wrong := file_kinds.wrong_content(kind, filled):
        yield file.fault(*wrong)
        return
    for key, reason in kind.decided.items():
        if key in filled:
            yield file.fault((key,), f"nbops decides it: {reason}; take it out")
    free = {key: value for key, value in filled.items() if key not in kind.decided}
    inherited = {key: value for key, value in kind.inherited(file.path).items() if key not in free}
    completed = kind.completed({**kind.filled_in(file.path), **inherited, **free})
    misfits = list(file_schema.faults(kind.name, completed, written=file.values, decided=kind.decided))
    misfit_paths = {path for path, _ in misfits}
    misfits = [(path, text) for path, text in misfits if not path or path[0] not in inherited]
    rules = kind.rules(file.path, _without({**inherited, **free}, misfit_paths))
    broken = [(path, file_secrets.hidden(text, file, environ)) for path, text in rules if path not in misfit_paths]
    found = [*misfits, *file_kinds.tag_faults(filled), *broken]
    yield from (file.fault(path, text) for path, text in found if not _is_misspelt(path, text, found))


def _is_misspelt(path: KeyPath, text: str, found: list[tuple[KeyPath, str]]) -> bool:
    """Return whether a key is missing because it stands there misspelt, which is a fault of its own."""
    proposals = [(other[:-1], proposed) for other, proposed in found]
    return text.startswith("is missing") and (path[:-1], f"unknown key, did you mean {path[-1]}?") in proposals


def _without(values: Any, misfits: set[KeyPath], path: KeyPath = ()) -> Any:
    """Return the values with None for those that do not fit the schema, so that rules need not look at types."""
    if path in misfits:
        return None
    if isinstance(values, dict):
        return {key: _without(value, misfits, (*path, key)) for key, value in values.items()}
    return values


def _of_file(path: KeyPath, file: YamlFile) -> KeyPath:
    """Return the path of a key as in the file: the SDK puts `value` between a dictionary's key and what is below."""
    found: KeyPath = ()
    for step in path:
        if step != "value" or (*found, step) in file.lines:
            found = (*found, step)
    return found


def _refused_by_sdk(path: Path, kind: FileKind, filled: dict[str, Any]) -> list[tuple[KeyPath, str]]:
    """Return what only the SDK finds. It raises errors of many classes, and what it does not foresee, too."""
    try:
        values = kind.completed({**kind.inherited(path), **filled})
        file_loading.load(kind.name, path, {**values, **kind.stand_in}, kind.filled_in(path))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault of this file
        return file_loading.refusals(error)
    return []
