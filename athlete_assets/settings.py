"""Every threshold, window, name and date, each read from one ATHLETE_* variable.

Order of precedence: the environment, then `settings.env` in ATHLETE_HOME (what the importer learned about this
home: time zone and first day), then the defaults below. An unknown ATHLETE_* variable is an error, not a surprise.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from athlete_assets.days import monday_of
from athlete_assets.errors import SettingsError

PREFIX = "ATHLETE_"
HOME_FILE = "settings.env"
BRANCH_DEPLOYMENT = "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT"
"""Set to 1 by Dagster+ in the processes of a branch deployment."""


def _items(value: object) -> object:
    """The items of a text by commas, as people write a list, or of a JSON array; anything else as it is."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [item.strip() for item in value.split(",") if item.strip()]
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError('must be a list by commas, or a JSON array of texts such as ["a", "b"]')
    return found


UNREADABLE = re.compile(r"[\[\]\\^|]|%[0-9A-Fa-f]{2}")
"""What delta-rs takes for something else in a local path: it fails on these, or looks into another folder."""
Items = Annotated[list[str], BeforeValidator(_items)]
"""A setting that holds several texts."""


class Settings(BaseModel):
    """One deployment's settings. A field `foo` is read from ATHLETE_FOO; its unit stands in its name or description."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    # where and how
    home: Path = Field(Path(".athlete"), description="folder of the local deployment's tables, models and runs")
    deployment: Literal["local", "databricks"] = Field("local", description="which set of resources serves the assets")
    engine: Literal["sail", "spark"] = Field("sail", description="the embedded Spark engine (local deployment)")
    spark_memory_gb: float = Field(4.0, ge=1, description="GB of heap up to which the embedded Apache Spark may grow")
    catalog: str = Field("uc_athlete_data", min_length=1, description="Unity Catalog name, and folder name locally")

    branch_catalog: str = Field(
        "", description="catalog of Dagster+ branch deployments, which never write the tables of `catalog`"
    )

    # pages
    reports: Path | None = Field(
        None,
        description="folder of the HTML pages; default: reports in home. On Databricks a volume's path; without it no "
        "page is written there",
    )
    reports_url: str = Field(
        "",
        description="address at which a browser finds that folder, for the links from assets; default: where "
        "`athlete-assets ui` shows it",
    )
    language: Literal["en", "pt"] = Field("en", description="of the HTML pages: English or Portuguese")

    # time
    start_date: date = Field(
        date(2010, 1, 4), description="first partition, a Monday; earlier activities are rejected by name"
    )
    time_zone: str = Field(
        "America/Sao_Paulo", description="zone of the schedules, of 'today' and of exports that give UTC"
    )
    as_of: date | None = Field(None, description="the last day that exists; default: today in time_zone")

    # quality rules
    max_run_speed_mps: float = Field(7.5, gt=0, description="m/s; a faster run of at least 1 km is rejected")
    max_duration_h: float = Field(48.0, gt=0, description="h; a longer activity is rejected")
    min_heart_rate_bpm: float = Field(30.0, gt=0, description="bpm; lower becomes null")
    max_heart_rate_bpm: float = Field(230.0, gt=0, description="bpm; higher becomes null")
    duplicate_start_s: float = Field(60.0, ge=0, description="s between the starts of two records of one activity")
    duplicate_distance_share: float = Field(0.10, ge=0, lt=1, description="share by which their distances may differ")

    # features
    default_threshold_pace_min_km: float = Field(5.5, gt=0, description="min/km where nothing better is known")
    threshold_window_days: int = Field(90, gt=0, description="days of history that set the threshold pace")
    hr_max_window_days: int = Field(365, gt=0, description="days of history that set the observed maximum heart rate")
    default_resting_hr_bpm: float = Field(
        60.0, gt=0, description="bpm where the athlete states none; 50 raises the load of an easy hour by 8 %"
    )
    max_tss_per_hour: float = Field(200.0, gt=0, description="a higher load is measurement error: null, and counted")
    expected_active_days_per_week: float = Field(4.0, gt=0, le=7, description="what consistency_score calls 1")
    acwr_risk: float = Field(1.5, gt=0, description="acwr above it is a risk reason")
    monotony_risk: float = Field(2.0, gt=0, description="training_monotony_7d above it is a risk reason")
    max_ramp_7d: float = Field(
        8.0, gt=0, description="TSS/day in 7 days; the room for load of today leaves ramp_rate_7d at or below it"
    )
    race_form_tsb: float = Field(10.0, description="TSS/day; the form on race day that a taper leads to")

    # checks
    row_count_kept_share: float = Field(
        0.5, ge=0, le=1, description="share of a window's rows that must be left when it is replaced"
    )
    row_count_least_rows: int = Field(20, gt=0, description="rows; a window that held fewer may lose all of them")
    anomaly_history_days: int = Field(365, gt=0, description="days before a window with which its shares are compared")
    anomaly_least_rows: int = Field(20, gt=0, description="rows; a smaller window or history is not judged by shares")
    rejects_share: float = Field(0.10, ge=0, le=1, description="share of rejected silver rows that is always accepted")
    rejects_times_history: float = Field(3.0, ge=1, description="times the history's share that may be rejected")
    untracked_share: float = Field(0.30, ge=0, le=1, description="share without training load that is always accepted")
    untracked_times_history: float = Field(2.0, ge=1, description="times the history's share that may lack a load")
    fitness_check_athletes: int = Field(5, ge=0, description="athletes a run whose fitness is computed a second time")
    drift_psi: float = Field(
        0.25, gt=0, description="population stability index of a feature; above it the check warns of drift"
    )
    drift_days: int = Field(7, ge=1, description="days of drift without a break after which a training is asked for")

    # maintenance
    maintenance_cron: str = Field("30 3 * * 0", description="cron, in time_zone, of the weekly maintenance")
    keep_versions_days: int = Field(
        7, ge=0, description="days for which old versions of a table can be read; 0 only while nothing reads or writes"
    )
    keep_runs_days: int = Field(60, ge=1, description="days for which Dagster's and MLflow's finished runs are kept")
    keep_model_versions: int = Field(
        10, ge=0, description="newest versions of each model that are kept beside those that an alias names"
    )
    databricks_maintenance: Literal["predictive", "optimize"] = Field(
        "predictive", description="Unity Catalog optimises tables by itself, or the weekly maintenance does"
    )

    # models; what else a training may be started with stands in its options (models/specs)
    training_holdout_share: float = Field(0.2, gt=0, lt=1, description="share of the labels, the newest, that judge")
    training_embargo_days: int = Field(
        43, ge=0, description="days without labels before the judging ones: one more than the longest time constant"
    )
    training_max_labels_for_folds: int = Field(
        20_000, ge=0, description="labels above which no training by folds of athletes is added: it would cost hours"
    )
    time_estimator_min_holdout: int = Field(
        20, ge=1, description="judging efforts below which a time estimator trained at home does not serve"
    )
    population_line: str = Field(
        "", description="file of a population line fitted elsewhere; empty: the one that the package ships"
    )
    overtraining_detector_max_auc: float = Field(
        0.9, gt=0.5, le=1, description="AUC above which leakage is the likelier explanation: does not serve"
    )

    # work
    store_retries: int = Field(3, ge=0, description="further attempts of a step whose store failed")
    store_retry_s: float = Field(5.0, gt=0, description="s before the first of them; each further one waits twice that")
    memory_gb: float | None = Field(
        None, gt=0, description="GB that a step may take here, by the size of its pieces; default: half of what is free"
    )
    chunk_athlete_days: int | None = Field(
        None, gt=0, description="rows of one piece of a long range; default: as many as memory_gb holds"
    )
    allow_api_data: bool = Field(
        False, description="train on and score rows whose source is strava_api (Strava's terms forbid it)"
    )

    # orchestration
    schedule_at: str = Field("06:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="HH:MM of the daily run")
    deadline_h: int = Field(2, ge=1, le=12, description="h after schedule_at by which every table has to be written")
    silver_warn_days: int = Field(3, ge=1, description="days without a new silver row until a warning; twice: stale")
    sensor_interval_s: int = Field(30, ge=1, description="s between two looks at silver, and at what to alert on")
    source_url: str = Field(
        "", description="this package's folder in the repository's web view, to which assets link; empty: local files"
    )
    stuck_after_h: float = Field(6.0, gt=0, description="h after which a queued or started run is an alert")
    ui_url: str = Field("http://127.0.0.1:3000", description="address of the Dagster UI, for the links in alerts")
    alert_webhook_url: SecretStr = Field(SecretStr(""), description="URL that gets each alert as a JSON POST")
    alert_slack_token: SecretStr = Field(SecretStr(""), description="bot token; needs alert_slack_channel")
    alert_slack_channel: str = Field("", description="Slack channel, such as #training-data")
    alert_smtp_server: str = Field("", description="host or host:port that sends alerts by e-mail")
    alert_smtp_user: str = Field("", description="user of the mail server, where it wants one")
    alert_smtp_password: SecretStr = Field(SecretStr(""), description="password of that user")
    alert_email_from: str = Field("", description="sender of the alerts")
    alert_email_to: Items = Field([], description="recipients of the alerts, by commas")

    # Databricks; credentials are not settings: they are read from DATABRICKS_* and ARM_* when a client is made
    databricks_door: Literal["step_launcher", "pipes"] = Field(
        "step_launcher", description="how assets get to a cluster: sent by a step launcher, or started by Dagster Pipes"
    )
    databricks_launcher: Literal["mended", "stock"] = Field(
        "mended", description="step launcher: ours, or dagster-databricks' own with its known holes"
    )
    databricks_cluster_id: str = Field(
        "", description="run on this existing cluster; empty: a new cluster for each step"
    )
    databricks_buckets: int = Field(
        64, ge=1, description="parts of the athletes that a cluster's cores work on side by side: thrice its cores"
    )
    databricks_cluster_for: Literal["step", "run"] = Field(
        "step", description="a new cluster for each step, or one for all steps of a Dagster run; without a cluster_id"
    )
    databricks_spark_version: str = Field(
        "17.3.x-scala2.13", description="runtime of a new cluster; its Spark must be the pyspark that is installed here"
    )
    databricks_policy_id: str = Field("", description="cluster policy of a new cluster")
    databricks_pool_id: str = Field("", description="instance pool of a new cluster; empty: databricks_node_type")
    databricks_node_type: str = Field("", description="node type of a new cluster where there is no pool")
    databricks_workers: int = Field(2, ge=1, description="workers of a new cluster; the least where it scales")
    databricks_max_workers: int = Field(
        0, ge=0, description="a new cluster scales up to so many workers; 0: fixed size"
    )
    databricks_access_mode: Literal["SINGLE_USER", "USER_ISOLATION"] = Field(
        "SINGLE_USER", description="access mode of a new cluster: dedicated, or standard (USER_ISOLATION)"
    )
    databricks_table_layout: Literal["partitioned", "clustered"] = Field(
        "partitioned", description="tables are partitioned by month, or clustered (liquid) by day and keys"
    )
    databricks_experiment: str = Field(
        "/Shared/athlete_assets",
        pattern="^/.",
        description="MLflow experiment of the training runs, an absolute path of the workspace in a folder that exists",
    )
    databricks_spark_conf: dict[str, str] = Field({}, description="Spark configuration of a new cluster, as JSON")
    databricks_tags: dict[str, str] = Field({}, description="tags of a new cluster, for the bill, as JSON")
    databricks_feature_client: Literal["installed", "cluster"] = Field(
        "installed",
        description="databricks-feature-engineering on the cluster: installed in this process's version, or its own",
    )
    databricks_libraries: Items = Field([], description="further libraries for the cluster, name==version, by commas")
    databricks_send_libraries: bool = Field(
        True, description="install the pinned libraries with each run; false: the cluster has them, steps only compare"
    )
    databricks_secrets: Items = Field(
        [], description="secrets that steps need as environment variables: NAME=scope/key, by commas"
    )
    databricks_staging: str = Field(
        "", description="folder for what a step needs: on a volume (default: monitoring.staging), or a DBFS path"
    )
    databricks_keep_days: int = Field(
        7, ge=0, description="days for which events and output of steps that failed stay in the staging folder"
    )
    databricks_keep_code_days: int = Field(
        30, ge=1, description="days after which a staged code archive goes that is not the present one"
    )
    databricks_cluster_retries: int = Field(
        3, ge=0, description="further attempts after a failure of the cluster, for steps without a retry policy"
    )
    databricks_timeout_s: int = Field(7200, gt=0, description="s; a longer run is cancelled by Databricks itself")
    databricks_parallel_steps: int = Field(
        4, ge=1, description="steps of one Dagster run that may run at once where none needs the other; 1: in turn"
    )
    databricks_poll_s: float = Field(5.0, gt=0, description="s between looks at a run")
    databricks_viewers: Items = Field([], description="groups that may see the runs, by commas")
    databricks_operators: Items = Field([], description="groups that may cancel and repeat the runs, by commas")
    databricks_service_principal: str = Field(
        "", description="application id that runs the steps; `databricks init` grants it its rights"
    )
    databricks_readers: Items = Field(
        [], description="groups that may read features, predictions and models, by commas"
    )
    databricks_writers: Items = Field([], description="groups that may also write them, by commas")
    databricks_warehouse_id: str = Field(
        "", description="SQL warehouse through which silver_changes looks at silver; empty: it does not look"
    )
    databricks_warehouse_look_every_s: int = Field(
        3600, ge=0, description="s between two looks; each one keeps the warehouse awake or wakes it. 0: at every tick"
    )
    databricks_secret_scope: str = Field("athlete-assets", description="secret scope that `databricks init` makes")
    databricks_on_cluster: bool = Field(
        False, description="set by the launcher inside a step's process: no launcher there, and the cluster's Spark"
    )

    @field_validator("home")
    @classmethod
    def _home_folder(cls, value: Path) -> Path:
        return _expanded(value)

    @field_validator("reports")
    @classmethod
    def _reports_folder(cls, value: Path | None) -> Path | None:
        return value and _expanded(value).resolve()

    @field_validator("start_date")
    @classmethod
    def _start_on_monday(cls, value: date) -> date:
        if value != monday_of(value):
            raise ValueError(f"must be a Monday, such as {monday_of(value)}")
        if value.year < 2000:
            raise ValueError("must not be before 2000-01-03")
        return value

    @field_validator("databricks_spark_conf", "databricks_tags", mode="before")
    @classmethod
    def _json_object(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            found = json.loads(value)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError('must be a JSON object such as {"key": "value"}')
        return {str(key): str(item) for key, item in found.items()}

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        text = value.strip().replace(" ", "_").casefold()
        known = {zone.casefold(): zone for zone in sorted(available_timezones())}
        if text in known:
            return known[text]
        if re.fullmatch(r"(utc|gmt)?[+-]\d.*", text):  # Etc/GMT+3 is three hours behind UTC
            raise ValueError(
                "is an offset, which knows no summer time; name the zone or its city, such as Europe/Berlin"
            )
        by_city: dict[str, list[str]] = {}
        for name, zone in known.items():
            by_city.setdefault(name.rpartition("/")[2], []).append(zone)
        if len(zones := by_city.get(text, [])) == 1:
            return zones[0]
        cities = [text] if zones else get_close_matches(text.rpartition("/")[2], by_city, n=3, cutoff=0.75)
        near = " or ".join(zone for city in cities for zone in by_city[city])
        hint = f"; did you mean {near}?" if near else ""
        raise ValueError(f"must be an IANA time zone such as America/Sao_Paulo or UTC, or its city{hint}")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def today(self) -> date:
        """The last day that exists: ATHLETE_AS_OF, else today in the time zone."""
        return self.as_of or datetime.now(self.zone).date()

    @property
    def pages_address(self) -> str:
        """The address of the folder of pages for links; empty where none is known."""
        is_own_machine = self.deployment == "local" and "ui_url" not in self.model_fields_set
        return self.reports_url.rstrip("/") or ("http://127.0.0.1:3001" if is_own_machine else "")

    @property
    def mlflow_tracking_uri(self) -> str:
        """SQLite under ATHLETE_HOME (file-store tracking raises in mlflow 3.17), or the workspace."""
        return "databricks" if self.deployment == "databricks" else f"sqlite:///{self.home.resolve() / 'mlflow.db'}"

    @property
    def mlflow_experiment(self) -> str:
        """The experiment of the training runs: a name, or the workspace's path for it."""
        return self.databricks_experiment if self.deployment == "databricks" else "athlete_assets"

    @property
    def mlflow_registry_uri(self) -> str:
        return "databricks-uc" if self.deployment == "databricks" else self.mlflow_tracking_uri

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads the settings; raises SettingsError that names the variable, its value and what it may be."""
        given = {key: value for key, value in environment.items() if key.startswith(PREFIX) and value != ""}
        home = _expanded(Path(given.get(f"{PREFIX}HOME", cls.model_fields["home"].default)))
        given = {**_home_file(home / HOME_FILE), **given}
        known = {f"{PREFIX}{name.upper()}": name for name in cls.model_fields}
        for key in given:
            if key not in known:
                near = get_close_matches(key, known, n=3) or [name for name in sorted(known) if key in name]
                hint = f"did you mean {' or '.join(near)}?" if near else "none is named like that."
                raise SettingsError(f"unknown setting {key}: {hint} docs/settings.md lists them all")
        try:
            settings = cls.model_validate({known[key]: value for key, value in given.items()})
        except ValidationError as error:
            first = error.errors()[0]
            name = f"{PREFIX}{str(first['loc'][0]).upper()}"
            reason = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"setting {name}={given.get(name, '')}: {reason}") from None
        if environment.get(BRANCH_DEPLOYMENT) == "1" and settings.deployment == "databricks":
            settings = settings.of_a_branch()
        if settings.deployment == "local" and (unread := UNREADABLE.search(str(settings.home.resolve()))):
            raise SettingsError(
                f"setting {PREFIX}HOME={settings.home}: Delta tables cannot lie in a folder whose path holds "
                f"{unread.group()}; give one without it"
            )
        today = datetime.now(settings.zone).date()
        for name, day in (("AS_OF", settings.as_of), ("START_DATE", settings.start_date)):
            if day is not None and day > today:
                raise SettingsError(f"setting {PREFIX}{name}={day}: lies in the future (today is {today})")
        if settings.start_date > settings.today:
            raise SettingsError(
                f"setting {PREFIX}START_DATE={settings.start_date}: lies after ATHLETE_AS_OF={settings.today}"
            )
        return settings

    def of_a_branch(self) -> Settings:
        """These settings with all that is written moved to `branch_catalog`: tables, models, experiment and staging.

        Raises SettingsError where that is not set, or is production's.
        """
        if self.branch_catalog in ("", self.catalog):
            raise SettingsError(
                f"this is a branch deployment ({BRANCH_DEPLOYMENT}=1), which must not write the tables of "
                f"{self.catalog}: set {PREFIX}BRANCH_CATALOG to another catalog"
            )
        moved = {"catalog": self.branch_catalog, "databricks_experiment": f"{self.databricks_experiment}_branches"}
        if self.databricks_staging:
            moved["databricks_staging"] = f"{self.databricks_staging.rstrip('/')}/{self.branch_catalog}"
        return self.model_copy(update=moved)

    def remembered(self) -> dict[str, str]:
        """What `settings.env` of this home says, by variable."""
        return _home_file(self.home / HOME_FILE)

    def remember(self, **values: str) -> None:
        """Writes settings that belong to this home into its `settings.env`, keeping the others that are there."""
        path = self.home / HOME_FILE
        lines = {**_home_file(path), **{f"{PREFIX}{name.upper()}": value for name, value in values.items()}}
        self.home.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with open(partial, "w") as handle:
            handle.writelines(f"{key}={value}\n" for key, value in sorted(lines.items()))
            handle.flush()
            os.fsync(handle.fileno())  # else a power cut leaves the new name with nothing in it
        partial.replace(path)


def _expanded(path: Path) -> Path:
    """The path with ~ as the home folder, where it is one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _home_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise SettingsError(f"{path}, line {number}: expected NAME=value, found {line!r}")
        values[key.strip()] = value.strip()
    if not values and any(path.parent.glob("*/silver/*/_delta_log")):
        raise SettingsError(
            f"{path}: is empty, though the tables beside it were made with a time zone and a first day; write two "
            f"lines into it, {PREFIX}TIME_ZONE=<where the athlete runs, such as Europe/Berlin> and "
            f"{PREFIX}START_DATE=<the Monday on or before the first activity>, or restore it from a copy"
        )
    return values
