"""The library's structure: one name for one thing, tests where a reader looks for them, and a front door that stays."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import notebooks_lib

TESTS = Path(__file__).parent
LIBRARY = Path(notebooks_lib.__file__).parent
FRONT_DOOR = {
    *(
        "Gate",
        "Metric",
        "Run",
        "SecretStr",
        "Tag",
        "compare",
        "connect",
        "datasets",
        "metrics",
        "query",
        "run",
        "secret",
    ),
    "tracking",
}
MODULES = {path.relative_to(LIBRARY).with_suffix(""): path for path in LIBRARY.rglob("*.py") if path.stem != "__init__"}
COMMANDS = Path("cli")
"""A command may bear the name of what it shows."""


def test_the_front_door_offers_what_notebooks_rely_on() -> None:
    assert set(notebooks_lib.__all__) == FRONT_DOOR
    stub = ast.parse((LIBRARY / "__init__.pyi").read_text("utf-8"))
    assert {
        alias.asname or alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    } == (FRONT_DOOR)
    for name in FRONT_DOOR:
        assert getattr(notebooks_lib, name) is not None


def test_importing_the_front_door_imports_nothing_else() -> None:
    code = "import sys, notebooks_lib; print([name for name in sys.modules if name.startswith('notebooks_lib.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_notebooks_import_from_the_front_door_only() -> None:
    for folder in ("experimentation", "production"):
        for path in (LIBRARY.parent / folder).glob("*.ipynb"):
            assert "from notebooks_lib." not in path.read_text("utf-8"), path


def test_pages_tell_of_the_front_door_only() -> None:
    for path in [LIBRARY.parent / "README.md", *(LIBRARY.parent / "docs").glob("*.md")]:
        assert "from notebooks_lib." not in path.read_text("utf-8"), path


def test_no_two_modules_share_a_name() -> None:
    places = defaultdict(list)
    for module in MODULES:
        if module.parts[0] != "cli":
            places[module.name].append(str(module))
    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}


def test_no_two_public_classes_share_a_name() -> None:
    places = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(module))
    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}


ACROSS = {
    "azure/test_azure_recovery",
    "azure/test_distribution",
    "azure/test_emulator",
    "azure/test_emulator_endpoints",
    "azure/test_emulator_jobs",
    "azure/test_emulator_pipelines",
    "azure/test_emulator_resource_group",
    "azure/test_emulator_sweeps",
    "azure/test_infrastructure_files",
    "azure/test_jobs_loop",
    "azure/test_request_shapes",
    "azure/test_retraining_loop",
    "azure/test_service_sweep_loop",
    "azure/test_sweeps_loop",
    "azure/test_tracking_facade",
    "azure/test_whole_journey",
    "azure/test_whole_loop",
    "cli/test_local_commands",
    "azure/test_workspace_loop",
    "kernels/test_conformance",
    "kernels/test_kills",
    "release/test_azure_release",
    "release/test_notebook",
    "release/test_under_load",
    "review/test_whole_review",
    "running/test_chaos",
    "running/test_ends",
    "running/test_papermill_parity",
    "running/test_styles",
    "serving/test_attacks",
    "serving/test_proofs",
    "serving/test_secrets_and_faults",
    "sweeps/test_chaos",
    "test_azure_pipelines",
    "test_docs",
    "test_docs_commands",
    "test_environment",
    "test_house",
    "test_jupyterlab",
    "test_machine",
    "test_notebooks",
    "test_version_0_1",
    "test_workflows",
}
"""Test files about a package or the whole, not one module. Their first line says what about."""


TESTED_IN = {
    "azure/project_files/batch_file_kinds": "azure/endpoints/test_batch_endpoint",
    "azure/project_files/endpoint_file_kinds": "azure/project_files/test_file_check",
    "azure/project_files/file_faults": "azure/project_files/test_file_check",
    "azure/project_files/file_kinds": "azure/project_files/test_file_check",
    "azure/project_files/stage_files": "azure/project_files/test_file_check",
    "cli/azure_down": "cli/test_azure_infrastructure",
    "cli/azure_jobs": "azure/test_jobs_loop",
    "cli/ci_plan": "cli/test_ci",
    "cli/data_collected": "serving/collected/test_collected_data",
    "cli/data_newer": "models/test_unseen_data",
    "cli/git_setup": "cli/test_clean",
    "cli/job_output": "azure/test_jobs_loop",
    "cli/notebook_paths": "cli/test_check",
    "cli/profile": "serving/profile/test_profiler",
    "cli/project_files": "cli/test_init",
    "cli/sweep_on_service": "azure/test_service_sweep_loop",
    "cli/sweep_output": "cli/test_sweep",
    "datasets/asset_store": "datasets/test_dataset_store",
    "datasets/canonical_types": "datasets/test_table_hashing",
    "datasets/dataset": "datasets/test_loader",
    "datasets/dataset_metadata": "datasets/test_dataset_store",
    "datasets/fresh_holdout": "datasets/test_holdout_budget",
    "datasets/holdout_ledger": "datasets/test_holdout_budget",
    "datasets/holdout_shift": "datasets/test_data_quality",
    "datasets/machine_store": "datasets/test_workspace_transfer",
    "datasets/training_rows": "datasets/test_run_datasets",
    "datasets/version_check": "datasets/test_dataset_store",
    "datasets/version_files": "datasets/test_dataset_store",
    "datasets/version_lookup": "datasets/test_workspace_transfer",
    "kernels/benchmark": "cli/test_kernels",
    "kernels/forkable_command": "kernels/test_kernelspec_managers",
    "kernels/forked_process": "kernels/test_template_client",
    "kernels/inherited_state": "kernels/test_conformance",
    "kernels/kernel_app": "kernels/test_conformance",
    "kernels/kernelspec_install": "kernels/test_kernelspec_managers",
    "kernels/preload_placeholders": "kernels/test_conformance",
    "models/dataset_lineage": "datasets/test_run_datasets",
    "models/flavors": "models/test_logged_models",
    "models/model_folder": "models/test_model_files",
    "models/predict_method": "models/test_fast_scorer",
    "models/prediction_json": "models/test_fast_scorer",
    "models/served_model": "models/test_fast_scorer",
    "models/trusted_flavors": "models/test_model_files",
    "notebooks/cell_outputs": "review/test_figure_changes",
    "notebooks/check_options": "cli/test_check",
    "notebooks/cleanliness_rules": "notebooks/test_notebook_rules",
    "notebooks/code_rules": "notebooks/test_notebook_rules",
    "notebooks/container_types": "notebooks/test_parameter_schema",
    "notebooks/notebook_rule": "notebooks/test_notebook_rules",
    "health_check": "cli/test_doctor",
    "notebooks/parameter_rules": "notebooks/test_notebook_rules",
    "notebooks/parameter_types": "notebooks/test_parameter_schema",
    "notebooks/readability_rules": "notebooks/test_notebook_rules",
    "notebooks/ruff_rules": "notebooks/test_notebook_rules",
    "notebooks/tracking_rules": "notebooks/test_notebook_rules",
    "notebooks/type_annotations": "notebooks/test_parameter_schema",
    "parent_process": "serving/profile/test_resource_limits",
    "promotion/evidence": "promotion/test_decision",
    "promotion/gain_rules": "promotion/test_decision",
    "promotion/holdout_power": "promotion/test_paired_gain",
    "promotion/holdout_rules": "promotion/test_decision",
    "promotion/policy": "promotion/test_guardrails",
    "promotion/scores_figure": "promotion/test_table_formatting",
    "release/approval": "release/test_canary_deployment",
    "release/golden": "release/test_promotion_pipeline",
    "release/pending_approval": "release/test_canary_deployment",
    "release/rollback": "release/test_canary_deployment",
    "release/rollout_dry_run": "release/test_gate",
    "release/stage_requirements": "release/test_gate",
    "release/traffic_and_champion": "release/test_canary_deployment",
    "release/version_deployment": "release/test_promotion_pipeline",
    "review/figure_files": "review/test_markdown_report",
    "review/markdown_text": "review/test_markdown_report",
    "review/report_text": "review/test_markdown_report",
    "review/run_record": "review/test_run_comparison",
    "running/cell_usage_table": "running/test_executed_notebook_writer",
    "running/engine": "running/test_runner",
    "running/ipython_startup_fixes": "running/test_kernel_messages",
    "running/job_run": "azure/test_distribution",
    "running/notebook_page": "running/test_executed_notebook_writer",
    "running/orphan_processes": "running/test_ends",
    "running/output_widget": "running/test_output_limits",
    "running/outcome": "running/test_ends",
    "running/plan": "running/test_runner",
    "secret_forms": "notebooks/test_secret_rules",
    "serving/access_log": "serving/test_app",
    "serving/asgi_requests": "serving/test_app",
    "serving/azure_session": "serving/test_azure_counts",
    "serving/batch/batch_parts": "serving/batch/test_azure_batch",
    "serving/batch/batch_request": "serving/batch/test_local_batch",
    "serving/body_complexity": "serving/test_attacks",
    "serving/connection_limits": "serving/test_attacks",
    "serving/http_client": "serving/test_secrets_and_faults",
    "serving/load_check": "serving/test_local_endpoint",
    "serving/local_endpoint_changes": "serving/test_endpoint",
    "serving/local_endpoint_folder": "serving/test_local_endpoint",
    "serving/local_status": "serving/test_local_endpoint",
    "serving/mirror": "serving/test_slots",
    "serving/model_loading": "serving/test_local_endpoint",
    "serving/openapi": "serving/test_app",
    "serving/profile/profile_child_processes": "serving/profile/test_resource_limits",
    "serving/profile/profiled_server_main": "serving/profile/test_profiler",
    "serving/profile/results": "serving/profile/test_recommendation",
    "serving/prometheus": "serving/test_app",
    "serving/server": "serving/test_local_endpoint",
    "serving/server_launch": "serving/test_local_endpoint",
    "serving/server_process": "serving/test_local_endpoint",
    "serving/uvicorn_setup": "serving/test_secrets_and_faults",
    "serving/wait_for_reload": "serving/test_local_endpoint",
    "settings/sections": "settings/test_project",
    "sweeps/azure/tracking_check": "azure/test_service_sweep_loop",
    "sweeps/azure/trial_job": "sweeps/azure/test_job_executor",
    "sweeps/azure/waiting_trials": "sweeps/azure/test_job_executor",
    "sweeps/dask/worker": "sweeps/dask/test_dask_executor",
    "sweeps/open_trials": "sweeps/test_earlier_trials",
    "sweeps/service_sweep": "azure/test_service_sweep_loop",
    "sweeps/service_waiting": "azure/test_service_sweep_loop",
    "sweeps/sweep_file": "sweeps/test_sweep_request",
    "sweeps/trial_runner": "sweeps/test_sweep",
    "sweeps/trial_source": "sweeps/test_earlier_trials",
    "text_values": "datasets/test_column_kinds",
    "tracking/child_run_context": "running/test_styles",
    "tracking/lock_claim": "release/test_shared_stage_changes",
    "tracking/mlflow_run_redirect": "running/test_styles",
    "tracking/orphan_runs": "running/test_ends",
    "tracking/owned_run": "running/test_ends",
    "tracking/shared_lock": "release/test_shared_stage_changes",
    "uv_environment": "review/test_base_environment",
}
"""Modules without a test file of their name -> the file whose tests fail when the module is wrong."""


def test_each_module_has_a_test_file_of_its_name_or_one_that_is_named_above() -> None:
    tested = {path.relative_to(TESTS).with_suffix("") for path in TESTS.rglob("test_*.py")}
    without = {str(name) for name in MODULES if name.with_name(f"test_{name.name}") not in tested}
    assert sorted(without - {"__main__"}) == sorted(TESTED_IN)
    assert {Path(file) for file in TESTED_IN.values()} <= tested


def test_each_other_test_file_stands_where_its_module_does() -> None:
    """tests/sweeps/test_study.py is about notebooks_lib/sweeps/study.py."""
    files = {path.relative_to(TESTS).with_suffix("") for path in TESTS.rglob("test_*.py")}
    modules = {path.with_name(path.name.removeprefix("test_")) for path in files if (LIBRARY / path.parent).is_dir()}
    across = {Path(name).with_name(Path(name).name.removeprefix("test_")) for name in ACROSS}
    assert sorted(map(str, modules - MODULES.keys() - across)) == []
    assert {Path(name) for name in ACROSS} <= files


def test_the_picture_shows_which_package_imports_which() -> None:
    """Each arrow is an import, and each import is an arrow or a chain of them."""
    page = (LIBRARY.parent / "CONTRIBUTING.md").read_text("utf-8")
    picture = re.sub(r'\["[^"]*"\]', "", page.partition("flowchart TB\n")[2].partition("```")[0])
    sides = [[side.strip().split(" & ") for side in line.split(" --> ")] for line in picture.strip().splitlines()]
    arrows = {(start, end) for starts, ends in sides for start in starts for end in ends if end != "ground"}
    packages = {name for arrow in arrows for name in arrow}
    files = defaultdict(set)
    for module, path in MODULES.items():
        for name in re.findall(r"^ *from notebooks_lib(?:\.| import )(\w+)", path.read_text("utf-8"), re.MULTILINE):
            if {module.parts[0], name} <= packages and name != module.parts[0]:
                files[module.parts[0], name].add(path)
    assert arrows <= files.keys()
    reached = set(arrows)
    for middle in packages:
        reached |= {(start, end) for start, at in reached for begin, end in reached if at == middle == begin}
    for start, end in files.keys() - reached:
        for path in files[start, end]:  # it may be a text, as of a new notebook's cell
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            modules = [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
            assert not [name for name in modules if name.split(".")[:2] == ["notebooks_lib", end]], path


def programs(content: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each Python program that a test file hands to another process."""
    for node in ast.walk(ast.parse(content)) if "sys.argv" in content else ():
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "None" for part in parts)
        if isinstance(node, ast.JoinedStr | ast.Constant) and "import " in text and "sys.argv" in text:
            with suppress(SyntaxError):  # a part of one
                ast.parse(text)
                yield node.lineno, text


def test_programs_inside_tests_define_or_import_what_they_name(tmp_path: Path) -> None:
    """No other tool sees them, and one that ends at its first line may let its test pass."""
    for path in TESTS.rglob("*.py"):
        for line, text in programs(path.read_text("utf-8")):
            (tmp_path / f"{path.stem}_{line}.py").write_text(text, "utf-8")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("notebooks_lib"):
                    module = LIBRARY.parent.joinpath(*str(node.module).split("."))
                    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
                    for name in node.names:
                        there = (module / f"{name.name}.py").exists() or name.name in file.read_text("utf-8")
                        assert there, f"{path}:{line}: {node.module} has no {name.name}"
    assert len([*tmp_path.iterdir()]) > 5
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "concise"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


CONSTANT = re.compile(r"(.*\.)?[A-Z][A-Z0-9_]+")


def patched_constants(code: str) -> Iterator[str]:
    """The upper-case names that a test replaces: with `setattr`, `patch` or `patch.object`, or by an assignment."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("setattr", "patch", "object"):
            names = [word.value for word in node.args[:2] if isinstance(word, ast.Constant)]
        elif isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.attr for target in targets if isinstance(target, ast.Attribute)]
        else:
            names = []
        yield from (name for name in names if isinstance(name, str) and CONSTANT.fullmatch(name))


def test_no_test_patches_a_constant() -> None:
    """What a test must set is a parameter, with the constant as its default."""
    assert list(patched_constants("monkeypatch.setattr(engine, 'LIMIT', 1)")) == ["LIMIT"]
    assert list(patched_constants("mocker.patch('notebooks_lib.x.MOST_ROWS')")) == ["notebooks_lib.x.MOST_ROWS"]
    assert list(patched_constants("engine.LIMIT = 1")) == ["LIMIT"]
    texts = {path.relative_to(TESTS).as_posix(): path.read_text("utf-8") for path in TESTS.rglob("*.py")}
    suspects = {
        name: text for name, text in texts.items() if re.search(r"setattr\(|patch|\.[A-Z][A-Z0-9_]+ \S?= ", text)
    }
    patched = {name: names for name, text in suspects.items() if (names := list(patched_constants(text)))}
    assert patched == {}
