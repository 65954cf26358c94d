"""Text from outside: no control characters on a terminal, no password anywhere."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebooks_lib import safe_text
from notebooks_lib.errors import EndpointError, ParameterError, TrackingError, UnknownNameError
from notebooks_lib.run_result import Failure

SECRET = "pa55w0rd"
URLS = [
    "http://user:pa55w0rd@127.0.0.1:1",
    "https://pa55w0rd@host/path",
    "postgresql+psycopg2://u:pa55w0rd@db:5432/mlflow?sslmode=require",
    "https://user:p@pa55w0rd@host/x",
    "https://:pa55w0rd@host",
    "https://account.blob.core.windows.net/c?sv=2020&sig=pa55w0rd&se=1",
    "https://host/?token=pa55w0rd",
    "https://host/?a=1&access_token=pa55w0rd#x",
    "https://s3.amazonaws.com/b?X-Amz-Signature=pa55w0rd",
    "git+https://oauth2:pa55w0rd@github.com/a/b.git",
    "('http://u:pa55w0rd@h/', 'no answer')",
    "HTTPS://U:pa55w0rd@H",
    "postgresql://u:pa55w0rd/1@db:5432/mlflow",
    "mysql+pymysql://u:x/pa55w0rd?x#y@db/mlflow",
    "https://host/?a=1&client_secret=pa55w0rd",
    "https://gitlab.example/api?private_token=pa55w0rd",
    "https://host/cb#access_token=pa55w0rd&x=1",
    "https://host/?sas=pa55w0rd",
    "jdbc:postgresql://db/mlflow?user=me&password=pa55w0rd",
    "/container/blob?sv=2020&sig=pa55w0rd",
    "/api?access_token=pa55w0rd",
]


@pytest.mark.parametrize("url", URLS)
def test_no_error_of_ours_shows_a_password(url: str) -> None:
    for error in (
        TrackingError(f"{url} does not answer"),
        EndpointError(f"two: {url} and {url}"),
        UnknownNameError("store", url, [url]),
        ParameterError(url, [url]),
        Failure("error", "ConnectionError", f"{url} does not answer", line=f"connect('{url}')"),
    ):
        assert SECRET not in str(error), str(error)
        assert "***" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/#/runs/1",
        "see https://a/b@c",
        "a@b.c",
        "sqlite:////home/me@work/x.db",
        "azureml://x/y?key_id",
        "http://h:5000/a/me@b.c",
        "http://[::1]:5000/me@b.c",
        "s3://bucket/a:b@c",
        "https://h/?keyword=a&design=b",
        "/?keyword=a&design=b",
        "frame[ready&key=='a']; code=1",
        "frame[ready&token==1]",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert safe_text.masked(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zürich – 東京\t👩‍🔬", "Zürich – 東京\t👩‍🔬"),
        ("a\nFORGED", r"a\x0aFORGED"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202etxt.exe", r"a\u202etxt.exe"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("\x00\x7f\r", r"\x00\x7f\x0d"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_moves_a_cursor_is_escaped(text: str, shown: str) -> None:
    assert safe_text.printable(text) == shown


def test_a_long_text_is_masked_soon() -> None:
    began = time.process_time()
    text = "http://h " + "a" * 300_000
    assert safe_text.masked(text) == text
    assert safe_text.masked("x://" * 100_000).startswith("x://")
    assert safe_text.masked("?a=" * 100_000).startswith("?a=")
    assert time.process_time() - began < 5


@given(st.text())
def test_whatever_is_shown_is_one_line_that_can_be_written(text: str) -> None:
    shown = safe_text.printable(text)
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    shown.encode()
