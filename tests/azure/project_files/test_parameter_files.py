"""Parameters of the infrastructure: each fault with its line, before anybody asks Azure."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks_lib.azure.project_files import parameter_files
from notebooks_lib.azure.project_files.parameter_files import TemplateParameter
from tests.azure.emulator.bicep import Place, Template
from tests.azure.test_infrastructure_files import FILES, FOLDER

TEMPLATE = FOLDER / "main.bicep"
GOOD = '{\n "parameters": {\n  "prefix": {"value": "sales"},\n  "stage": {"value": "dev"}\n }\n}\n'


def shown(folder: Path, text: str) -> list[str]:
    file = folder / "parameters.dev.json"
    file.write_text(text)
    return [fault.shown(folder) for fault in parameter_files.faults(file, TEMPLATE)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_parameters_of_a_template_are_those_that_a_parser_finds(file: Path) -> None:
    parsed = Template(file, Place("S", "G", "l", "T", "D"), {}, lambda path: None).content["parameters"]
    found = parameter_files.template_parameters(file.read_text("utf-8"))
    assert found.keys() == parsed.keys()
    for name, each in parsed.items():
        rules = {rule["type"]: rule.get("argument") for rule in each["decorators"]}
        assert found[name] == TemplateParameter(
            each["type"],
            each.get("default") is None,
            tuple(rules.get("allowed", ())),
            rules.get("min_length", rules.get("min_value")),
            rules.get("max_length", rules.get("max_value")),
        )


MODERN = """
@minLength(1)
param subnets array
@maxLength(2) param zones string[]
param zone string? // none: anywhere
param tier 'Basic' | 'Premium'
param size sku = 'small'
param network {
  name: string
} = { name: 'x' }
param more (string | int)[] = []
"""


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("subnets", "[]", ": [] must have at least 1 entries"),
        ("zones", '["1", "2", "3"]', ": ['1', '2', '3'] must have at most 2 entries"),
        ("zones", '"1"', ": '1' is no array: write [], for example"),
        ("zone", "null", ""),
        ("zone", "7", ': 7 is no string: write "text", for example'),
        ("tier", '"Premum"', ": 'Premum' is none of Basic, Premium, did you mean Premium?"),
        ("size", "7", ""),
        ("network", '"x"', ""),
    ],
)
def test_a_template_in_todays_bicep_is_read(tmp_path: Path, name: str, value: str, fault: str) -> None:
    """What only Azure's own compiler knows, it says."""
    template = tmp_path / "main.bicep"
    template.write_text(MODERN)
    declared = parameter_files.template_parameters(MODERN)
    assert [name for name, each in declared.items() if each.required] == ["subnets", "zones", "tier"]
    given = {"subnets": '["a"]', "zones": "[]", "tier": '"Basic"', name: value}
    text = ", ".join(f'"{each}": {{"value": {content}}}' for each, content in given.items())
    file = tmp_path / "parameters.dev.json"
    file.write_text(f'{{"parameters": {{{text}}}}}')
    found = [each.shown(tmp_path) for each in parameter_files.faults(file, template)]
    assert found == ([f"parameters.dev.json:1: {name}{fault}"] if fault else [])


def test_our_own_files_have_no_fault(tmp_path: Path) -> None:
    assert [*parameter_files.shared_prefixes(sorted(FOLDER.glob("parameters.*.json")))] == []
    for stage in ("dev", "test", "prod"):
        assert [*parameter_files.faults(FOLDER / f"parameters.{stage}.json", TEMPLATE)] == []
    assert shown(tmp_path, GOOD) == []
    assert shown(tmp_path, GOOD.replace(" ", "\t")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"prefix"', '"prefx"', "3: prefx: no parameter of main.bicep, did you mean prefix?"),
        ('{"value": "sales"}', '"sales"', '3: prefix: write {"value": "text"}'),
        ('"sales"', "7", '3: prefix: 7 is no string: write "text", for example'),
        ('"sales"', '"nb"', "3: prefix: 'nb' must have at least 3 characters"),
        (
            '"sales"',
            '"Sales"',
            "3: prefix: 'Sales' will not do: write small letters and digits, a letter first: it begins Azure's names",
        ),
        ('"dev"', '"dve"', "4: stage: 'dve' is none of dev, test, prod, did you mean dev?"),
        ('"dev"', '"prod"', "4: stage: 'prod' in the file of stage dev: write dev"),
        ('"dev"}', '"dev"},\n  "keepDeletedDays": {"value": 5}', "5: keepDeletedDays: 5 must be at least 7"),
        (
            '"dev"}',
            '"dev"},\n  "keepDeletedDays": {"value": true}',
            "5: keepDeletedDays: True is no int: write 7, for example",
        ),
        (
            '"dev"}',
            '"dev"},\n  "recoverVault": {"value": "yes"}',
            "5: recoverVault: 'yes' is no bool: write true, for example",
        ),
        (
            '"dev"}',
            '"dev"},\n  "peopleId": {"value": "ada@example.com"}',
            "5: peopleId: 'ada@example.com' will not do: write the object id of a group or user: `az ad group"
            " show --group NAME --query id`",
        ),
        (
            '"dev"}',
            '"dev"},\n  "wakeSchedule": {"value": "a b/c"}',
            "5: wakeSchedule: 'a b/c' will not do: write letters, digits, - and _, a letter or digit first",
        ),
        ('"dev"}', '"dev"},\n  "tags": {"value": {"team": 5}}', '5: tags: team: a tag is text: write {"team": "5"}'),
        ("{\n", "{\n,", "2: is not JSON: Expecting property name enclosed in double quotes"),
        ('"parameters"', '"parameter"', '1: has no parameters: write {"parameters": {"prefix": {"value": "sales"}}}'),
    ],
)
def test_each_fault_names_line_key_and_what_to_write(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert f"parameters.dev.json:{fault}" in shown(tmp_path, GOOD.replace(old, new, 1))


def test_a_required_parameter_that_is_missing_and_a_secret_are_faults(tmp_path: Path) -> None:
    """All but the prefix, which `nbops azure up` makes."""
    (missing,) = shown(tmp_path, '{"parameters": {}}')
    assert missing == "parameters.dev.json:1: stage: is missing: main.bicep needs it"
    key = "AccountKey=" + "a1B2" * 21 + "aa=="
    lines = shown(tmp_path, GOOD.replace("sales", f"DefaultEndpointsProtocol=https;AccountName=x;{key}"))
    assert any("stands in the file" in line for line in lines)


def test_a_key_vault_reference_is_left_to_azure_but_not_what_nbops_reads_itself(tmp_path: Path) -> None:
    reference = '{"reference": {"keyVault": {"id": "x"}, "secretName": "y"}}'
    assert shown(tmp_path, GOOD.replace('"dev"}', f'"dev"}},\n  "registryName": {reference}')) == []
    assert shown(tmp_path, GOOD.replace('{"value": "sales"}', reference)) == [
        'parameters.dev.json:3: prefix: nbops reads it before Azure does: write {"value": "text"}'
    ]


def test_one_prefix_in_two_stages_is_a_fault_of_both(tmp_path: Path) -> None:
    files = [tmp_path / f"parameters.{stage}.json" for stage in ("dev", "prod", "test")]
    for file, prefix in zip(files, ("sales", "other", "sales"), strict=True):
        file.write_text(GOOD.replace("sales", prefix))
    assert [fault.shown(tmp_path) for fault in parameter_files.shared_prefixes(files)] == [
        "parameters.dev.json:3: prefix: 'sales' is that of parameters.test.json: each stage needs its own",
        "parameters.test.json:3: prefix: 'sales' is that of parameters.dev.json: each stage needs its own",
    ]
    files[0].write_text("{")
    files[1].write_text('{"parameters": []}')
    assert [*parameter_files.shared_prefixes(files)] == []
