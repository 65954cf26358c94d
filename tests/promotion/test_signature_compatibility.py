"""Whether one model can take another's place."""

from __future__ import annotations

import pytest

from notebooks_lib.promotion.signature_compatibility import missing_signature, signature_conflict


def column(name: str, kind: str = "double", **more):
    return {"name": name, "type": kind, "required": True, **more}


def model(*inputs, gives: str = "double"):
    return {"inputs": list(inputs), "outputs": [{"type": gives, "required": True}], "params": None}


OLD = model(column("age"), column("rooms", "long"))


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        model(column("rooms", "long"), column("age")),
        model(column("age"), column("rooms", "double")),
        model(column("age"), column("rooms", "long"), column("roof", required=False)),
        model(column("age", required=False), column("rooms", "long")),
        model(column("age"), column("rooms", "long"), gives="float"),
    ],
    ids=["same", "order", "wider", "optional", "may be missing", "another number"],
)
def test_a_compatible_signature_has_no_conflict(new):
    assert signature_conflict(OLD, new) == ""


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (model(column("age"), column("rooms", "long"), column("roof")), "it needs 'roof'"),
        (model(column("age")), "it does not take 'rooms'"),
        (model(column("age", "long"), column("rooms", "long")), "its input 'age' is long, the champion's is double"),
        (model(column("age"), column("rooms", "string")), "'rooms' is string"),
        (model(column("age"), column("rooms", "long"), gives="string"), "it gives string, the champion double"),
        ({**OLD, "outputs": OLD["outputs"] * 2}, "it gives double, double"),
        ({"inputs": None, "outputs": None, "params": None}, "no inputs and no outputs"),
        (None, "no inputs and no outputs"),
    ],
)
def test_an_incompatible_signature_names_the_conflict(new, says):
    assert says in signature_conflict(OLD, new)


def test_an_optional_input_must_stay_optional():
    old = model(column("age", required=False))
    assert "must not be missing" in signature_conflict(old, model(column("age")))


def test_an_unknown_champion_is_a_conflict():
    assert "the champion's is unknown" in signature_conflict(None, OLD)


def test_tensors_must_be_equal():
    def tensor(size):
        spec = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, size]}}
        return {"inputs": [spec], "outputs": [spec], "params": None}

    assert signature_conflict(tensor(3), tensor(3)) == ""
    assert "float64[-1, 4]" in signature_conflict(tensor(3), tensor(4))
    assert missing_signature(tensor(3)) == ""
