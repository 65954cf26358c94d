"""What the SDK says in JSON within prose, and in JSON within that, becomes keys and texts."""

from __future__ import annotations

import json

from notebooks_lib.azure.project_files import file_loading


def test_messages_are_found_by_key_however_deep_they_lie() -> None:
    inner = "Validation for CommandJobSchema failed:\n\n " + json.dumps(
        {"limits": {"timeout": ["Not a valid integer."]}, "size": [{"_schema": ["Not a valid string."]}]}
    )
    outer = "Validation failed:\n\n " + json.dumps({"result": "Failed", "errors": [{"message": f"{inner} \n\n Visit"}]})
    for text in (inner, outer):
        assert file_loading.refusals(ValueError(text)) == [
            (("limits", "timeout"), "Not a valid integer."),
            (("size",), "Not a valid string."),
        ]


def test_any_other_exception_is_its_reason() -> None:
    for text in ("Unsupported job type: x", "{'not': 'JSON'}", "3 things"):
        assert file_loading.refusals(ValueError(text)) == [((), text)]


def test_complaints_about_the_forms_that_a_value_is_not_are_left_out() -> None:
    content = {"mine": {"value": ["nodes is wrong", {"type": ["Value 'ssh' passed is not in set ['vs_code']"]}]}}
    assert file_loading.refusals(ValueError(json.dumps(content))) == [(("mine", "value"), "nodes is wrong")]
    del content["mine"]["value"][0]
    assert len(file_loading.refusals(ValueError(json.dumps(content)))) == 1
