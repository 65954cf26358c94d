"""A secret works wherever a str works, and shows itself nowhere."""

import copy
import json
import logging
import pickle

import pytest

from notebooks_lib import SecretStr, notebooks, secret
from notebooks_lib.errors import UsageError

TOKEN = SecretStr("s3cret")


def test_notebooks_of_version_0_1_import_the_same_from_elsewhere():
    assert (notebooks.SecretStr, notebooks.secret) == (SecretStr, secret)


def test_a_secret_is_a_str_for_libraries():
    assert TOKEN == "s3cret"
    assert "Bearer " + TOKEN == "Bearer s3cret"
    assert TOKEN.encode() == b"s3cret"
    assert "".join([TOKEN]) == "s3cret"
    assert json.dumps(TOKEN) == '"s3cret"'
    assert {TOKEN: 1}["s3cret"] == 1
    assert (len(TOKEN), bool(SecretStr(""))) == (6, False)
    assert TOKEN.get_secret_value() == "s3cret"
    assert type(TOKEN.get_secret_value()) is str


def test_a_secret_is_masked_wherever_python_shows_it(capsys, caplog):
    print(TOKEN, [TOKEN], {"a": TOKEN}, (TOKEN,))
    logging.getLogger("x").warning("token %s %r", TOKEN, TOKEN)
    shown = (
        capsys.readouterr().out
        + caplog.text
        + repr(TOKEN)
        + str(TOKEN)
        + f"{TOKEN!r}{TOKEN!s}{TOKEN}{TOKEN:>8}"
        + "%s" % TOKEN  # noqa: UP031
    )
    assert "s3cret" not in shown
    assert "**********" in shown


def test_ipython_shows_a_secret_masked():
    pretty = pytest.importorskip("IPython.lib.pretty")
    assert "s3cret" not in pretty.pretty(TOKEN) + pretty.pretty([TOKEN])


@pytest.mark.parametrize("again", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_copies_are_secrets_too(again):
    other = again(TOKEN)
    assert type(other) is SecretStr
    assert other == "s3cret"


def test_secret_reads_the_variable_that_is_named(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    found = secret("MY_TOKEN")
    assert isinstance(found, SecretStr)
    assert found == "s3cret"
    assert secret(found) is found
    with pytest.raises(UsageError, match="NOT_THERE"):
        secret("NOT_THERE")


def test_pydantic_takes_the_secret():
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        token: pydantic.SecretStr

    assert Model(token=TOKEN).token.get_secret_value() == "s3cret"
