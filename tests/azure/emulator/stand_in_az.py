"""A stand-in for the Azure CLI: takes exactly the command lines that nbops and docs/azure-workspace.md use, with pycep for Bicep.

`put_on_path(folder)` makes an `az`. It signs in with the client secret of the environment, and talks to the emulator as
any client does. Who is signed in stands in a file under AZURE_CONFIG_DIR, as with the real one.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.azure.emulator import CLIENT, SUBSCRIPTION, TENANT

ROOT = Path(__file__).parents[3]
MANAGEMENT = "https://management.azure.com"
ACCOUNT = "account.json"
USER = {
    "user": {"name": "somebody@example.com", "type": "user"},
    "tenantId": TENANT,
    "objectId": CLIENT,
}
FLAGS = ("--no-pretty-print", "--no-wait", "--only-show-errors")
SLOW = "STAND_IN_AZ_SLEEPS"
"""A variable: the seconds for which each command sleeps first."""


class Refused(Exception):
    """A command that fails: what it says after `ERROR: `, and its exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        self.code = code
        super().__init__(text)


def put_on_path(folder: Path) -> Path:
    """Make a folder with an `az` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "az"
    # No `exec`: the real one may be a script too, whose child outlives it.
    command = f"PYTHONPATH={shlex.quote(str(ROOT))} {shlex.quote(sys.executable)} -m tests.azure.emulator.stand_in_az"
    program.write_text(f'#!/bin/sh\n{command} "$@"\nexit $?\n')
    program.chmod(0o755)
    return folder


def sign_in(config: Path, subscription: str, name: str = "Development", **other: Any) -> None:
    """Do what `az login` does. `other` replaces parts of `USER`; `reader=True`: somebody who may not deploy."""
    config.mkdir(parents=True, exist_ok=True)
    (config / ACCOUNT).write_text(json.dumps({"id": subscription, "name": name, **USER, **other}))


def run(words: list[str]) -> Any:
    """Run a command and return what it prints."""
    given: dict[str, list[str]] = {}
    names = [word for word in words if word.startswith("-")]
    positional = words[: words.index(names[0])] if names else words
    rest = words[len(positional) :]
    while rest:
        option = rest.pop(0)
        given.setdefault(option, []).extend([] if option in FLAGS else [rest.pop(0)])
    command = " ".join(positional)
    if command not in COMMANDS:
        raise Refused(f"'{command}' is misspelled or not recognized by the system.", 2)
    options, function = COMMANDS[command]
    unknown = given.keys() - set(options.split()) - {"--output", "--only-show-errors"}
    if unknown or given.get("--output", ["json"]) != ["json"]:
        raise Refused(f"unrecognized arguments: {' '.join(sorted(unknown))}", 2)
    return function({name.lstrip("-"): values for name, values in given.items()})


def account() -> dict[str, Any]:
    """Return who is signed in."""
    file = Path(os.environ["AZURE_CONFIG_DIR"]) / ACCOUNT
    if not file.exists():
        raise Refused("Please run 'az login' to setup account.")
    return dict(json.loads(file.read_text()))


def log_in(given: dict[str, list[str]]) -> Any:
    sign_in(Path(os.environ["AZURE_CONFIG_DIR"]), SUBSCRIPTION)
    return [account()]


def get_access_token(given: dict[str, list[str]]) -> Any:
    account()
    return {"accessToken": access_token(given["resource"][0]), "expires_on": int(time.time()) + 3600}


def set_account(given: dict[str, list[str]]) -> None:
    sign_in(Path(os.environ["AZURE_CONFIG_DIR"]), given["subscription"][0])


def ask(method: str, path: str, body: Any = None) -> Any:
    """Send a request to the resource manager."""
    token, headers = access_token(MANAGEMENT), {"Content-Type": "application/json"}
    address = f"{MANAGEMENT}{path}?api-version=2024-01-01"
    data = None if body is None else json.dumps(body).encode()
    request = Request(address, data, headers | {"Authorization": f"Bearer {token}"}, method=method)
    try:
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")
    except HTTPError as problem:
        error = json.loads(problem.read())["error"]
        text = f"({error['code']}) {error['message']}\nCode: {error['code']}\nMessage: {error['message']}"
        raise Refused(text, 3) from problem


@cache
def access_token(resource: str) -> str:
    form = {"grant_type": "client_credentials", "scope": f"{resource}/.default"}
    form |= {"client_id": os.environ["AZURE_CLIENT_ID"], "client_secret": os.environ["AZURE_CLIENT_SECRET"]}
    address = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    with urlopen(address, urlencode(form).encode(), timeout=30) as answer:
        return str(json.loads(answer.read())["access_token"])


def find(path: str) -> Any:
    """Return a document; None if there is none."""
    try:
        return ask("GET", path)
    except Refused as refusal:
        if "ResourceNotFound" in str(refusal):
            return None
        raise


# -- groups and deployments


def group_path(given: dict[str, list[str]]) -> str:
    (name,) = given.get("resource-group") or given["name"]
    return f"/subscriptions/{(given.get('subscription') or [account()['id']])[0]}/resourceGroups/{name}"


def show_group(given: dict[str, list[str]]) -> Any:
    found = find(group_path(given))
    if found is None:
        raise Refused(f"(ResourceGroupNotFound) Resource group '{given['name'][0]}' could not be found.", 3)
    return found


def make_group(given: dict[str, list[str]]) -> Any:
    return ask("PUT", group_path(given), {"location": given["location"][0]})


def template(given: dict[str, list[str]], read: Any) -> Any:
    """Return the template with its parameters; refuse parameters that do not fit."""
    from tests.azure.emulator.bicep import Place, Template

    account(), show_group({"name": given["resource-group"], "subscription": given["subscription"]})
    values: dict[str, Any] = {}
    for each in given["parameters"]:
        if each.startswith("@"):
            content = json.loads(Path(each[1:]).read_text("utf-8"))["parameters"]
            values |= {name: value["value"] for name, value in content.items()}
        else:
            name, _, text = each.partition("=")
            values[name] = {"true": True, "false": False}.get(text, text)
    (subscription,), (group,) = given["subscription"], given["resource-group"]
    location = find(group_path(given)).get("location", "westeurope")
    place = Place(subscription, group, location, account()["tenantId"], account()["objectId"])
    made = Template(Path(given["template-file"][0]), place, values, read)
    if problems := [*made.problems()]:
        outer = "InvalidTemplateDeployment - The template deployment is not valid. See inner errors for details."
        raise Refused(f"{outer}\nInvalidTemplate - Deployment template validation failed: '{problems[0]}'.")
    if account().get("reader") and given.get("validation-level") != ["ProviderNoRbac"]:
        raise Refused(no_right(made))
    return made


def no_right(made: Any) -> str:
    """What Azure says to somebody who may not deploy: arm-template-whatif#135."""
    who = account()["objectId"]
    reasons = [
        f"Authorization failed for template resource '{each.id.rpartition('/')[2]}' of type '{each.type}'. The client"
        f" '{who}' with object id '{who}' does not have permission to perform action '{each.type}/write' at scope"
        f" '{each.id}'."
        for each in made.resources()
    ]
    return f"InvalidTemplateDeployment - Deployment failed with multiple errors: '{':'.join(reasons)}'"


class Reference(dict[str, Any]):
    """What what-if knows of a value that another resource has: nothing. It shows the expression."""

    def __missing__(self, key: str) -> Any:
        return Reference() if key in ("properties", "identity") else f"[reference(resourceId('…')).{key}]"


def what_if(given: dict[str, list[str]]) -> Any:
    changes: list[dict[str, Any]] = []
    for each in template(given, lambda path: Reference()).resources():
        there, change = find(each.id), {"resourceId": each.id, "before": None, "delta": None}
        if there is None:
            changes.append(change | {"changeType": "Create", "after": each.body})
            continue
        delta = [*differences(there, each.body)]
        kind = "Modify" if delta else "NoChange"
        changes.append(change | {"changeType": kind, "before": there, "after": there | each.body, "delta": delta})
    return {"changes": changes, "error": None, "status": "Succeeded"}


def differences(there: Any, wanted: dict[str, Any], path: str = "") -> Any:
    """Yield what-if's entries for the properties that a template declares, and that differ or are not computed."""
    for key, after in wanted.items():
        before, here = there.get(key), f"{path}.{key}" if path else key
        if isinstance(after, dict) and isinstance(before, dict):
            yield from differences(before, after, here)
        elif after is not None and before != after:
            kind = "Create" if before is None else "Modify"
            after = f"[format('{after}')]" if "[reference(" in str(after) and not str(after).startswith("[") else after
            yield {"path": here, "propertyChangeType": kind, "before": before, "after": after, "children": None}


def create(given: dict[str, list[str]]) -> None:
    """Make all resources, in the order of the file; the first that is refused ends the deployment."""
    made, operations, failed = [], [], False
    parsed = template(given, find)
    for each in parsed.resources():
        target = {"id": each.id, "resourceType": each.type, "resourceName": each.id.rpartition("/")[2]}
        state: dict[str, Any] = {"provisioningState": "Succeeded", "targetResource": target}
        try:
            ask("PUT", each.id, each.body)
            made.append(each.id)
        except Refused as refusal:
            code, _, message = str(refusal).partition("\n")[0].removeprefix("(").partition(") ")
            inner = {"code": code, "message": message}
            error = {"code": "ResourceDeploymentFailure", "message": "See details.", "details": [inner]}
            state |= {"provisioningState": "Failed", "statusMessage": {"status": "Failed", "error": error}}
            failed = True
        operations.append({"properties": state})
        if failed:
            break
    outputs = {} if failed else {name: {"type": "String", "value": each} for name, each in parsed.outputs().items()}
    state = {"provisioningState": "Failed" if failed else "Running", "outputs": outputs, "made": made}
    path = f"{group_path(given)}/providers/Microsoft.Resources/deployments/{given['name'][0]}"
    ask("PUT", path, {"properties": {}, "deployment": state})
    ask("PUT", f"{path}/operations", {"list": operations})


def show(given: dict[str, list[str]]) -> Any:
    """Show a deployment, which goes on until each of its resources has come to an end."""
    path = f"{group_path(given)}/providers/Microsoft.Resources/deployments/{given['name'][0]}"
    document = find(path)
    if document is None:
        raise Refused(f"(DeploymentNotFound) Deployment '{given['name'][0]}' could not be found.", 3)
    own = document["deployment"]
    if own["provisioningState"] == "Running":
        states = [(find(each) or {"properties": {}})["properties"].get("provisioningState") for each in own["made"]]
        own["provisioningState"] = (
            "Failed" if "Failed" in states else "Running" if set(states) - {"Succeeded"} else "Succeeded"
        )
        if "Failed" in states:
            target = own["made"][states.index("Failed")]
            steps = ask("GET", f"{path}/operations")
            for each in steps:
                if each["properties"]["targetResource"]["id"] == target:
                    error = {"code": "InternalServerError", "message": "The resource ended as Failed."}
                    each["properties"] |= {"provisioningState": "Failed", "statusMessage": {"error": error}}
            ask("PUT", f"{path}/operations", {"list": steps})
        ask("PUT", path, {"properties": {}, "deployment": own})
    return {"name": given["name"][0], "properties": {key: own[key] for key in ("provisioningState", "outputs")}}


def operations(given: dict[str, list[str]]) -> Any:
    path = f"{group_path(given)}/providers/Microsoft.Resources/deployments/{given['name'][0]}"
    return ask("GET", f"{path}/operations")


def deleted_vaults(given: dict[str, list[str]]) -> Any:
    """List deleted vaults; none for somebody who may not read them, and no error: azure-cli#14091."""
    assert given["resource-type"] == ["vault"]
    path = f"/subscriptions/{given['subscription'][0]}/providers/Microsoft.KeyVault/deletedVaults"
    try:
        return ask("GET", path)["value"]
    except Refused as refusal:
        if "AuthorizationFailed" in str(refusal):
            return []
        raise


DEPLOYMENT = "--subscription --resource-group --name"
FILES = f"{DEPLOYMENT} --template-file --parameters"
COMMANDS: dict[str, tuple[str, Any]] = {
    "login": ("", log_in),
    "account show": ("", lambda given: account()),
    "account set": ("--subscription", set_account),
    "account get-access-token": ("--resource", get_access_token),
    "group show": ("--subscription --name", show_group),
    "group create": ("--subscription --name --location", make_group),
    "deployment group show": (DEPLOYMENT, show),
    "deployment group what-if": (f"{FILES} --no-pretty-print --validation-level", what_if),
    "deployment group create": (f"{FILES} --no-wait", create),
    "deployment operation group list": (DEPLOYMENT, operations),
    "keyvault list-deleted": ("--subscription --resource-type", deleted_vaults),
}
"""Command -> the options that it takes, and what does it."""


if __name__ == "__main__":
    time.sleep(float(os.environ.get(SLOW, 0)))
    try:
        printed = run(sys.argv[1:])
    except Refused as refused:
        sys.stderr.write(f"ERROR: {refused}\n")
        sys.exit(refused.code)
    if printed is not None:
        sys.stdout.write(f"{json.dumps(printed)}\n")
