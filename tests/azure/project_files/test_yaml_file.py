"""What is wrong with the YAML itself is one fault with its line; what can be read is read, with the line of each key."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.azure.project_files import yaml_file


def _read(tmp_path: Path, content: str | bytes) -> tuple[yaml_file.YamlFile | None, list[str]]:
    path = tmp_path / "job.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file, faults = yaml_file.read(path)
    return file, [fault.shown(tmp_path).removeprefix("job.yml:") for fault in faults]


def test_each_key_and_item_has_its_line(tmp_path: Path) -> None:
    file, faults = _read(
        tmp_path, "# a note\nresources:\n  instance_type: Standard_DS3_v2\n  locations:\n    - a\n    - b\n"
    )
    assert file is not None
    assert not faults
    assert file.values == {"resources": {"instance_type": "Standard_DS3_v2", "locations": ["a", "b"]}}
    assert dict(file.lines) == {
        ("resources",): 2,
        ("resources", "instance_type"): 3,
        ("resources", "locations"): 4,
        ("resources", "locations", 0): 5,
        ("resources", "locations", 1): 6,
    }


def test_aliases_and_merged_keys_are_read_as_azures_tools_read_them(tmp_path: Path) -> None:
    file, faults = _read(tmp_path, "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n")
    assert file is not None
    assert not faults
    assert file.values == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


UNREADABLE = {
    "": "1: is empty: write at least one key",
    "# only a note\n": "1: is empty",
    "- a\n- b\n": "1: holds no keys",
    "a: 1\n  b: 2\n": "2: is no YAML here (mapping values are not allowed here)",
    "a:\n\tb: 2\n": "2: is indented with a tab: use spaces",
    'a: "x\nb: 2\n': "3: is no YAML here",
    "a: [1, 2\nb: 3\n": "2: is no YAML here",
    "a: 1\n---\nb: 2\n": "2: begins a second document with `---`",
    "a: 1\nb: \x07\n": "2: has a character that YAML does not allow (number 7)",
    "a: *nothing\n": "1: is no YAML here (found undefined alias 'nothing')",
    "a: &a\n  b: *a\n": "is nested more than 30 deep, or refers to itself",
    "a: " + "[" * 600: "1: is nested more than 30 deep",
    "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"b{n}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(8)): "holds more than",
    "a: " + "x" * 300_000: "1: has 300,003 characters, 200,000 is the most",
}


@pytest.mark.parametrize("content", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_file_that_cannot_be_read_is_one_fault(tmp_path: Path, content: str) -> None:
    file, faults = _read(tmp_path, content)
    assert file is None
    assert len(faults) == 1
    assert UNREADABLE[content] in faults[0]
    assert "\n" not in faults[0]


def test_another_encoding_a_folder_and_a_missing_file_are_faults(tmp_path: Path) -> None:
    assert _read(tmp_path, b"a: \xe9\n")[1] == ["1: is not UTF-8 text: save it as UTF-8"]
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "nothing.yml", "No such file or directory")):
        file, faults = yaml_file.read(path)
        assert (file, [fault.text for fault in faults]) == (None, [f"cannot be read: {reason}"])


def test_a_time_without_quotes_is_the_text_that_it_is(tmp_path: Path) -> None:
    file, faults = _read(tmp_path, "end_time: 2027-01-31T06:00:00\n")
    assert file is not None
    assert (file.values, faults) == ({"end_time": "2027-01-31T06:00:00"}, [])


READABLE = {
    "a: 1\nb: 2\na: 3\n": "3: a: is given twice, first in line 1: take one out",
    "1: a\n": '1: 1: this key is no text to YAML: write "1" in quotes',
    "env:\n  on: a\n": '2: on: this key is no text to YAML: write "on" in quotes',
    "[a, b]: 1\n": "1: has a list or a mapping as a key",
    "a: 2026-01-31\n": '1: a: is a date to YAML: write it in quotes: "2026-01-31"',
    "a: 2026-99-99\n": '1: a: YAML cannot read this value as a date: write it in quotes: "2026-99-99"',
    "a: !!python/object:os.system x\n": '1: a: YAML cannot read this value as `os.system`: write it in quotes: "x"',
    "a: 22:30\n": '1: a: is 1350 to YAML: write 1350, or "22:30" in quotes',
    "a: 1.10\n": '1: a: is 1.1 to YAML: write 1.1, or "1.10" in quotes',
    "a: 012\n": '1: a: is 10 to YAML: write 10, or "012" in quotes',
    "a: !!binary aGk=\n": '1: a: is binary to YAML: write it in quotes: "aGk="',
}


@pytest.mark.parametrize("content", READABLE, ids=range(len(READABLE)))
def test_a_value_that_is_not_what_it_looks_like_is_a_fault_and_the_rest_is_read(tmp_path: Path, content: str) -> None:
    file, faults = _read(tmp_path, content + "rest: 7\n")
    assert file is not None
    assert file.values["rest"] == 7
    assert len(faults) == 1
    assert faults[0].startswith(READABLE[content])
