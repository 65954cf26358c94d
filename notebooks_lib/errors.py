"""Every error that nbops raises on purpose. It never prints and never exits: the command line does that.

    NbopsError                     a known fault: one line, and what to do next
    ├── UsageError (ValueError)    asked for wrongly; nothing was started (exit 2)
    │   ├── SettingsError          production/settings.toml or an NBOPS_* variable
    │   │   └── NoWorkspaceError       nothing names a workspace of Azure ML
    │   ├── NotebookError          not a notebook, or one that cannot be run as asked
    │   ├── ParameterError         one or more parameters are wrong; carries every problem
    │   ├── InputError             rows sent to a model do not fit its signature; the model was not asked
    │   └── UnknownNameError (LookupError)   no such dataset, model, experiment, endpoint, ...
    ├── TrackingError (RuntimeError)   the tracking store cannot be reached or refuses
    │   └── RunNotWrittenError         a notebook ran, and the store did not take its end
    ├── AzureError (RuntimeError)      Azure cannot be reached, refuses, or an operation in it failed
    │   └── JobWaitingError            a job has not begun in time; it still waits
    ├── DatasetError (ValueError)      a dataset is not what its record says
    │   └── HoldoutError (PermissionError)   the holdout may not be read
    ├── ModelError (RuntimeError)      a model cannot be saved, loaded or registered
    │   └── PredictionError            a model raised while it predicted
    ├── BatchError (RuntimeError)      rows of a table were refused, or its job failed: nothing was written
    ├── EndpointError (RuntimeError)   an endpoint does not start or answer
    ├── KernelError (RuntimeError)     a kernel or its kernelspec cannot be had
    ├── ClusterError (RuntimeError)    the machines for a sweep's trials cannot be reached, or went away
    ├── SweepTakenOverError (RuntimeError)   another process has resumed the sweep that this one was running
    └── PromotionError (RuntimeError)  promotion cannot be carried out (not: the champion was kept)
        └── StageBusyError (UsageError)    another process is changing the stage (exit 2)

A notebook that fails, and a challenger that loses, are values (run_result.Failure, promotion.Decision), not errors.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from notebooks_lib import safe_text


class NbopsError(Exception):
    """A known fault. `str()` is one line that says what was found, what is allowed and what to do."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(safe_text.masked(message))


class UsageError(NbopsError, ValueError):
    """A command or call was wrong. Nothing has been started or changed."""

    exit_code = 2


class SettingsError(UsageError):
    """The settings file or an NBOPS_* variable is wrong."""


class NoWorkspaceError(SettingsError):
    """Neither the settings nor a config.json nor a job names a workspace of Azure ML."""


class OtherKindOfSweepError(UsageError):
    """The sweep to resume is one of the service, and one of nbops itself was asked for, or the other way round."""

    def __init__(self, run_id: str, *, service: bool) -> None:
        self.service = service
        """True if the service proposes the trials of the sweep to resume."""
        way = "give --service and its --on" if service else "leave --service out"
        super().__init__(f"{'Azure ML' if service else 'nbops itself'} proposes the trials of sweep {run_id}: {way}")


class NotebookError(UsageError):
    """A file is not a notebook, or not one that can be run as asked."""


class ParameterError(UsageError):
    """One or more parameters are wrong. `problems` holds a line for each of them."""

    def __init__(self, notebook: str, problems: Sequence[str]) -> None:
        self.notebook = notebook
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{notebook}: {len(self.problems)} parameter problem(s){lines}")


class InputError(UsageError):
    """Rows sent to a model do not fit its signature. The message names the field and what is expected."""


class UnknownNameError(UsageError, LookupError):
    """No such name. The message lists the known names and suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(unknown(kind, name, self.known) + (f"; {hint}" if hint else ""))


class TrackingError(NbopsError, RuntimeError):
    """The tracking store cannot be reached, or refuses a request."""


class RunNotWrittenError(TrackingError):
    """A notebook ran, but the store did not accept its end. `result` has it; the executed notebook is kept."""

    def __init__(self, message: str, result: object) -> None:
        self.result = result
        super().__init__(message)


class AzureError(NbopsError, RuntimeError):
    """Azure cannot be reached, refuses a request, or an operation in it failed.

    `cause` and `step` are the two halves of the message; `status` and `code` are Azure's, if it answered.
    """

    def __init__(self, cause: str, step: str = "", *, status: int | None = None, code: str = "") -> None:
        self.cause = safe_text.masked(cause)
        self.step = step
        self.status = status
        self.code = code
        super().__init__(f"{cause}; {step}" if step else cause)


class JobWaitingError(AzureError):
    """A job has not begun within the time for which it was followed. It is not stopped; `state` is Azure's word.

    Of a `sweep`, no trial has run for that time.
    """

    def __init__(self, job: str, state: str, minutes: float, *, sweep: bool = False) -> None:
        self.state = state
        step = f"to stop it: nbops azure jobs stop {job}"
        if sweep:
            super().__init__(
                f"no trial of sweep {job} has run for {minutes:.3g} min ({state}): look at quota and max_instances;"
                " it is not stopped",
                step,
            )
            return
        step = f"to follow it: nbops azure jobs follow {job}; {step}"
        super().__init__(f"job {job} still waits after {minutes:.3g} min ({state}); it is not stopped", step)


class SweepNotStartedError(AzureError):
    """A sweep of the service has ended before its first trial. It cannot be resumed."""


class JobUncertainError(AzureError):
    """The submission of a job was not answered, so that the job may run or not; `job` is its name."""

    def __init__(self, job: str, cause: str, step: str, *, status: int | None = None) -> None:
        super().__init__(cause, step, status=status)
        self.job = job


class DatasetError(NbopsError, ValueError):
    """The content of a dataset does not match its metadata or its fingerprint."""


class HoldoutError(DatasetError, PermissionError):
    """The holdout may not be read: outside a promotion, or when its uses are spent."""


class ModelError(NbopsError, RuntimeError):
    """A model cannot be saved, loaded, checked or registered."""


class PredictionError(ModelError):
    """A model raised while it predicted rows that fit its signature."""


class BatchError(NbopsError, RuntimeError):
    """A batch was not scored: rows were refused, or its job failed. Nothing was written."""


class EndpointError(NbopsError, RuntimeError):
    """An endpoint cannot be started, or does not answer as it should."""


class KernelError(NbopsError, RuntimeError):
    """A kernel cannot be started, or its kernelspec cannot be written."""


class ClusterError(NbopsError, RuntimeError):
    """The cluster for the trials of a sweep cannot be reached, or was lost."""


class SweepTakenOverError(NbopsError, RuntimeError):
    """Another process has resumed the sweep. This one has stopped its trials and left the sweep's run alone."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"another process has resumed sweep {run_id}: this one has stopped; look for the other one")


class PromotionError(NbopsError, RuntimeError):
    """A promotion cannot be carried out. Keeping the champion is not an error."""


class StageBusyError(PromotionError, UsageError):
    """Another process is changing the stage. Nothing has been started or changed."""


@contextmanager
def as_model_error(message: str) -> Iterator[None]:
    """Turn any other library's exception within the block into a ModelError that begins with `message`."""
    try:
        yield
    except NbopsError:
        raise
    except Exception as error:
        raise ModelError(f"{message}: {type(error).__name__}: {reason(error)}") from error


def reason(error: BaseException, limit: int = 400) -> str:
    """Return the reason in another library's exception as one line; its type when it has no message.

    Libraries put the reason in different places: scikit-learn in a list under the first line, MLflow behind a printed
    table, joblib and papermill below a traceback, pyarrow in several arguments. A line that is still longer than
    `limit` is cut in its middle, because the reason is at either end.
    """
    text = safe_text.uncoloured("; ".join(error.args) if _is_printed_tuple(error) else str(error))
    if isinstance(error, NbopsError):
        return " ".join(text.split()) or type(error).__name__
    _, traceback, below = text.rpartition("Traceback (most recent call last)")
    raised = list(_RAISED.finditer(below)) if traceback else []
    if raised:
        text = below[raised[-1].start() :]
    for marker in _MARKERS:
        text = text.rpartition(marker)[2].strip() or text
    text = _ADVICE.split(text, maxsplit=1)[0]
    stripped = (line.strip() for line in text.splitlines())
    lines = [" ".join(line.split()) for line in stripped if line and not _ASIDE.match(line)]
    sentence, *others = lines or [type(error).__name__]
    while others and len(sentence) + len(others[0]) < limit:
        sentence += f" {others.pop(0)}"
    for preamble in _PREAMBLES:
        sentence = sentence.removeprefix(preamble)
    if others and len(others[-1]) < limit // 2:
        return f"{_cut(sentence, limit - len(others[-1]) - 3)} … {others[-1]}"
    return _cut(sentence, limit)


def _cut(text: str, limit: int) -> str:
    half = (limit - 2) // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


_RAISED = re.compile(r"^[A-Za-z_][\w.]*: (?=.)", re.MULTILINE)
_MARKERS = ("]'. Error: ", "Original error was: ")
"""What precedes the reason: in MLflow data and schema, in NumPy advice on its installation."""
_ADVICE = re.compile(r" You might want to try:\n|\n *Stack trace:\n")
_ASIDE = re.compile(r"(\[SQL: |\[parameters: |\(Background on this error|For further information visit|[-=^~|\s]+$)")
_PREAMBLES = ("Invalid input. ", "Data is not compatible with model signature. ", "CSV parse error: ")


def _is_printed_tuple(error: BaseException) -> bool:
    """Return whether `str` would print several texts as a tuple, as for pyarrow's errors about a column."""
    texts = len(error.args) > 1 and all(isinstance(argument, str) for argument in error.args)
    return texts and str(error) == str(error.args)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message that a `kind` such as "dataset" has no `name`, with the known names and the nearest one."""
    names = sorted(known)
    message = f"unknown {kind} {name!r}"
    match = nearest(name, names)
    if match:
        message += f", did you mean {match!r}?"
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{message} (known: {shown})" if names else f"{message} (there are none)"


_LONGEST_NAME = 1000


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` is most likely a misspelling of, if any."""
    if len(name) > _LONGEST_NAME:
        return None  # comparing megabytes would take hundreds of megabytes
    folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


_BY_NUMBER = {
    errno.ENOSPC: "the disk is full: make room, then do it again",
    errno.EDQUOT: "your share of the disk is used up: make room, then do it again",
    errno.EROFS: "the disk is mounted read-only: mount it writable, or work elsewhere",
    errno.EMFILE: "this process has too many files open: raise the limit (ulimit -n)",
    errno.ENFILE: "this machine has too many files open: end other programs",
    errno.ENOMEM: "the machine has no memory left: end other programs",
    errno.EIO: "the disk does not read or write (I/O error): look at the machine's log",
}
_BY_WORDS = {
    "database or disk is full": _BY_NUMBER[errno.ENOSPC],
    "No space left on device": _BY_NUMBER[errno.ENOSPC],
    "disk I/O error": "the database's disk is full or broken: make room and look at the machine's log",
    "unable to open database file": "the database cannot be opened: its folder must be writable, and its disk not full",
    "attempt to write a readonly database": "the database is read-only: look at the rights of its file and folder",
    "database disk image is malformed": "the database is damaged: move it away and put a backup in its place",
    "file is not a database": "the database is damaged: move it away and put a backup in its place",
    "database is locked": "another program holds the database locked: end it, or wait and do it again",
    "Too many open files": _BY_NUMBER[errno.EMFILE],
}


def machine_fault(error: BaseException) -> str:
    """Return advice for an error of the machine, such as a full disk, in one line; empty for any other error."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in _BY_NUMBER:
            where = f"{link.filename}: " if link.filename else ""
            return where + _BY_NUMBER[link.errno]
        if isinstance(link, MemoryError):
            return _BY_NUMBER[errno.ENOMEM]
        if isinstance(link, OSError) or type(link).__module__.startswith(("sqlite3", "sqlalchemy", "mlflow")):
            for words, advice in _BY_WORDS.items():
                if words in str(link):
                    return advice
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    visited: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in visited:
        visited.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
