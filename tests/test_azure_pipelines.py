"""The steps of Azure DevOps' pipelines, run from their files: what they write to a pull request, and what they refuse."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from notebooks_lib.project_root import find_root
from notebooks_lib.review import figure_files
from notebooks_lib.review.markdown_report import LIMIT, MARKER, MOST_FIGURES, to_markdown
from tests.azure_devops_server import BUILD_SERVICE, LONGEST_COMMENT, RETRY_AFTER, PullRequest, serve
from tests.git_commands import commit, git, make_repository
from tests.review.reviews import EXAMPLE, PIXEL

ROOT = find_root(Path(__file__))
PIPELINES = ROOT / ".ci"
SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "a-token-that-nobody-may-see"
FIGURE = figure_files.file_name(PIXEL)
AGENT = {
    "SYSTEM_TEAMPROJECTID": "project-id",
    "SYSTEM_PULLREQUEST_PULLREQUESTID": "3",
    "SYSTEM_PULLREQUEST_ISFORK": "False",
    "SYSTEM_PULLREQUEST_SOURCECOMMITID": SHA,
    "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/release/1",
    "BUILD_REPOSITORY_PROVIDER": "TfsGit",
    "BUILD_REPOSITORY_ID": "repository-id",
    "BUILD_BUILDID": "7",
    "PATH": os.environ["PATH"],
}
"""What the agent gives to each step."""


def pipeline(name: str) -> dict[str, Any]:
    content = yaml.safe_load((PIPELINES / f"{name}.yml").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    missing = [tool for tool in ("curl", "jq") if not shutil.which(tool)]
    if missing:
        assert "CI" not in os.environ, f"{missing} write the comments"
        warnings.warn(f"{missing} missing: nobody checked Azure DevOps' comments; apt install curl jq", stacklevel=1)
        pytest.skip("apt install curl jq")
    with serve() as running:
        yield running


@pytest.fixture
def pull(server: Any) -> PullRequest:
    server.pull = PullRequest(SHA, TOKEN)
    return server.pull


def write_report(folder: Path, text: str | bytes, *, attempt: int = 1, figures: tuple[bytes, ...] = ()) -> None:
    """What the pipeline downloads of the first stage."""
    place = folder / f"review-{attempt}"
    (place / "figures").mkdir(parents=True)
    (place / "report.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    for figure in figures:
        (place / "figures" / figure_files.file_name(figure)).write_bytes(figure)


def comment(server: Any, folder: Path, code: int = 0, **agent: str) -> str:
    """Run the commenting step as the agent does: bash, with its variables and those of the file; return its output."""
    (job,) = pipeline("azure-pipelines-pull-request")["stages"][1]["jobs"]
    assert job["steps"] == [{"template": "azure-steps-comment.yml", "parameters": {"marker": MARKER}}]
    sources, download, step = pipeline("azure-steps-comment")["steps"]
    assert (sources, download["download"]) == ({"checkout": "none"}, "current"), "nothing of the pull request runs here"
    environment = {**AGENT, **step["env"], "SYSTEM_ACCESSTOKEN": TOKEN, "RETRIES": "1", "MARKER": MARKER, **agent}
    assert step["env"]["SYSTEM_ACCESSTOKEN"] == "$(System.AccessToken)"
    assert step["env"]["MARKER"] == "${{ parameters.marker }}"
    environment |= {
        "SYSTEM_COLLECTIONURI": f"http://127.0.0.1:{server.server_port}/organization/",
        "PIPELINE_WORKSPACE": str(folder),
    }
    command = ["bash", "--noprofile", "--norc", "-c", step["bash"]]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done
    assert done.stderr == ""
    assert done.stdout.count("\n") <= 1, "one line says what happened"
    assert TOKEN not in done.stdout + " ".join(server.pull.requests)
    return done.stdout


def written(pull: PullRequest) -> str:
    (thread,) = pull.threads
    (only,) = thread["comments"]
    return str(only["content"])


def test_the_first_comment_has_marker_commit_page_and_text(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    write_report(tmp_path, f"{MARKER}\n\n### q.ipynb\n\n@ $(id) `id` ${{HOME}} ##vso[task.complete]\n")
    assert comment(server, tmp_path) == ""
    uri = f"http://127.0.0.1:{server.server_port}/organization/"
    assert written(pull) == (
        f"{MARKER}\n\nCommit 01234567 · [page with figures]({uri}project-id/_build/results?buildId=7&view=artifacts"
        "&type=publishedArtifacts)\n\n\n### q.ipynb\n\n@ $(id) `id` ${HOME} ##vso[task.complete]\n"
    )
    assert pull.threads[0]["status"] == "closed", "a policy that waits for open comments does not wait for it"


def test_the_second_report_edits_the_comment(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    pull.comment("talk", "reviewer")
    own = pull.comment(f"{MARKER}\n\nold")
    write_report(tmp_path, "old", attempt=2)
    write_report(tmp_path, "new", attempt=10)  # the first stage was run again
    comment(server, tmp_path)
    assert len(pull.threads) == 2
    assert own["content"].endswith("\n\nnew\n")


def test_a_foreign_comment_with_our_marker_is_left_alone(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    pull.comment(f"{MARKER}\n\nAll is well, merge it.", "stranger")
    pull.comment(f"Quoted: {MARKER}")
    pull.comment(f"{MARKER}\n\ndeleted", isDeleted=True)
    pull.threads.append({"id": 7, "comments": [{"id": 1, "author": {"id": BUILD_SERVICE}, "isDeleted": True}]})
    write_report(tmp_path, "new")
    comment(server, tmp_path)
    contents = [thread["comments"][0].get("content", "").splitlines()[-1:] for thread in pull.threads]
    assert contents == [["All is well, merge it."], [f"Quoted: {MARKER}"], ["deleted"], [], ["new"]]


def test_figures_are_attached_once_and_shown(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    report = to_markdown(EXAMPLE, figures="figures")
    write_report(tmp_path, report, figures=(PIXEL,))
    pull.attachments["figure.png"] = ("reviewer", b"another")
    comment(server, tmp_path)
    comment(server, tmp_path)
    assert pull.attachments[f"nbops-{FIGURE}"] == (BUILD_SERVICE, PIXEL)
    assert sum(request.startswith("POST") and "/attachments/" in request for request in pull.requests) == 1
    address = f"http://127.0.0.1:{server.server_port}/organization/project-id/_apis/git/repositories/repository-id"
    assert set(re.findall(r"!\[\w+\]\((.*?)\)", written(pull))) == {
        f"{address}/pullRequests/3/attachments/nbops-{FIGURE}"
    }
    other = PIXEL + b"\n"  # the next run's figure of the same cell
    pull.threads.clear()
    shutil.rmtree(tmp_path / "review-1")
    write_report(tmp_path, f"![after](figures/{figure_files.file_name(other)})\n", figures=(other,))
    comment(server, tmp_path)
    assert len(pull.attachments) == 3
    assert f"attachments/nbops-{figure_files.file_name(other)})" in written(pull)


@pytest.mark.parametrize("fault", ["other content", "no image", "a link", "missing", "somebody's file"])
def test_a_figure_that_is_not_what_its_name_says_is_not_shown(
    server: Any, pull: PullRequest, tmp_path: Path, fault: str
) -> None:
    content = b"<svg/>" if fault == "no image" else PIXEL
    name = figure_files.file_name(content)
    write_report(tmp_path, f"| ![before](figures/{name}) | ![after](figures/../x.png) |\n", figures=(content,))
    file = tmp_path / "review-1" / "figures" / name
    if fault == "other content":
        file.write_bytes(PIXEL + b"x")
    elif fault == "a link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif fault == "missing":
        file.unlink()
    elif fault == "somebody's file":
        pull.attachments[f"nbops-{name}"] = ("stranger", b"another figure")
    comment(server, tmp_path)
    assert written(pull).endswith("\n| before: in the page | after: in the page |\n")
    assert len(pull.attachments) == int(fault == "somebody's file")


def test_a_fork_gets_no_comment_and_its_token_is_not_used(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    write_report(tmp_path, "text")
    assert "a fork's pull request gets no comment" in comment(server, tmp_path, SYSTEM_PULLREQUEST_ISFORK="True")
    assert pull.requests == []


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ({"SYSTEM_ACCESSTOKEN": ""}, "has no token"),
        ({"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"}, "has no token"),
        ({"SYSTEM_ACCESSTOKEN": "expired"}, "does not accept the token of this run (203)"),
    ],
)
def test_without_a_token_that_counts_the_step_is_red(
    server: Any, pull: PullRequest, tmp_path: Path, agent: dict[str, str], message: str
) -> None:
    write_report(tmp_path, "text")
    assert message in comment(server, tmp_path, 1, **agent)
    assert not pull.threads


@pytest.mark.parametrize("change", ["completed", "abandoned", "pushed since", "no number", "on GitHub"])
def test_without_an_open_pull_request_at_this_commit_nothing_is_written(
    server: Any, pull: PullRequest, tmp_path: Path, change: str
) -> None:
    write_report(tmp_path, "text")
    if change == "pushed since":
        pull.commit = SHA[::-1]
    elif change in ("completed", "abandoned"):
        pull.status = change
    agents = {
        "no number": {"SYSTEM_PULLREQUEST_PULLREQUESTID": ""},
        "on GitHub": {"BUILD_REPOSITORY_PROVIDER": "GitHub"},
    }
    assert ": no comment" in comment(server, tmp_path, **agents.get(change, {}))
    assert not pull.threads
    assert {request.split()[0] for request in pull.requests} <= {"GET"}


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ("GET /organization/project-id", 401, "does not accept the token"),
        ("GET /organization/project-id", 404, "no such pull request"),
        ("POST /organization", 403, "lacks the permission 'Contribute to pull requests'"),
        ("POST /organization", 409, "at the same time"),
        ("POST /organization", 400, "answered 400: TF401027: You need the Git permission."),
        ("/threads", 403, "lacks the permission"),
    ],
)
def test_an_error_of_azure_devops_is_one_line_and_red(
    server: Any, pull: PullRequest, tmp_path: Path, request_: str, status: int, message: str
) -> None:
    write_report(tmp_path, "text")
    pull.faults[request_] = deque([status] * 9)
    line = comment(server, tmp_path, 1)
    assert line.startswith("##vso[task.logissue type=error]")
    assert message in line
    assert str(status) in line
    assert not pull.threads


def test_too_many_requests_are_asked_again_as_late_as_azure_devops_says(
    server: Any, pull: PullRequest, tmp_path: Path
) -> None:
    assert RETRY_AFTER <= 1, "this test waits for it"
    write_report(tmp_path, "text")
    pull.faults["GET /organization/project-id"] = deque([429])
    comment(server, tmp_path)
    assert written(pull).endswith("\n\ntext\n")
    pull.faults["GET /organization/project-id"] = deque([429] * 9)
    assert "also after 1 retries (429)" in comment(server, tmp_path, 1)


def test_a_server_that_is_away_is_one_line(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    write_report(tmp_path, "text")
    with serve() as other:
        port = other.server_port
    server_away = type("Away", (), {"server_port": port, "pull": pull})
    assert "Azure DevOps cannot be reached: curl: " in comment(server_away, tmp_path, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 150_000, "takes 150000"),
        (b"x" * 700_000, "too long"),
        (b"\xff\xfeh\x00", "not UTF-8"),
        ("\ud800".encode("utf-8", "surrogatepass"), "not UTF-8"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_short_text_is_refused(
    server: Any, pull: PullRequest, tmp_path: Path, content: bytes, message: str
) -> None:
    write_report(tmp_path, content)
    assert message in comment(server, tmp_path, 1)
    assert not pull.threads


def test_the_longest_report_with_all_its_figures_fits(server: Any, pull: PullRequest, tmp_path: Path) -> None:
    digests = [hashlib.sha256(bytes([number])).hexdigest()[:16] for number in range(2 * MOST_FIGURES)]
    lines = [f"![after](figures/{digest}.png)\n" for digest in digests]
    write_report(tmp_path, "".join(lines) + "\N{SNOWMAN}" * (LIMIT - len("".join(lines))))
    comment(server, tmp_path)
    longest = f"https://dev.azure.com/{'o' * 50}/{'0' * 36}/_apis/git/repositories/{'0' * 36}/pullRequests/1234567/attachments/nbops-"
    assert len(written(pull)) + 2 * MOST_FIGURES * len(longest) < LONGEST_COMMENT


@pytest.mark.parametrize("kind", ["none", "a link"])
def test_a_run_without_a_report_is_noted(server: Any, pull: PullRequest, tmp_path: Path, kind: str) -> None:
    if kind == "a link":
        (tmp_path / "review-1").mkdir()
        (tmp_path / "review-1" / "report.md").symlink_to("/etc/hostname")
    assert "the run left no report: no comment" in comment(server, tmp_path)
    assert pull.requests == []


def test_the_review_is_of_the_head_against_the_target_branch(tmp_path: Path) -> None:
    """The agent has checked out the trial merge."""
    origin = make_repository(tmp_path / "origin")
    (origin / "Makefile").write_text("review: ; @echo $(BASE) `git rev-parse HEAD` `git rev-parse $(BASE)`\n")
    base = commit(origin)
    git(origin, "branch", "release/1")
    git(origin, "switch", "--quiet", "-c", "topic")
    head = commit(origin)
    merge = commit(origin, "trial merge")
    git(tmp_path, "clone", "--quiet", str(origin), "sources")
    (job,) = [job for job in pipeline("azure-pipelines-pull-request")["stages"][0]["jobs"] if job["job"] == "review"]
    assert job["steps"][0]["parameters"] == {"fetchDepth": "0"}
    script = "\n".join(step["bash"] for step in job["steps"][1:3])
    environment = {**AGENT, "SYSTEM_PULLREQUEST_SOURCECOMMITID": head}
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path / "sources",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split()[-3:] == ["origin/release/1", head, base]
    assert head != merge


def test_the_summary_has_no_image_that_cannot_be_shown(tmp_path: Path) -> None:
    (job,) = [job for job in pipeline("azure-pipelines-pull-request")["stages"][0]["jobs"] if job["job"] == "review"]
    (script,) = [step["bash"] for step in job["steps"] if "uploadsummary" in step.get("bash", "")]
    run = {"cwd": tmp_path, "env": AGENT, "capture_output": True, "text": True, "check": True, "timeout": 60}
    assert subprocess.run(["bash", "-ec", script], **run).stdout == ""
    (tmp_path / ".nbops" / "review").mkdir(parents=True)
    (tmp_path / ".nbops" / "review" / "report.md").write_text(to_markdown(EXAMPLE, figures="figures"))
    line = subprocess.run(["bash", "-ec", script], **run).stdout
    assert line == f"##vso[task.uploadsummary]{tmp_path}/.nbops/review/summary.md\n"
    assert "![" not in (tmp_path / ".nbops" / "review" / "summary.md").read_text()


def test_only_the_commenting_job_has_the_token_and_all_jobs_end(tmp_path: Path) -> None:
    setup = pipeline("azure-steps-setup")["steps"]
    assert setup[0]["persistCredentials"] == "false"
    pull_request, nightly = pipeline("azure-pipelines-pull-request"), pipeline("azure-pipelines-nightly")
    assert pull_request["pr"]["autoCancel"] == "true"
    assert "System.AccessToken" not in str(pull_request["stages"][0]) + str(nightly) + str(setup)
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text("utf-8")))
    jobs = [job for stage in pull_request["stages"] for job in stage["jobs"]] + nightly["jobs"]
    for job in jobs:
        assert int(job["timeoutInMinutes"])
        for step in job["steps"]:
            for line in re.findall(r"(?m)^make (\w+)", step.get("bash", "")):
                assert line in targets
            assert "$(" not in re.sub(r"\$\((?!System|Build|Agent|Pipeline)", "", step.get("bash", "")), (
                "no macro in code"
            )
    assert {
        pipeline(name)["pool"]["vmImage"] for name in ("azure-pipelines-pull-request", "azure-pipelines-nightly")
    } == {"ubuntu-24.04"}


def test_a_night_is_the_same_as_on_github() -> None:
    github = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text("utf-8"))["jobs"]
    there = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in github.items()}
    del there["issue"]  # Azure DevOps itself writes to those who follow a pipeline
    here = {
        job["job"]: [step["bash"] for step in job["steps"] if "bash" in step]
        for job in pipeline("azure-pipelines-nightly")["jobs"]
    }
    assert here == there


def test_who_may_read_azure_and_who_may_deploy() -> None:
    """The forecast is asked for by a connection that may read; the deployment waits for the environment's approval."""
    look, comment, deploy = pipeline("azure-pipelines-infra")["stages"]
    assert "'PullRequest'), ne(variables['System.PullRequest.IsFork'], 'True')" in look["condition"]
    assert deploy["condition"] == "ne(variables['Build.Reason'], 'PullRequest')"
    assert "System.AccessToken" not in str(pipeline("azure-pipelines-infra"))
    (job,) = look["jobs"]
    (deployment,) = deploy["jobs"]
    assert deployment["environment"] == "azure-${{ parameters.stage }}"
    scripts = []
    for steps in (job["steps"], deployment["strategy"]["runOnce"]["deploy"]["steps"]):
        (task,) = [step["inputs"] for step in steps if step.get("task") == "AzureCLI@2"]
        scripts.append((task["azureSubscription"], task["inlineScript"]))
    assert scripts == [
        ("nbops-azure-reader", "make infra"),
        ("nbops-azure-${{ parameters.stage }}", "make infra DEPLOY=--yes STAGE=${{ parameters.stage }}"),
    ]
    (written,) = comment["jobs"][0]["steps"]
    assert written["parameters"]["marker"] != MARKER, "the review's comment stays"
