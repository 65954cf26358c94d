"""The rule about randomness that cannot be repeated: NumPy, the standard library, scikit-learn, pandas."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from notebooks_lib.notebooks import magic_effects
from notebooks_lib.notebooks.document import Notebook
from notebooks_lib.notebooks.notebook_rule import Finding, Findings, NotebookRule

_GENERATORS = {"numpy.random.default_rng", "numpy.random.RandomState", "random.Random"}
"""They take the seed as their first argument."""
_UNIQUE = re.compile(r"(?:^|_)(?:rand|random|suffix|postfix|prefix|name|id|uid|uuid|tag|unique)(?:_|$)", re.IGNORECASE)
_NO_DRAWS = {"bit_generator", "get_bit_generator", "get_state", "getstate", "mtrand", "seed", "set_state", "setstate"}
_FORESTS = "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor IsolationForest"
_SPLITS = "train_test_split ShuffleSplit StratifiedShuffleSplit GroupShuffleSplit RepeatedKFold RepeatedStratifiedKFold"
_CLUSTERS = "KMeans MiniBatchKMeans BisectingKMeans GaussianMixture BayesianGaussianMixture LatentDirichletAllocation"
_FITS = "MLPClassifier MLPRegressor SGDClassifier SGDRegressor BaggingClassifier BaggingRegressor RANSACRegressor"
_SEARCHES = "RandomizedSearchCV HalvingRandomSearchCV RBFSampler GaussianRandomProjection permutation_importance"
_SAMPLES = "resample shuffle make_blobs make_circles make_classification make_moons make_regression"
_DECIDED_BY_CHANCE = set(" ".join((_FORESTS, _SPLITS, _CLUSTERS, _FITS, _SEARCHES, _SAMPLES)).split())
"""Parts of scikit-learn whose result changes with `random_state`; others use it to break ties only."""
_IF_SHUFFLED = {"KFold", "StratifiedKFold", "GroupKFold", "StratifiedGroupKFold"}


def unseeded(notebook: Notebook) -> Findings:
    """Yield calls that draw random numbers, in a notebook that sets no seed.

    A notebook that may set a seed in hidden ways, as by `%run`, has no such findings.
    """
    if any("seed" in _last_name(call.func).lower() and (call.args or call.keywords) for _, call, _ in notebook.calls):
        return
    if magic_effects.may_define_unseen_names(notebook):
        return
    draws = [(cell, call, message) for cell, call, path in notebook.calls if (message := _unseeded(call, path))]
    for cell, call, message in draws:
        if all(call is not node for part in cell.nodes for node in _makes_a_name(part)):
            yield Finding(cell.index, message, call.lineno, "seed")


def _makes_a_name(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of an expression that makes a text, such as a unique suffix: a seed would be wrong there."""
    match node:
        case ast.JoinedStr() | ast.Call(func=ast.Name(id="str") | ast.Attribute(attr="join" | "format")):
            yield from ast.walk(node)
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _UNIQUE.search(name):
            yield from ast.walk(value)


def _unseeded(call: ast.Call, path: str) -> str:
    """Return what is missing; empty if the call draws nothing or is given a seed."""
    words = {word.arg: word.value for word in call.keywords}
    if None in words:  # f(**options)
        return ""
    name = path.rpartition(".")[2] or _last_name(call.func)
    if path in _GENERATORS:
        return "" if call.args or words else f"{path} without a seed"
    if path.startswith(("numpy.random.", "random.")) and name.islower() and name not in _NO_DRAWS:
        return f"{path} without a seed"
    if path.startswith("sklearn.") and _is_decided_by_chance(name, words) and not _is_one(call, words):
        return "" if _is_set(words, "random_state") else f"{name} without random_state"
    is_sample = name == "sample" and not path and isinstance(call.func, ast.Attribute) and {"n", "frac"} & set(words)
    return "sample without random_state" if is_sample and not _is_set(words, "random_state", "seed") else ""


def _is_decided_by_chance(name: str, words: Mapping[str | None, ast.expr]) -> bool:
    shuffle = words.get("shuffle")
    if name in _IF_SHUFFLED:
        return isinstance(shuffle, ast.Constant) and shuffle.value is True
    return name in _DECIDED_BY_CHANCE and not (isinstance(shuffle, ast.Constant) and shuffle.value is False)


def _is_one(call: ast.Call, words: Mapping[str | None, ast.expr]) -> bool:
    """Return whether a single cluster or component is asked for, which leaves nothing to chance."""
    counts = (words.get(name) for name in ("n_components", "n_clusters"))
    return any(isinstance(count, ast.Constant) and count.value == 1 for count in (*call.args[:1], *counts))


def _is_set(words: Mapping[str | None, ast.expr], *names: str) -> bool:
    values = (words[name] for name in names if name in words)
    return any(not (isinstance(value, ast.Constant) and value.value is None) for value in values)


def _last_name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


RULES: tuple[NotebookRule, ...] = (
    NotebookRule(
        "NB029",
        "randomness without a seed",
        "No run can be repeated, and two runs differ for no reason.",
        "Declare a parameter `seed`, and pass it on: `random_state=seed`, `np.random.default_rng(seed)`.",
        unseeded,
        bad="""\
from sklearn.model_selection import train_test_split
train, test = train_test_split(list(range(9)))
""",
        good="""\
from sklearn.model_selection import train_test_split
train, test = train_test_split(list(range(9)), random_state=7)
""",
    ),
)
