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

_EXPRESSION = re.compile(r"\$\{\{[^}]*\}\}")
_OPERATORS = set("();<>|&")
_ALWAYS = ("data", "promote", "rollback", "endpoint", "history", "gate")
"""Commands whose answer depends on more than their step: Azure must not take it from an earlier pipeline."""


@dataclass(frozen=True)
class StepCommand:
    """The command of a step, as words of a shell; `${{…}}` are words like any others."""

    text: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, step: Mapping[str, Any]) -> StepCommand:
        """Return the command of a step. One that the shell could not split has no words."""
        text = str(step.get("command") or "").replace("\\\n", " ").strip()
        try:
            words = shlex.split(_EXPRESSION.sub("EXPRESSION", text))
        except ValueError:
            words = []
        return cls(text, tuple(words))

    @property
    def subcommand(self) -> str:
        """The command of nbops, such as "run"; empty for a step that runs something else."""
        is_ours = len(self.words) > 1 and self.words[0] == pipeline_file_kind.PROGRAM
        return self.words[1] if is_ours else ""

    @property
    def always_runs(self) -> bool:
        """Whether its result may differ although nothing of the step has changed."""
        return self.subcommand in _ALWAYS

    @property
    def notebooks(self) -> tuple[str, ...]:
        """The notebooks that it names."""
        return tuple(word for word in self.words if word.endswith(".ipynb")) if self.subcommand else ()

    def option(self, name: str) -> str:
        """Return the last value of an option, as of `--stages dev` or `--stages=dev`; empty without one."""
        values = [word.removeprefix(f"{name}=") for word in self.words if word.startswith(f"{name}=")]
        values += [value for word, value in zip(self.words, self.words[1:], strict=False) if word == name]
        return values[-1] if values else ""

    def completed(self) -> str:
        """Return what the shell of a job gets: with nbops taken out of the snapshot, if the step runs it.

        A single command replaces the shell, so that a signal reaches it.
        """
        if not self.subcommand:
            return self.text
        module = "python -m notebooks_lib"
        rest = self.text.removeprefix(pipeline_file_kind.PROGRAM)
        if "\n" in self.text or _has_operators(self.text):
            return f'{snapshot.unpack_command()} && nbops() {{ {module} "$@"; }} && {self.text}'
        return f"{snapshot.unpack_command()} && exec {module}{rest}"


def _has_operators(text: str) -> bool:
    lexer = shlex.shlex(_EXPRESSION.sub("EXPRESSION", text), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    return any(token and set(token) <= _OPERATORS for token in lexer)


def local_stages(commands: Mapping[str, StepCommand], settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each step that promotes to an endpoint that would be gone as soon as the step ends, and what to write."""
    for name, command in commands.items():
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
