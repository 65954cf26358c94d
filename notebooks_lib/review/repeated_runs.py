"""Several runs of one notebook that differ in nothing, or in the parameter `seed` alone; and the text they put out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from notebooks_lib import errors
from notebooks_lib.notebooks import document, parameter_schema
from notebooks_lib.notebooks.cell_outputs import read_text
from notebooks_lib.review.run_record import INSERTED
from notebooks_lib.run_result import RunResult
from notebooks_lib.running.plan import NotebookPlanner, Plan
from notebooks_lib.tags import Tag
from notebooks_lib.tracking import query, store
from notebooks_lib.tracking.store import Store

SEED = "seed"
POOL = 1000
"""Seeds that are considered: learned ones come first, the rest are for verifications."""

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
"""Where Python shows an object that has no repr of its own, as in "<make_column_selector object at 0x7f…>"."""

RunPlan = Callable[[Plan, Store], RunResult]
"""Runs a planned notebook, with whatever limits and progress the caller wants."""


class RepeatedNotebook:
    """A notebook to be run several times with its defaults. The runs differ at most in the parameter `seed`."""

    def __init__(self, planner: NotebookPlanner, run: RunPlan) -> None:
        name = planner.notebook.path.name
        if injected := parameter_schema.read_injected(planner.notebook):
            raise errors.UsageError(
                f"{name}: holds values that a run injected ({', '.join(injected)}): bands are of a notebook's own "
                "defaults; name the notebook that was run, or take that cell out"
            )
        self.planner = planner
        self._run = run
        self.seeds = seeds_of(planner.schema)

    @cached_property
    def store(self) -> Store:
        """The store in which the runs are tracked; it is connected at first use."""
        return store.connect(self.planner.settings)

    @property
    def source_fingerprint(self) -> str:
        """The present source fingerprint of the notebook, with the first seed."""
        start = self.planner.plan(self._given(0)).start
        assert start is not None
        return start.source_fingerprint

    def run(self, places: Sequence[int], *, purpose: str) -> tuple[RunResult, ...]:
        """Run the notebook once for each index into `seeds`; stop after the first run that does not finish.

        `purpose` is written to a tag on each run.
        """
        results = []
        for place in places:
            plan = self.planner.plan(self._given(place), tags={Tag.VERIFY: purpose})
            results.append(self._run(plan, self.store))
            if results[-1].status != "FINISHED":
                break
        return tuple(results)

    def datasets(self, result: RunResult) -> Mapping[str, str]:
        """Return dataset name -> "name@version#fingerprint" for the datasets that a run used."""
        return query.get_run(self.store, result.run_id).datasets if result.run_id else {}

    def _given(self, place: int) -> dict[str, object]:
        return {SEED: self.seeds[place]} if self.seeds else {}


def seeds_of(schema: parameter_schema.Schema) -> tuple[int, ...]:
    """Return values that the parameter `seed` allows, its default first; none if there is no such parameter."""
    parameter = schema.find(SEED)
    if parameter is None:
        return ()
    default = parameter.default
    first = default if isinstance(default, int) and not isinstance(default, bool) else 0
    candidates = itertools.chain(range(first, first + POOL), range(max(0, first - POOL), first))
    allowed = (seed for seed in candidates if not parameter.problem(seed))
    return tuple(itertools.islice(allowed, POOL))


def first_failed(runs: Sequence[RunResult]) -> RunResult | None:
    """Return the first run that did not finish; None if all did."""
    return next((run for run in runs if run.status != "FINISHED"), None)


@dataclass(frozen=True)
class CellText:
    """The text outputs of one cell."""

    cell: str
    """Its index and id, as "cell 4 (model)"."""
    text: str


def cell_texts(result: RunResult) -> tuple[CellText, ...]:
    """Return the text outputs of each code cell, without the run's id and addresses of objects.

    Cells are counted as in the author's notebook.
    """
    assert result.output is not None, "only the notebook of a job may be missing"
    executed = document.read(result.output)
    own_cells = [cell for cell in executed.cells if not INSERTED.intersection(cell.tags)]
    texts = []
    for index, cell in enumerate(own_cells):
        if cell.kind == "code":
            text = _ADDRESS.sub("at …", read_text(executed, cell))
            if result.run_id:
                text = text.replace(result.run_id, "")
            texts.append(CellText(f"cell {index} ({cell.name})", text))
    return tuple(texts)


def unsteady_cells(results: Sequence[RunResult]) -> tuple[str, ...]:
    """Return the cells whose text outputs differ between runs that should be equal."""
    by_run = [cell_texts(result) for result in results]
    return tuple(same[0].cell for same in zip(*by_run, strict=True) if len({output.text for output in same}) > 1)
