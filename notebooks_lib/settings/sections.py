"""All settings, section by section, with defaults and checks. `project` reads their values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

STAGES = ("dev", "test", "prod")
"""Where a model version is deployed, in this order."""


def _listed(value: object) -> object:
    """Split a variable's value at commas: environment variables have no lists."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Section(BaseModel):
    """One section: unknown keys are refused, and values never change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Project(Section):
    """Who we are."""

    name: str = ""
    """Empty: the name of the root folder."""


class Tracking(Section):
    """Where runs and models are kept."""

    uri: str = ""
    """Empty: SQLite under .nbops. "azureml": the workspace in [azure] or config.json. Else any MLflow tracking URI."""
    experiment: str = ""
    """Where runs go that name no experiment. Empty: the project's name."""


class Azure(Section):
    """An Azure Machine Learning workspace. Empty values are taken from config.json, as Azure's own tools do."""

    subscription: str = ""
    resource_group: str = ""
    workspace: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Azure:
        given = {name for name in ("subscription", "resource_group", "workspace") if getattr(self, name)}
        missing = {"subscription", "resource_group", "workspace"} - given
        if given and missing:
            raise ValueError(f"{', '.join(sorted(given))} given without {', '.join(sorted(missing))}")
        return self


class Data(Section):
    """Versioned datasets."""

    folder: str = "data"
    """From the project root."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    holdout_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Shares for datasets added from now on; each dataset keeps its own."""

    @model_validator(mode="after")
    def _room_to_train(self) -> Data:
        if self.validation_share + self.holdout_share > 0.9:
            raise ValueError("validation_share + holdout_share leave less than a tenth of the rows to train on")
        return self


def _pairs(value: object) -> object:
    """Read name=number pairs, separated by commas, from a variable: environment variables have no tables."""
    if not isinstance(value, str):
        return value
    return {name.strip(): number for name, _, number in (pair.partition("=") for pair in value.split(",")) if name}


Limits = Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False)]], BeforeValidator(_pairs)]


NO_ROWS = "no holdout row is read for it"
"""Marks a threshold whose change is no new question to the holdout, so that it spends no use."""
_Positive = Annotated[float, Field(gt=0)]


class ModelPolicy(Section):
    """Thresholds of the gate that one model can have for itself; the rules read them as fields of `Policy`."""

    min_rows: Annotated[int, Field(ge=1)] = 30
    """Fewest holdout rows that may decide."""
    worthwhile_gain: Annotated[Annotated[_Positive, Field(allow_inf_nan=False)] | None, NO_ROWS] = None
    """A gain worth a promotion, in units of the metric: an open decision says how many rows would settle it."""
    power: Annotated[float, Field(ge=0.5, lt=1), NO_ROWS] = 0.8
    """Chance of finding the gain that a decision calls detectable."""
    min_class_rows: Annotated[int, Field(ge=1)] = 20
    """Fewest holdout rows of the rarest class."""
    min_differing: Annotated[int, Field(ge=1)] = 10
    """Fewest holdout rows on which two classifiers differ."""
    min_groups: Annotated[float, Field(ge=2)] = 20.0
    """Fewest groups in the holdout, in groups of equal size that would say as much."""
    max_share: Annotated[float, Field(ge=0.1, le=1)] = 0.25
    """Of what a gain rests on, the most that a single row may carry."""
    limits: Limits = {}
    """Metric -> the worst that any challenger may have on the holdout, as { rmse = 60.0 }."""
    not_worse: Limits = {}
    """Metric -> by how much a challenger may be worse in it than the champion, as { mae = 0.5 }."""
    slices: Names = ()
    """Columns by which the holdout is cut: the card shows both models on each piece."""
    slice_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """By how much a challenger may be worse in its worst slice; without it slices are shown and not judged."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 30
    """Smaller slices are shown and not judged."""
    max_size_mb: Annotated[_Positive | None, NO_ROWS] = None
    """Largest size of a challenger's files."""
    max_latency_ms: Annotated[_Positive | None, NO_ROWS] = None
    """Longest time for one row, 95 % of the time, measured in the process that promotes."""
    require_clean: Annotated[bool, NO_ROWS] = False
    """Refuse a challenger that was trained from uncommitted code."""
    require_fingerprint: Annotated[bool, NO_ROWS] = False
    """Refuse a challenger whose fingerprint does not come out again from its commit and parameters."""
    data_tests: Annotated[bool, NO_ROWS] = True
    """Leave it open when the holdout does not look like the training rows."""
    trust_champion_data: Annotated[bool, NO_ROWS] = False
    """Take a champion's word for having seen no holdout row, when nobody knows what it was trained on."""


_SHARED = {
    "alpha": "it belongs to the budget of a holdout, which all models share that ask it",
    "holdout_uses": "it is the budget of a holdout, which all models share that ask it",
    "tolerance": "endpoints have one",
}


def _own(value: object) -> object:
    """Refuse, with the reason, what a model may not set for itself."""
    for name, keys in value.items() if isinstance(value, dict) else ():
        for key, reason in _SHARED.items():
            if isinstance(keys, dict) and key in keys:
                raise ValueError(f"{name}.{key} cannot be set for one model: {reason}; set it under [promotion]")
    return value


class Promotion(ModelPolicy):
    """The policy of the gate; what is compared stands in the parameters of promote.ipynb."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Chance that one holdout, in all of its uses together, promotes a model that is not better."""
    holdout_uses: Annotated[int, Field(ge=1)] = 10
    """How often the rows of a holdout may decide; each use is tested at alpha / holdout_uses."""
    trusted_flavors: Names = ()
    """MLflow's flavours whose models may bring code (pickle, loader_module, code): it runs when they are scored."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-6
    """Largest relative difference between a prediction in process and through the endpoint."""
    models: Annotated[dict[str, ModelPolicy], BeforeValidator(_own)] = {}
    """Model -> what holds for it instead."""

    def of(self, model: str) -> Promotion:
        """Return the policy of one model: keys in its own table replace the project's, each as a whole."""
        own = self.models.get(model, ModelPolicy())
        return self.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})


class CanaryStep(Section):
    """A share of the requests for the new version, and for how long its results are watched."""

    traffic: Annotated[int, Field(ge=0, lt=100)] = 0
    """Percent of the requests that the new version answers."""
    mirror: Annotated[int, Field(ge=0, le=100)] = 0
    """Percent of the requests that it is asked beside the old one; its answers are compared and thrown away."""
    requests: Annotated[int, Field(ge=0)] = 0
    """The step ends when it was asked so often."""
    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """The step lasts at least so long."""

    @model_validator(mode="after")
    def _one_of_two(self) -> CanaryStep:
        if bool(self.traffic) == bool(self.mirror):
            raise ValueError("give traffic or mirror, in percent, as in {traffic = 10, requests = 200}")
        if not (self.requests or self.minutes):
            raise ValueError("say how long, as in {traffic = 10, requests = 200} or {traffic = 10, minutes = 5}")
        return self


class Stage(Section):
    """How a version enters one stage."""

    endpoint: str = ""
    """Its endpoint; {model} stands for the model's name. Empty: {model} for prod, {model}-STAGE for others."""
    target: Literal["local"] = "local"
    """What runs that endpoint: a server process on this machine."""
    canary: tuple[CanaryStep, ...] = ()
    """Steps before a version gets all requests; none: it gets them once it passed the contract tests."""
    approval: bool = False
    """Wait for somebody to say `nbops promote --continue MODEL` before the stage is touched."""
    empty_after: bool = False
    """Free the endpoint again once the version has passed."""
    require_clean: bool | None = None
    """Refuse a version that was trained from uncommitted code. Unsaid: in test and prod, unless only prod is used."""
    require_fingerprint: bool | None = None
    """Refuse a version whose run's fingerprint does not come out again from its commit and parameters. Unsaid: so."""
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    """In a canary, how much higher the new version's share of failed or refused requests may be than the old one's."""
    max_different: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of mirrored rows whose prediction may differ from the old version's; none: any."""
    max_difference: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How far a number of a mirrored row may lie from the old version's, relative; none: any."""
    max_latency_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """The new version's p95 may be so many times the old one's; 20 ms more are always allowed."""
    wait_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """A canary step that has not seen its requests by then has failed."""


class Stages(Section):
    """The stages that a version goes through, in this order."""

    default: Annotated[tuple[Literal["dev", "test", "prod"], ...], BeforeValidator(_listed), Field(min_length=1)] = (
        "prod",
    )
    """Stages of `nbops promote --live` without --stages."""
    dev: Stage = Stage()
    test: Stage = Stage()
    prod: Stage = Stage()

    def of(self, name: str) -> Stage:
        """Return one stage. `name` is one of STAGES."""
        stage: Stage = getattr(self, name)
        return stage

    def endpoint(self, name: str, model: str) -> str:
        """Return the endpoint of a stage of a model."""
        given = self.of(name).endpoint or ("{model}" if name == STAGES[-1] else "{model}-" + name)
        return given.replace("{model}", model)


Modules = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")], ...], BeforeValidator(_listed)
]


class EndpointOptions(Section):
    """Local endpoints. All but `start_timeout` are read when a server starts."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0: a free one, kept from then on."""
    hosts: Names = ()
    """Names under which the endpoint is asked on loopback beside localhost and its addresses, as by a proxy."""
    start_timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds in which a model must be loaded."""
    body_limit: Annotated[int, Field(gt=0)] = 16 * 1024 * 1024
    """Bytes of a request's body."""
    concurrency: Annotated[int, Field(gt=0)] = 100
    """Predictions of a slot under way; more are refused with 429."""
    read_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds in which a request's body must have come."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that a prediction may take."""
    access_log: bool = True
    """A line of JSON for each request."""
    collect: Names = ()
    """Endpoints whose requests and answers are kept under .nbops/collected; "*" for all."""
    collect_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the requests."""
    collect_rotate: Annotated[float, Field(gt=0)] = 60.0
    """Seconds after which a file of collected data is closed: as much as a kill can lose."""


class Kernels(Section):
    """Warm kernels (docs/kernels.md). `kernels/preferences.py` reads the same where a kernel is started."""

    warm: bool = True
    """False: every kernel is an ordinary one."""
    preload: Modules = ()
    """Packages to import beforehand though `kernels/packages.toml` does not name them, at your word that it is safe."""
    never: Modules = ()
    """Modules to leave to the kernels; a package's name stands for all in it."""
    idle_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """Minutes for which a template waits for the next kernel."""
