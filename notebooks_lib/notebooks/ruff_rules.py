"""What notebooks are held to by ruff: rules and families of rules, by their names there."""

from __future__ import annotations

from typing import NamedTuple


class RuffRule(NamedTuple):
    """One rule of ruff, or a family of rules."""

    code: str
    """What ruff selects by; the code in a finding begins with it."""
    what: str
    why: str
    fix: str
    bad: str
    """An example that ruff reports: the source of one code cell."""
    good: str
    convention: bool = False
    """As in `NotebookRule`."""


RULES: tuple[RuffRule, ...] = (
    RuffRule(
        "F821",
        "a name that no earlier cell defines",
        "On a fresh kernel the run fails there.",
        "Define it in an earlier cell; names that the host brings along go into `[check] builtins`.",
        bad="print(frame)",
        good="""\
frame = 3
print(frame)
""",
    ),
    RuffRule(
        "F822",
        "a name in `__all__` that is not defined",
        "`from module import *` fails on it.",
        "Define it, or take it out.",
        bad='__all__ = ["fit"]',
        good="""\
__all__ = ["fit"]
fit = print
""",
    ),
    RuffRule(
        "F823",
        "a local variable that is read before it is assigned",
        "The function fails there.",
        "Assign it first, or give the local variable another name.",
        bad="""\
def f():
    print(x)
    x = 1

x = 2
""",
        good="""\
def f():
    print(x)

x = 2
""",
    ),
    RuffRule(
        "F811",
        "a definition that is replaced before it is used",
        "One of the two has no effect.",
        "Keep one of them.",
        bad="""\
from math import log
from cmath import log
log(2)
""",
        good="""\
from cmath import log
log(2)
""",
    ),
    RuffRule(
        "F401",
        "an import that nothing uses",
        "Readers look for its use, and every run waits for it.",
        "Take it out; `# noqa: F401` keeps an import that has an effect of its own.",
        bad="import os",
        good="""\
import os
os.name
""",
        convention=True,
    ),
    RuffRule(
        "F402",
        "a loop variable that replaces an import",
        "After the loop the import is gone.",
        "Give the loop variable another name.",
        bad="""\
import os
for os in [1]:
    print(os)
""",
        good="""\
for name in [1]:
    print(name)
""",
    ),
    RuffRule(
        "F403",
        "`from module import *`",
        "A reader cannot tell where a name comes from, and undefined names stay unseen.",
        "Import the names that are used.",
        bad="from math import *",
        good="""\
from math import pi
pi
""",
        convention=True,
    ),
    RuffRule(
        "F5",
        "a format string that does not fit its values",
        "It fails, or it leaves values out.",
        "Let placeholders and values agree.",
        bad='"%s and %s" % (1, 2, 3)',
        good='"%s and %s" % (1, 2)',
    ),
    RuffRule(
        "F6",
        "a comparison, assertion or dictionary that does not do what it says",
        "The test is always true or false, or a key is overwritten.",
        "Write what is meant.",
        bad='assert (1 > 2, "never")',
        good='assert 1 < 2, "always"',
    ),
    RuffRule(
        "F7",
        "a statement in a place where it is not allowed",
        "Python refuses the cell, or never gets there.",
        "Move or remove the statement.",
        bad="break",
        good="""\
for x in [1]:
    break
""",
    ),
    RuffRule(
        "PLE",
        "code that fails when it runs",
        "The run fails there, after all the work before it.",
        "Mend the line.",
        bad="""\
"a".strip("abba")
print("x")
""",
        good="""\
"a".strip("ab")
""",
    ),
    RuffRule(
        "B015",
        "a comparison whose result is not used",
        "It has no effect; an assignment or an assertion was probably meant.",
        "Write `assert`, assign the result, or remove the line.",
        bad="""\
x = 1
x == 2
print(x)
""",
        good="""\
x = 1
assert x == 1
print(x)
""",
    ),
    RuffRule(
        "B018",
        "an expression whose value is not used",
        "It has no effect; only the last expression of a cell is shown.",
        "Call it, show it by `display`, or remove the line.",
        bad="""\
x = 1
x
print(x)
""",
        good="""\
x = 1
print(x)
x
""",
    ),
    RuffRule(
        "E402",
        "an import below other code in its cell",
        "Imports tell what a notebook needs; readers look for them at the top.",
        "Move the import to the top of its cell, or to the setup cell.",
        bad="""\
x = 1
import os
print(x, os)
""",
        good="""\
import os
x = 1
print(x, os)
""",
        convention=True,
    ),
)
