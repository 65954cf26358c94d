"""The table of notebook rules, each with its reason and its fix; `check` applies them and changes nothing.

A cell tagged `nbops-ignore-NB012` is exempt from rule NB012.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from notebooks_lib.notebooks import cleaning, ruff_linter, rule_checks
from notebooks_lib.notebooks.cleaning import Found
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.ruff_linter import HostNames, RuffRule

IGNORE_TAG = "nbops-ignore-"
UNREADABLE = "NB000"


@dataclass(frozen=True)
class NotebookRule:
    """One rule; it reports only what is certain."""

    code: str
    what: str
    """What is reported."""
    why: str
    fix: str
    find: Callable[[Notebook], Found]


@dataclass(frozen=True)
class RuleViolation:
    """One place that breaks a rule; as text `file:cell: CODE message`."""

    path: Path
    cell: int
    """Index from 0; also 0 for what concerns the whole file."""
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.cell}: {self.code} {self.message}"


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB001",
        "outputs in the file",
        "Outputs make diffs unreadable, and carry data into git.",
        "Clear the outputs before you commit; tag a cell `keep_output` if its output is part of the text.",
        cleaning.find_outputs,
    ),
    NotebookRule(
        "NB002",
        "an execution count",
        "Counts change with every run, so every diff shows them.",
        "Clear the outputs before you commit; that clears the counts too.",
        cleaning.find_counts,
    ),
    NotebookRule(
        "NB003",
        "no cell ids, or one id twice",
        "A diff, a merge and nbval follow a cell by its id.",
        "Open and save the notebook in a current JupyterLab or VS Code; that gives every cell an id.",
        cleaning.find_missing_ids,
    ),
    NotebookRule(
        "NB004",
        "another kernel name than python3",
        "A kernel that only one machine has cannot run anywhere else.",
        "Choose the kernel `python3` and save.",
        cleaning.find_odd_kernel,
    ),
    NotebookRule(
        "NB005",
        "not exactly one parameters cell, first of the code",
        "Given values are injected after that cell; what stands before it does not see them.",
        "Tag the first code cell, and only that one, `parameters`.",
        rule_checks.parameters_cell,
    ),
    NotebookRule(
        "NB006",
        "a parameter without annotation",
        "The annotation is the schema: it catches a wrong value before a kernel starts.",
        'Write it as `alpha: float = 1.0`, `model: Literal["a", "b"] = "a"` or the like.',
        rule_checks.annotated,
    ),
    NotebookRule(
        "NB007",
        "a parameter that is no literal",
        "Only a literal can be shown, checked and compared without running the notebook.",
        "Give a literal default, and compute from it in a later cell.",
        rule_checks.literals,
    ),
    NotebookRule(
        "NB008",
        "a default that its own annotation refuses",
        "The same value would be refused if it were given.",
        "Change the default or the annotation.",
        rule_checks.defaults,
    ),
    NotebookRule(
        "NB009",
        "not exactly one title",
        "The title is the question; it names the run and the report.",
        "Begin with one `# Question?`, and use `##` for sections.",
        rule_checks.title,
    ),
    NotebookRule(
        "NB010",
        "a command that installs",
        "It changes the environment of everyone on the machine, and a run cannot be repeated.",
        "Add the package to pyproject.toml and the lock.",
        rule_checks.installs,
    ),
    NotebookRule(
        "NB011",
        "an absolute path of one machine",
        "It exists nowhere else.",
        "Load a dataset by name, or use a path from the notebook's folder.",
        rule_checks.machine_paths,
    ),
    NotebookRule(
        "NB012",
        f"a code cell of more than {rule_checks.LONGEST_CELL} lines",
        "A long cell cannot be read at a glance or rerun in parts.",
        "Split it, with a sentence before each part, or move logic to a module with tests.",
        rule_checks.cell_length,
    ),
    NotebookRule(
        "NB013",
        f"a class, or a function of more than {rule_checks.LONGEST_FUNCTION} lines",
        "Logic in a notebook has no tests and is copied from there.",
        "Move it to a module with tests, and import it.",
        rule_checks.definitions,
    ),
    NotebookRule(
        "NB014",
        "a cell that is not Python",
        "The run would fail there, after all the work before it.",
        "Mend the line.",
        rule_checks.syntax,
    ),
    NotebookRule(
        "NB015",
        "a tracking URI that is set in a cell",
        "Where runs go is a setting; a cell that sets it splits the history.",
        "Take the line out; set tracking.uri in production/settings.toml.",
        rule_checks.tracking_uris,
    ),
    NotebookRule(
        "NB016",
        "a warning filter",
        "It hides the warning that matters, too.",
        "Mend the cause, or filter it in the library beside a comment with the reason.",
        rule_checks.warning_filters,
    ),
    NotebookRule(
        "NB017",
        "an edit of sys.path",
        "It works in one folder only, and hides which module is imported.",
        "Put the module in the notebook's folder or in the installed library.",
        rule_checks.path_edits,
    ),
    NotebookRule(
        "NB018",
        "a name that two cells assign",
        "What a cell does then depends on the order in which cells were run.",
        "Give the second value a name of its own; a name for one cell only begins with `_`.",
        rule_checks.reassigned,
    ),
    NotebookRule(
        "NB019",
        "code that no text leads up to",
        "A reader should know what to look for before seeing it.",
        f"Put a heading or a sentence before it; {rule_checks.MOST_CODE_CELLS_IN_A_ROW} code cells may follow it.",
        rule_checks.prose,
    ),
    NotebookRule(
        "NB020",
        "a range that is not understood",
        "It looks as if values were checked, and they are not.",
        'Write ">0, <=1", "0..1", "[0, 1]" or (0, 1); docs/parameters.md lists all spellings.',
        rule_checks.ranges,
    ),
)


def all_rules() -> tuple[NotebookRule | RuffRule, ...]:
    """Return our own rules, then those of ruff."""
    return (*RULES, *ruff_linter.RULES)


def find_rule(code: str) -> NotebookRule | RuffRule | None:
    """Return the rule, or the family of rules, that a finding with this code belongs to."""
    return next((rule for rule in all_rules() if code.startswith(rule.code)), None)


def check(notebook: Notebook) -> list[RuleViolation]:
    """Apply our own rules. Return the violations, by cell and then by rule."""
    return _in_order(
        notebook,
        (
            RuleViolation(notebook.path, cell, rule.code, message)
            for rule in RULES
            for cell, message in rule.find(notebook)
        ),
    )


def check_with_ruff(notebooks: Sequence[Notebook], host_names: HostNames = lambda _: ()) -> list[RuleViolation]:
    """Apply our own rules and those of ruff, which is called once. Raises UsageError if ruff cannot be relied on."""
    violations: list[RuleViolation] = []
    for notebook, findings in zip(notebooks, ruff_linter.lint(notebooks, host_names), strict=True):
        of_ruff = [
            RuleViolation(
                notebook.path,
                finding.cell,
                "NB014" if finding.code == ruff_linter.SYNTAX else finding.code,
                f"line {finding.line}: {finding.message}",
            )
            for finding in findings
        ]
        violations += _in_order(notebook, [*check(notebook), *of_ruff])
    return violations


def _in_order(notebook: Notebook, violations: Iterable[RuleViolation]) -> list[RuleViolation]:
    """Return the violations by cell and then by rule, without those that a cell's tag excuses."""
    ignored = {(cell.index, tag) for cell in notebook.cells for tag in cell.tags if tag.startswith(IGNORE_TAG)}
    kept = (one for one in violations if (one.cell, IGNORE_TAG + one.code) not in ignored)
    return sorted(kept, key=lambda violation: (violation.cell, violation.code))
