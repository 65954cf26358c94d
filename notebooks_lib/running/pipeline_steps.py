"""The commands of a pipeline's steps: those of nbops are recognised, and completed so that a job finds nbops."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from notebooks_lib.azure.assets import snapshot
from notebooks_lib.azure.project_files import pipeline_file_kind
from notebooks_lib.settings import Settings
from notebooks_lib.stages import STAGES

_QUOTED_OR_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(^|[\s;&|()])#[^\n]*""", re.DOTALL)
"""A `#` begins a comment where a word of the shell could begin."""
_NAMES_NBOPS = re.compile(rf"\b{pipeline_file_kind.PROGRAM}\b")
_EXPRESSION = re.compile(r"\$\{\{[^}]*\}\}")
_OPERATORS = "();<>|&\n"
_REDIRECTIONS = re.compile(r"[<>]&?|>>|<<<?|&>>?|<>|>\|")
_BEFORE_COMMAND = frozenset(("!", "{", "if", "then", "elif", "else", "while", "until", "do", "time"))
"""Words of the shell after which a command begins."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_REUSABLE = "run"
"""The one command whose answer follows from its step: Azure may take it from an earlier pipeline."""


@dataclass(frozen=True)
class NbopsCommand:
    """One command of nbops in a step, as words of a shell; `${{…}}` is a word like any other."""

    words: tuple[str, ...]

    @property
    def subcommand(self) -> str:
        """Such as "run"."""
        return self.words[1]

    @property
    def notebooks(self) -> tuple[str, ...]:
        """The notebooks that it names."""
        return tuple(word for word in self.words if word.endswith(".ipynb"))

    def option(self, name: str) -> str:
        """Return the last value of an option, as of `--stages dev` or `--stages=dev`; empty without one."""
        values = [word.removeprefix(f"{name}=") for word in self.words if word.startswith(f"{name}=")]
        values += [value for word, value in zip(self.words, self.words[1:], strict=False) if word == name]
        return values[-1] if values else ""


@dataclass(frozen=True)
class StepCommand:
    """The command of a step: the lines that a shell gets."""

    text: str
    commands: tuple[NbopsCommand, ...]
    """Those of nbops in it, wherever a command of the shell begins."""
    is_single: bool
    """Whether the shell runs one command."""
    fault: str = ""
    """Why its commands are not known, although it names nbops, and what to do."""

    @classmethod
    def of(cls, step: Mapping[str, Any]) -> StepCommand:
        """Return the command of a step."""
        text = str(step.get("command") or "").replace("\\\n", " ").strip()
        plain = _QUOTED_OR_COMMENT.sub(r"\1\2", _EXPRESSION.sub("EXPRESSION", text))
        try:
            commands = list(_shell_commands(plain))
        except ValueError as error:
            fault = f"its command cannot be split into words ({error}): close its quotes, also those in a here-document"
            return cls(text, (), is_single=False, fault=fault if _NAMES_NBOPS.search(plain) else "")
        ours = [each for each in map(_without_prefix, commands) if each[:1] == [pipeline_file_kind.PROGRAM]]
        of_nbops = tuple(NbopsCommand(tuple(words)) for words in ours if len(words) > 1)
        return cls(text, of_nbops, is_single=len(commands) == 1)

    @property
    def is_ours(self) -> bool:
        """Whether it runs nbops."""
        return bool(self.commands)

    @property
    def always_runs(self) -> bool:
        """Whether its result may differ although nothing of the step has changed: it looks at more than its inputs.

        A single `nbops run` is taken from an earlier pipeline, as are steps without nbops.
        """
        return self.is_ours and not (self.is_single and self.commands[0].subcommand == _REUSABLE)

    @property
    def notebooks(self) -> tuple[str, ...]:
        """The notebooks that its commands of nbops name."""
        return tuple(notebook for command in self.commands for notebook in command.notebooks)

    def completed(self) -> str:
        """Return what the shell of a job gets: with nbops taken out of the snapshot, if the step runs it.

        A single command replaces the shell, so that a signal reaches it.
        """
        if not self.is_ours:
            return self.text
        module, program = "python -m notebooks_lib", f"{pipeline_file_kind.PROGRAM} "
        if self.is_single and self.text.startswith(program) and "$(" not in self.text and "`" not in self.text:
            return f"{snapshot.unpack_command()} && exec {module} {self.text.removeprefix(program)}"
        return f'{snapshot.unpack_command()} && nbops() {{ {module} "$@"; }} && {self.text}'


def step_faults(steps: Mapping[str, StepCommand], settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each step that cannot be run as a part of a pipeline, and what to write.

    That is one whose commands of nbops are not known, and one that promotes to an endpoint that would be gone as soon
    as the step ends.
    """
    yield from ((name, step.fault) for name, step in steps.items() if step.fault)
    for name, command in ((name, command) for name, step in steps.items() for command in step.commands):
        if command.subcommand != "promote" or "--live" not in command.words:
            continue
        named = command.option("--stages").split(",") if command.option("--stages") else settings.stages.default
        for stage in map(str.strip, named):
            if stage in STAGES and settings.stages.of(stage).target == "local":
                yield (
                    name,
                    f"stage {stage} is served on the machine that promotes, which a step loses at its end: write"
                    f' endpoint = "azureml:" under [stages.{stage}] in production/settings.toml, or take --live out',
                )


def _shell_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of the shell. Raises ValueError for a text that the shell cannot split."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    for token in lexer:
        if token and set(token) <= set(_OPERATORS) and not _REDIRECTIONS.fullmatch(token):
            if words:
                yield words
            words = []
        else:
            words.append(token)
    if words:
        yield words


def _without_prefix(words: list[str]) -> list[str]:
    """Return a command without the variables and the words of the shell before it."""
    for place, word in enumerate(words):
        if word not in _BEFORE_COMMAND and not _ASSIGNMENT.fullmatch(word):
            return words[place:]
    return []
