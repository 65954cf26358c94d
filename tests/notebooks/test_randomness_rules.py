"""Randomness is reported where no run can be repeated, and nowhere else."""

from __future__ import annotations

import pytest

from notebooks_lib.notebooks import randomness_rules
from tests.notebooks.building import code, notebook

SPLIT = "from sklearn.model_selection import train_test_split\n"


@pytest.mark.parametrize(
    "source",
    [
        SPLIT + "train_test_split(x)",
        SPLIT + "train_test_split(x, random_state=None)",
        "import sklearn.model_selection as m\nm.KFold(shuffle=True)",
        "from sklearn.ensemble import RandomForestClassifier as Forest\nForest()",
        "import numpy as np\nnp.random.normal()",
        "import numpy as np\nnp.random.default_rng()",
        "from numpy.random import default_rng\ndefault_rng()",
        "import random\nrandom.choice([1])",
        "import random\nrandom.Random()",
        "import random\nrandom.seed()\nrandom.choice([1])",
        "frame.sample(n=3)",
        "frame.sample(frac=0.1)",
    ],
)
def test_chance_without_a_seed_is_reported(source: str) -> None:
    assert len(list(randomness_rules.unseeded(notebook(code(source))))) == 1


@pytest.mark.parametrize(
    "source",
    [
        SPLIT + "train_test_split(x, random_state=seed)",
        SPLIT + "train_test_split(x, shuffle=False)",
        SPLIT + "train_test_split(x, **options)",
        SPLIT + "import numpy as np\nnp.random.seed(1)\ntrain_test_split(x)",
        SPLIT + "set_seed(1)\ntrain_test_split(x)",
        SPLIT + "%run helpers.ipynb\ntrain_test_split(x)",
        "from sklearn.model_selection import KFold\nKFold(5)",
        "from sklearn.linear_model import LogisticRegression\nLogisticRegression()",
        "import numpy as np\nrng = np.random.default_rng(7)\nrng.normal()",
        "import numpy as np\nnp.random.RandomState(seed=7)\nnp.random.Generator(x)",
        "import random\nrandom.Random(7).choice([1])",
        "frame.sample(n=3, random_state=7)",
        "frame.sample(n=3, seed=7)",
        "distribution.sample(3)",
        "from sklearn.mixture import GaussianMixture\nGaussianMixture(1)",
        "import random\nendpoint = 'e-' + str(random.randint(0, 9))",
        "import random, string\nreturned = ''.join(random.choices(string.digits, k=5))",
        "import random\nrand = random.randint(0, 9)",
        "import random\nname = f'e-{random.randint(0, 9)}'",
    ],
)
def test_what_is_seeded_or_draws_nothing_is_not_reported(source: str) -> None:
    assert list(randomness_rules.unseeded(notebook(code(source)))) == []


def test_it_is_one_cause() -> None:
    findings = list(
        randomness_rules.unseeded(notebook(code(SPLIT + "train_test_split(x)"), code("train_test_split(y)")))
    )
    assert [(one.cell, one.line, one.cause) for one in findings] == [(0, 2, "seed"), (1, 1, "seed")]
    assert "random_state" in findings[0].message
