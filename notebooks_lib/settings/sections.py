"""All settings, section by section, with defaults and checks. `project` reads their values."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from notebooks_lib.settings import endpoint_names
from notebooks_lib.settings.endpoint_names import TargetName
from notebooks_lib.stages import STAGES, StageName


def _listed(value: object) -> object:
    """Split the value of an environment variable at commas: it has no lists."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Section(BaseModel):
    """A section of the settings: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Project(Section):
    """The section [project]: the name of the project."""

    name: str = ""
    """Empty: the name of the root folder."""


class Tracking(Section):
    """The section [tracking]: where runs and models are kept."""

    uri: str = ""
    """Empty: SQLite under .nbops. "azureml": the workspace in [azure] or config.json. Else any MLflow tracking URI."""
    experiment: str = ""
    """The experiment of runs that name none. Empty: the project's name."""


class Azure(Section):
    """An Azure Machine Learning workspace. Empty values are taken from config.json, as Azure's own tools do."""

    subscription: str = ""
    resource_group: str = ""
    workspace: str = ""
    location: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]*$")] = ""
    """Region in which `nbops azure up` makes a workspace, such as westeurope. Empty: that of the resource group."""
    registry: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9-]{2,32})?$")] = ""
    """The Azure ML registry through which a stage in another workspace gets its versions."""
    snapshot_mb: float = Field(default=100, gt=0)
    """Megabytes of the project's files that a job is sent at most."""

    @model_validator(mode="after")
    def _whole(self) -> Azure:
        named = {name for name in ("subscription", "resource_group", "workspace") if getattr(self, name)}
        missing = {"subscription", "resource_group", "workspace"} - named
        if named and missing:
            raise ValueError(f"{', '.join(sorted(named))} given without {', '.join(sorted(missing))}; give all three")
        return self


class Data(Section):
    """The section [data]: where versioned datasets lie, and the shares of their parts."""

    folder: str = "data"
    """Relative to the project's root."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    holdout_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Shares for datasets that are added later; a dataset keeps the shares that it was added with."""

    @model_validator(mode="after")
    def _room_to_train(self) -> Data:
        if self.validation_share + self.holdout_share > 0.9:
            raise ValueError("validation_share + holdout_share leave less than a tenth of the rows to train on")
        return self


def _pairs(value: object) -> object:
    """Read pairs name=number, separated by commas, from an environment variable: it has no tables."""
    if not isinstance(value, str):
        return value
    return {name.strip(): number for name, _, number in (pair.partition("=") for pair in value.split(",")) if name}


Limits = Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False)]], BeforeValidator(_pairs)]


NO_ROWS = "no holdout row is read for it"
"""Marks a threshold whose change is no new question to the holdout, so that it spends no use. A threshold without the
mark is a part of every question: with a new one, answers that were stored before are not found again.
"""
_Positive = Annotated[float, Field(gt=0)]


class ModelPolicy(Section):
    """Thresholds for promotion that can also be set for one model. The rules read them as fields of `Policy`."""

    min_rows: Annotated[int, Field(ge=1)] = 30
    """Fewest holdout rows that may decide."""
    worthwhile_gain: Annotated[Annotated[_Positive, Field(allow_inf_nan=False)] | None, NO_ROWS] = None
    """A gain worth a promotion, in units of the metric: an undecided decision says how many rows would settle it."""
    power: Annotated[float, Field(ge=0.5, lt=1), NO_ROWS] = 0.8
    """Chance that the gain which a decision calls detectable is promoted."""
    min_class_rows: Annotated[int, Field(ge=1)] = 20
    """Fewest holdout rows of the rarest class."""
    min_differing: Annotated[int, Field(ge=1)] = 10
    """Fewest holdout rows on which two classifiers differ."""
    min_groups: Annotated[float, Field(ge=2)] = 20.0
    """Fewest groups in the holdout, counted as groups of equal size."""
    max_share: Annotated[float, Field(ge=0.1, le=1)] = 0.25
    """Largest share of the squared influence on the gain that a single row may carry."""
    limits: Limits = {}
    """Metric -> the worst value that a challenger may have on the holdout, as { rmse = 60.0 }."""
    not_worse: Limits = {}
    """Metric -> by how much a challenger may be worse than the champion, as { mae = 0.5 }."""
    slices: Names = ()
    """Columns by which the holdout is sliced: the card shows both models on each slice."""
    slice_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """By how much a challenger may be worse in its worst slice; unset: slices are shown but not judged."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 30
    """Smaller slices are shown but not judged."""
    max_size_mb: Annotated[_Positive | None, NO_ROWS] = None
    """Largest size of a challenger's files."""
    max_latency_ms: Annotated[_Positive | None, NO_ROWS] = None
    """Longest time that 95 % of single-row predictions may take, measured in the process that promotes."""
    require_clean: Annotated[bool, NO_ROWS] = False
    """Refuse a challenger that was trained from uncommitted code."""
    require_fingerprint: Annotated[bool, NO_ROWS] = False
    """Refuse a challenger whose commit and parameters do not reproduce its fingerprint."""
    data_tests: Annotated[bool, NO_ROWS] = True
    """Require that the holdout looks like the training rows; if it does not, the decision is undecided."""
    trust_champion_data: Annotated[bool, NO_ROWS] = False
    """Count a champion whose training rows are unknown as having seen no holdout row."""


_SHARED = {
    "alpha": "it belongs to the budget of a holdout, which all of its models share",
    "holdout_uses": "it is the budget of a holdout, which all of its models share",
    "tolerance": "all endpoints have the same",
}


def _own(value: object) -> object:
    """Raise ValueError, with the reason, for a key that a model may not set for itself."""
    for name, keys in value.items() if isinstance(value, dict) else ():
        for key, reason in _SHARED.items():
            if isinstance(keys, dict) and key in keys:
                raise ValueError(f"{name}.{key} cannot be set for one model: {reason}; set it under [promotion]")
    return value


class Promotion(ModelPolicy):
    """The section [promotion]: the policy by which challengers are judged.

    Which models are compared, and by which metric, is a parameter of promote.ipynb.
    """

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Chance of any false promotion by one holdout, over all of its uses."""
    holdout_uses: Annotated[int, Field(ge=1)] = 10
    """How often a holdout may decide; each use is tested at alpha / holdout_uses."""
    trusted_flavors: Names = ()
    """MLflow's flavours whose models may bring code (pickle, loader_module, code), which runs when they are scored."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-6
    """Largest relative difference between a prediction in process and through the endpoint."""
    models: Annotated[dict[str, ModelPolicy], BeforeValidator(_own)] = {}
    """Model -> the keys in which its policy differs."""

    def of(self, model: str) -> Promotion:
        """Return the policy for one model: keys set under [promotion.models.MODEL] replace those of [promotion].

        A key whose value is a table is replaced as a whole.
        """
        own = self.models.get(model, ModelPolicy())
        return self.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})


class CanaryStep(Section):
    """A step of a canary: the share of requests that the new version gets, and how long the step lasts."""

    traffic: Annotated[int, Field(ge=0, lt=100)] = 0
    """Percent of the requests that the new version answers."""
    mirror: Annotated[int, Field(ge=0, le=100)] = 0
    """Percent of the requests that it gets as well as the old version; its answers are compared and discarded."""
    requests: Annotated[int, Field(ge=0)] = 0
    """The step ends after this many requests to the new version."""
    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """The step lasts at least this long."""

    @model_validator(mode="after")
    def _one_of_two(self) -> CanaryStep:
        if bool(self.traffic) == bool(self.mirror):
            raise ValueError("give traffic or mirror, in percent, as in {traffic = 10, requests = 200}")
        if not (self.requests or self.minutes):
            raise ValueError("give its length, as in {traffic = 10, requests = 200} or {traffic = 10, minutes = 5}")
        return self


def _workspace(value: str) -> str:
    if value and not re.fullmatch(r"[^/\s]+(/[^/\s]+){0,2}", value):
        raise ValueError("write NAME, GROUP/NAME or SUBSCRIPTION/GROUP/NAME")
    return value


class Stage(Section):
    """The conditions under which a version may enter a stage: approval, canary, limits."""

    endpoint: Annotated[str, AfterValidator(endpoint_names.check_endpoint)] = ""
    """Name of its endpoint; {model} stands for the model's name. Empty: {model} for prod, {model}-STAGE for others.

    "azureml:NAME" is an online endpoint of a workspace, "azureml:" one with the default name; others are processes of
    this machine.
    """
    workspace: Annotated[str, AfterValidator(_workspace)] = ""
    """Another workspace for it: NAME, GROUP/NAME or SUBSCRIPTION/GROUP/NAME. Empty: the one of [azure]."""
    canary: tuple[CanaryStep, ...] = ()
    """Steps before a version gets all requests. Empty: it gets them after the contract tests."""
    approval: bool = False
    """Wait for `nbops promote --continue MODEL` before the stage is touched."""
    empty_after: bool = False
    """Free the endpoint again after the version has passed."""
    require_clean: bool | None = None
    """Refuse a version that was trained from uncommitted code. Unset: in test and prod, unless only prod is used."""
    require_fingerprint: bool | None = None
    """Refuse a version whose commit and parameters do not give its run's fingerprint. Unset: in the same stages."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """In a canary, how much higher the new version's share of failed or refused requests may be than the old one's."""
    max_different: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of mirrored rows whose prediction may differ from the old version's. Unset: all may."""
    max_difference: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Largest relative difference between the two versions' numbers for a mirrored row. Unset: any."""
    max_latency_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """Largest ratio of the new version's p95 latency to the old one's; 20 ms more are always allowed."""
    wait_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """A canary step that has not had its requests after this time has failed; on Azure, a deployment likewise."""

    @property
    def target(self) -> TargetName:
        """What runs the endpoint."""
        return endpoint_names.target_of(self.endpoint)

    @model_validator(mode="after")
    def _workspace_of_azure(self) -> Stage:
        if self.workspace and self.target == "local":
            raise ValueError(f'workspace = "{self.workspace}" needs an endpoint there: set endpoint = "azureml:NAME"')
        return self


class Stages(Section):
    """The stages that a version goes through: dev, test, prod, in this order."""

    default: Annotated[tuple[StageName, ...], BeforeValidator(_listed), Field(min_length=1)] = ("prod",)
    """Stages of `nbops promote --live` when --stages is not given."""
    approval: Annotated[tuple[StageName, ...], BeforeValidator(_listed)] = ()
    """Stages that wait for an approval whatever their own settings say: CI asks for it in NBOPS_STAGES_APPROVAL."""
    dev: Stage = Stage()
    test: Stage = Stage()
    prod: Stage = Stage()

    def of(self, name: str) -> Stage:
        """Return the settings of the stage `name`, one of STAGES."""
        stage: Stage = getattr(self, name)
        return stage.model_copy(update={"approval": True}) if name in self.approval else stage

    @model_validator(mode="after")
    def _one_name_each(self) -> Stages:
        for stage, other in itertools.combinations(STAGES, 2):
            pattern = self.plain_endpoint(stage, endpoint_names.MODEL)
            one, two = self.of(stage), self.of(other)
            apart = one.target == two.target == endpoint_names.AZUREML and one.workspace != two.workspace
            if other in self.stages_of(pattern) and not apart:
                raise ValueError(
                    f"{stage} and {other} have one endpoint, {pattern!r}; give {other} another:"
                    f' endpoint = "{self.of(other).endpoint or pattern}-{other}"'
                )
        return self

    def endpoint(self, name: str, model: str) -> str:
        """Return a model's endpoint in the stage `name`, as commands name it.

        It is STAGE:NAME where another stage has an endpoint of this name, in another workspace.
        """
        plain = self.plain_endpoint(name, model)
        alone = self.stages_of(self.plain_endpoint(name, endpoint_names.MODEL)) == [name]
        return plain if alone else f"{name}:{plain}"

    def stages_of(self, pattern: str) -> list[str]:
        """Return the stages whose endpoints have this pattern for a name."""
        return [stage for stage in STAGES if self.plain_endpoint(stage, endpoint_names.MODEL) == pattern]

    def plain_endpoint(self, name: str, model: str) -> str:
        """Return the name of a model's endpoint in the stage `name`. For Azure, `-` stands for `_` and `.` in it."""
        stage = self.of(name)
        pattern = stage.endpoint.removeprefix("azureml:") if stage.target == "azureml" else stage.endpoint
        pattern = pattern or ("{model}" if name == STAGES[-1] else "{model}-" + name)
        return pattern.replace("{model}", endpoint_names.azure_name(model) if stage.target == "azureml" else model)


Modules = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")], ...], BeforeValidator(_listed)
]


class EndpointOptions(Section):
    """The section [endpoint]: local endpoints. All keys but `start_timeout` are read when a server starts."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0: a free one, kept from then on."""
    hosts: Names = ()
    """Host names, as of a proxy, that requests on loopback may carry beside localhost and its addresses."""
    start_timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds within which a model must have loaded."""
    body_limit: Annotated[int, Field(gt=0)] = 16 * 1024 * 1024
    """Bytes of a request's body."""
    concurrency: Annotated[int, Field(gt=0)] = 100
    """Concurrent predictions of a slot; more are refused with 429."""
    read_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds within which a request's body must have arrived."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that a prediction may take."""
    access_log: bool = True
    """Log each request as a line of JSON."""
    collect: Names = ()
    """Endpoints whose requests and answers are kept under .nbops/collected; "*" means all."""
    collect_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the requests that is kept."""
    collect_rotate: Annotated[float, Field(gt=0)] = 60.0
    """Seconds after which a file of collected data is closed; a kill loses at most this much."""


class Kernels(Section):
    """Warm kernels (docs/kernels.md). `kernels/preferences.py` reads the same where a kernel is started."""

    warm: bool = True
    """False: every kernel is an ordinary one."""
    preload: Modules = ()
    """Packages to import beforehand although `kernels/packages.toml` does not name them; you vouch that it is safe."""
    never: Modules = ()
    """Modules to leave to the kernels; a package's name stands for all of its modules."""
    idle_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """Minutes for which a template waits for the next kernel."""


class Check(Section):
    """The section [check]: what `nbops check` has to know (docs/notebooks.md)."""

    builtins: Names = ()
    """Names that the place where notebooks run brings along, such as `spark` and `dbutils`."""
    select: Names = ()
    """ALL, FAULTS, or beginnings of codes such as NB and F821. Empty: ALL in a project, FAULTS elsewhere."""


class ReviewOptions(Section):
    """The section [review]: how `nbops review` runs notebooks (docs/review.md)."""

    parameters: dict[str, Any] = {}
    """Parameter -> value in the runs of both sides, where a notebook has it and its default takes too long."""
