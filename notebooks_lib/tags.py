"""Names of tags and of environment variables. Every kernel imports this at its start: it costs next to nothing."""

from __future__ import annotations


class Tag:
    """The tags that nbops writes on runs and model versions, where MLflow has no name of its own."""

    END = "nbops.end"  # the owner's last write; its value is the status. Promotion takes only runs that carry it
    PROGRESS = "nbops.progress"  # on the run of a job: JSON of the cell that has started, for those who follow it
    SET_ASIDE = "nbops.set_aside"  # on the run of an interrupted job: the folder in the run that has its files
    ATTEMPT = "nbops.attempt"  # on the run of a job that Azure started again: the number of the attempt, from 2
    RANK_0_STARTED = "nbops.ranks.started"  # on the run of a distributed job: seconds since 1970, of its last attempt
    PARAMETERS = "nbops.parameters"  # JSON of all parameters, kept while the run goes on
    OWNER_HOST = "nbops.owner.host"  # in a job with "/" and the job's name
    OWNER_PID = "nbops.owner.pid"
    OWNER_STARTED = "nbops.owner.started"  # of the process, so that a pid used again is not taken for the owner
    PARENT_OWNER = "nbops.owner.run"  # on runs that a notebook opened beside its owner's
    NOTEBOOK = "nbops.notebook"
    CODE_SHA256 = "nbops.code.sha256"
    LOCK_SHA256 = "nbops.lock.sha256"
    LOCK_INSTALLED = "nbops.lock.installed"  # "true", the packages of another version, or "not known: ..."
    SOURCE_FINGERPRINT = "nbops.fingerprint.source"
    RUN_FINGERPRINT = "nbops.fingerprint.run"
    GIT_DIRTY = "nbops.git.dirty"
    VERSION = "nbops.version"
    HOST = "nbops.host"
    KERNEL = "nbops.kernel"  # "cold" or "warm"
    IGNORED_STORE = "nbops.ignored_store"  # another store that a cell set: the run stayed in its owner's
    STOPPED_EARLY = "nbops.stopped_early"  # sys.exit(0) in a cell
    FAILED_CELL = "nbops.failure.cell"
    FAILED_LINE = "nbops.failure.line"
    FAILURE = "nbops.failure.error"
    FAILURE_KIND = "nbops.failure.kind"  # "error", "exit", "signal", "timeout", "interrupt" or "start"
    FAILURE_MESSAGE = "nbops.failure.message"
    SIGNAL = "nbops.failure.signal"
    PEAK_MEMORY = "nbops.peak_memory_mb"
    SECONDS = "nbops.seconds"  # on the run of a job: of its notebook; the run itself begins when the job is submitted
    SUPERSEDED_BY = "nbops.superseded_by"
    MODEL = "nbops.model"  # artifact path of the run's model
    MODEL_SOURCE = "nbops.model.source"  # its real location
    MODEL_FORMAT = "nbops.model.format"  # "skops", "cloudpickle" or the flavour's own
    MODEL_LOGGED = "nbops.model.logged"  # id of the logged model that holds it too, where the store has them
    OWN_READS = "nbops.own_reads"  # where the notebook read a table by itself, as "cell 3: read_csv"
    DATASET_PREFIX = "nbops.dataset."  # + name -> "name@version#fingerprint"
    FINGERPRINT = "nbops.fingerprint"  # on the data asset of a dataset version, with its rows and the columns of roles
    ROWS = "nbops.rows"
    ROLE_PREFIX = "nbops.role."  # + "target", "key", "group" or "time" -> column
    READY = "nbops.ready"  # on a model version, written last: it loaded and predicted; without it nothing shows it
    MARK_PREFIX = "nbops.mark."  # + "champion" or "previous-dev": ms; where a registry has no aliases, the latest holds
    BEFORE_PREFIX = "nbops.before."  # + stage, on a model version: which was champion there before it, or "none"
    WITHDRAWN_PREFIX = "nbops.withdrawn."  # + stage, on a model version that was taken back there: "true", or "" again
    WAITING = "nbops.waiting"  # on a model version: JSON of the stages that it may enter once it is approved
    GOLDEN = "nbops.golden"  # on a model version: artifact of its run that holds its golden predictions, "#", digest
    VERIFY = "nbops.verify"  # on a run of `nbops verify`: "learn" or "verify"; it is neither ranked nor promoted
    LEDGER = "nbops.ledger"  # on an entry of the ledger, which is a run: what makes it be written once
    LEDGER_PREFIX = "nbops.ledger."  # + field of the entry
    BATCH_SETTINGS = "nbops.batch.settings"  # on a batch endpoint or deployment: digest of all that it is made of
    CHANGE_MODEL = "nbops.change.model"  # on a run of nbops-changes: the stage that it locks, or once locked
    CHANGE_STAGE = "nbops.change.stage"
    CHANGE_OWNER = "nbops.change.owner"  # JSON of the process that locks it
    CHANGE_LOCK = "nbops.change.lock"  # "held", "released", or who took it over
    CHANGE_TURN = "nbops.change.turn"  # larger than that of all that held the lock before
    CHANGE_HEARTBEAT = "nbops.change.heartbeat"  # a number that grows while the owner lives
    CHANGE_ID = "nbops.change.id"  # of the change whose journal the run holds
    CHANGE_JOURNAL_PREFIX = "nbops.change.journal."  # + "00", "01", ...: the text of the journal, piece by piece
    CHANGE_NEXT = "nbops.change.next"  # the run that holds the rest of it
    REASON = "nbops.reason"
    DECISION = "nbops.decision"  # on a run of promotion: "promote", "keep" or "undecided"
    DECISION_MODEL = "nbops.decision.model"
    DECISION_VERSION = "nbops.decision.version"  # what it promotes, or would promote
    DECISION_PREVIOUS = "nbops.decision.previous"  # the champion before it
    DECISION_WAITING = "nbops.decision.waiting"  # the stage that needs an approval
    DECISION_RELEASE = "nbops.decision.release"  # artifact of the run that holds what the stages did afterwards
    PROMOTED = "nbops.promoted"  # on a run of promotion: whether another version is champion because of it
    DECISION_RUN = "nbops.decision.run"  # on a model version: the run of promotion that chose it
    PROFILE_RUN = "nbops.profile.run"  # on a model version: the run of its newest profile
    PROFILE_MODEL = "nbops.profile.model"  # on the run of a profile
    PROFILE_VERSION = "nbops.profile.version"
    MODEL_SHA256 = "nbops.model.sha256"  # on a model version: digest of the files that were scored
    CARD = "nbops.decision.card"  # on a model version: where its decision card is, run and artifact
    HOLDOUT_ROWS = "nbops.holdout.rows"  # on a run of nbops-holdout: digest of the rows listed or read
    HOLDOUT_QUESTION = "nbops.holdout.question"  # digest of what was asked of them; only on a use
    HOLDOUT_LEVEL = "nbops.holdout.level"  # at which it was tested
    HOLDOUT_READER = "nbops.holdout.reader"
    HOLDOUT_DATASET = "nbops.holdout.dataset"  # "name@version#fingerprint"
    HOLDOUT_COLUMNS = "nbops.holdout.columns"  # digest of their names, where the whole row decides its part
    HOLDOUT_DONE = "nbops.holdout.done"  # the last write: the rows are listed, or the answer is stored
    SWEEP = "nbops.sweep"  # "parent" on a sweep's own run, which holds no model and is no candidate
    SWEEP_DIGEST = "nbops.sweep.digest"  # on it: of notebook, space, goal and fixed values; --resume finds it by that
    SWEEP_SPACE = "nbops.sweep.space"  # JSON of what is swept
    SWEEP_GOAL = "nbops.sweep.goal"  # "rmse:min"
    SWEEP_SERVICE = "nbops.sweep.service"  # "azureml" where the service's own sweep job proposes the trials
    SWEEP_SESSION = "nbops.sweep.session"  # on it and on its trials: which session runs them; the newest is the sweep's
    SWEEP_TOTAL = "nbops.sweep.total"
    SWEEP_COUNT = "nbops.sweep.count."  # + state -> how many trials are in it
    SWEEP_BEST = "nbops.sweep.best"  # the best trial's run
    SWEEP_REPORT = "nbops.sweep.report"  # folder of the newest report, if not "sweep": Azure ML overwrites no file
    SWEEP_SECONDS = "nbops.sweep.seconds"  # of all its sessions
    TRIAL = "nbops.sweep.trial"  # on a trial's run: its number, from 0
    TRIAL_VALUES = "nbops.sweep.values"  # JSON of its swept values
    JOB_OF_SWEEP_PREFIX = "nbops.job.of."  # + sweep's run, on a trial's job: Azure finds jobs by a tag's name alone
    PIPELINE = "nbops.pipeline"  # on the job of a pipeline: its file, as a path from the project's root
    PIPELINE_DIGEST = "nbops.pipeline.digest"  # of what it runs, not of user or commit: not submitted twice at once
    SKIPPED = "nbops.skipped"  # on the run of a job whose command had nothing to do (--only-if): why
    TRIAL_STATE = "nbops.trial.state"  # "finished", "failed", "killed" or "pruned"; a pruned run is KILLED in MLflow
    ENDPOINT_MODEL = "nbops.endpoint.model"  # on an online endpoint of Azure: the model that it serves
    ENDPOINT_PROJECT = "nbops.endpoint.project"  # on one that nbops made: the name of the project in its settings
    ENDPOINT_STORE = "nbops.endpoint.store"  # on an online endpoint of Azure: the tracking store that releases to it
    STORE_NAME = "nbops.store.name"  # on an experiment of a store that is a file: what tells it from other files
    SLOT_PREFIX = "nbops.slot."  # + field, on a deployment of one; + slot, "." and field, on the endpoint when stopped
    REFERENCE = "nbops.reference"  # on the data asset that a monitor compares with: "name@version#fingerprint"
    SCHEDULE_PROJECT = "nbops.schedule.project"  # on a schedule in a workspace: the project that made it
    SCHEDULE_CONTENT = "nbops.schedule.content"  # digest of what it starts
    SCHEDULE_COMMIT = "nbops.schedule.commit"  # of the code that it starts
    STOP = "nbops.stop"  # "pruned" or "stopped": asks the runner of a run to stop it
    STOP_STEP = "nbops.stop.step"  # the step whose value was not good enough
    STOP_VALUE = "nbops.stop.value"  # the value of that step
    STOP_CELL = "nbops.stop.cell"  # on a pruned run: the cell in which it stopped, and its first line
    STOP_LINE = "nbops.stop.line"


class Env:
    """The environment variables that a run's owner sets for its kernel, besides those of MLflow."""

    ROOT = "NBOPS_ROOT"  # the project root that the owner resolved
    OWNER_RUN = "NBOPS_OWNER_RUN"  # the run that every other run in the kernel is a child of
    OWNER_STORE = "NBOPS_OWNER_STORE"  # and where that run is kept
    OWNER_EXPERIMENT = "NBOPS_OWNER_EXPERIMENT"
    OTHER_STORE = "NBOPS_OTHER_STORE"  # "refuse" or "ignore": what becomes of a cell that sets another store
    JOB = "NBOPS_JOB"  # in a job: JSON of what its submitter hands over (running/job_request.py)
    SWEEP = "NBOPS_SWEEP"  # in a trial of a sweep job: JSON of what is swept (sweeps/service_trial.py)
    DATASETS = "NBOPS_DATASETS"  # in a job: JSON of dataset -> the latest version where the job was submitted
    KERNEL = "NBOPS_KERNEL"  # marks each process of one kernel, however far it has gone away from it


ENV_NAMES = frozenset(value for name, value in vars(Env).items() if name.isupper())
"""All of these variables."""
