"""Changed notebooks in the history of a git repository, and the facts of each: lines, ids, moves, CPU time."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.rebuilding import content, rebuilt_head
from notebooks_lib import errors
from notebooks_lib.git_repository import GitRepository
from notebooks_lib.notebooks import document
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_diff import NotebookDiff, compare_notebooks


@dataclass(frozen=True)
class ChangedNotebook:
    """A notebook before and after one commit."""

    repository: Path
    path: str
    base_blob: str
    head_blob: str

    @property
    def base(self) -> bytes:
        return self._content(self.base_blob)

    @property
    def head(self) -> bytes:
        return self._content(self.head_blob)

    @property
    def git_lines(self) -> int:
        """Added and deleted lines, as `git diff` has them."""
        command = ["git", "-C", str(self.repository), "diff", "--numstat", self.base_blob, self.head_blob]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        added, deleted = text.split("\t")[:2]
        return int(added) + int(deleted)

    def _content(self, blob: str) -> bytes:
        content = next(GitRepository(self.repository).blobs([blob]))
        return content or b""


def history(repository: Path) -> Iterator[ChangedNotebook]:
    """Yield each changed notebook of all commits once, oldest first; merges and changes of mode left out."""
    command = ["git", "-C", str(repository), "log", "--reverse", "--no-merges", "--diff-filter=MR", "--format="]
    options = ["--raw", "-z", "--no-abbrev", "HEAD", "--", "*.ipynb"]
    done = subprocess.run([*command, "-M", *options], capture_output=True, check=False)
    if done.returncode:  # a clone without large files, which git reads to find what was renamed
        done = subprocess.run([*command, "--no-renames", *options], capture_output=True, check=True)
    known = set()
    fields = iter(done.stdout.decode("utf-8", "replace").split("\0"))
    for item in fields:
        if not item.startswith(":"):
            continue
        _, _, base, head, state = item.split(" ")
        path = next(fields)
        path = next(fields) if state.startswith("R") else path
        if base != head and (base, head) not in known:
            known.add((base, head))
            yield ChangedNotebook(repository, path, base, head)


@dataclass
class Facts:
    """What is known about one changed notebook."""

    change: ChangedNotebook
    git_lines: int
    source_lines: int
    ids: Literal["both", "neither", "some"]
    cells_with_ids: int
    """Cells whose text did not change, with an id on both sides."""
    kept_ids: int
    strayed_ids: int
    """Ids of both sides that are not on the two cells of one pair, where the pair's texts are unlike."""
    moved: int
    whole: bool
    seconds: float
    """CPU time to read both files, pair the cells and find the lines."""
    size: int
    _diff: NotebookDiff | None = field(default=None, repr=False)

    @property
    def diff(self) -> NotebookDiff:
        assert self._diff is not None
        return self._diff

    def forget(self) -> None:
        """Drop the diff: thousands of them would not fit into memory."""
        self._diff = None


def examine(change: ChangedNotebook) -> Facts | None:
    """Diff one changed notebook; None when either side is no notebook."""
    base_content, head_content = change.base, change.head
    began = time.process_time()
    try:
        base, head = (document.parse(Path(change.path), content) for content in (base_content, head_content))
    except errors.NotebookError:
        return None
    diff = compare_notebooks(base, head)
    hunks = [hunk for one in diff.changes for hunk in one.hunks()]
    seconds = time.process_time() - began
    pairs = [(one.base, one.head) for one in diff.cells if one.base and one.head]
    same = [(one, other) for one, other in pairs if one.source == other.source and one.id and other.id]
    sides = [bool(cell.id) for notebook in (base, head) for cell in notebook.cells]
    heads = {other.id: other.index for _, other in pairs if other.id}
    return Facts(
        change=change,
        git_lines=change.git_lines,
        source_lines=sum(line.mark != " " for hunk in hunks for line in hunk.lines),
        ids="both" if sides and all(sides) else "some" if any(sides) else "neither",
        cells_with_ids=len(same),
        kept_ids=sum(one.id == other.id for one, other in same),
        strayed_ids=sum(heads.get(one.id, other.index) != other.index for one, other in pairs if one.id),
        moved=sum(one.moved for one in diff.cells),
        whole=is_whole(diff),
        seconds=seconds,
        size=len(base_content) + len(head_content),
        _diff=diff,
    )


def is_whole(diff: NotebookDiff) -> bool:
    """Whether every cell is in the diff once, the head comes out of it, and what is not source is not in it."""
    base, head = diff.base, diff.head
    once = [one.head.index for one in diff.cells if one.head] == list(range(len(head.cells)))
    once &= sorted(one.base.index for one in diff.cells if one.base) == list(range(len(base.cells)))
    changes = json.loads(json.dumps(diff.as_json()))["cells"]
    rebuilt = rebuilt_head(base.cells, changes) == [content(cell) for cell in head.cells]
    return once and rebuilt and not any(compare_notebooks(head, other).changes for other in (head, noisy(head)))


def noisy(notebook: Notebook) -> Notebook:
    """The same source with new ids, other outputs, other counts, and metadata that editors write."""
    raw: dict[str, Any] = copy.deepcopy(dict(notebook.raw))
    raw |= {"metadata": {**raw.get("metadata", {}), "widgets": {}, "vscode": {"x": 1}}}
    raw |= {"nbformat": 4, "nbformat_minor": 5}
    for number, cell in enumerate(raw["cells"]):
        cell["id"] = f"new-{number}"
        metadata = cell.get("metadata")
        cell["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "ExecuteTime": {"start_time": "now"}}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": "new"}], "execution_count": 99}
    return document.parse(notebook.path, json.dumps(raw).encode())
