"""`athlete-assets databricks init` and `check`: what a workspace must have, made and tried by code.

`init` is idempotent: each requirement is looked for first and made only where it is missing, so that a second run
changes nothing and a half-done one is completed. `check` tries what the steps do, as the principal that runs them,
and asks for nothing that such a principal may not see.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from athlete_assets.deployments.databricks import rights
from athlete_assets.deployments.databricks.config import (
    Credentials,
    before_first_run,
    match_runtime,
    mended_launcher,
    secrets_of,
    staging_prefix,
)
from athlete_assets.deployments.databricks.staging import staging_at
from athlete_assets.errors import AthleteAssetsError
from athlete_assets.settings import Settings
from athlete_assets.store.sql import identifier, quoted
from athlete_assets.store.warehouse import Warehouse

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

SILVER = "silver"
OWN_SCHEMAS = ("silver_rejects", "feature_store", "gold", "monitoring", "models")
READ = ("USE_SCHEMA", "SELECT")
WRITE = (*READ, "MODIFY", "CREATE_TABLE")
MODEL_READ = ("USE_SCHEMA", "EXECUTE")
MODEL_WRITE = (*MODEL_READ, "CREATE_MODEL", "APPLY_TAG")
VOLUME = ("READ_VOLUME", "WRITE_VOLUME")
POLICY = "athlete-assets"
Checks = Mapping[str, Callable[[], "str | None"]]
"""By what is tried: the attempt, which returns a detail to show, and raises where it fails."""
WAREHOUSE_PATIENCE_S = 600
"""A classic warehouse takes minutes to start."""


@dataclass(frozen=True)
class Requirement:
    """One thing that a workspace must have: how to see it, how to make it, and that as SQL or a call, for people."""

    name: str
    statement: str
    present: Callable[[], bool]
    make: Callable[[], object]


def init(settings: Settings, dry_run: bool = False, say: Callable[[str], None] = print) -> int:
    """Makes what is missing, one line each. 0 when all is there in the end, else 1.

    With `dry_run` it prints the SQL or call for each missing requirement and changes nothing.
    """
    client = Credentials.from_environment().client()
    failed = 0
    for requirement in requirements(settings, client):
        try:
            if _present(requirement):
                say(f"there     {requirement.name}")
            elif dry_run:
                say(f"missing   {requirement.name}\n            {requirement.statement}")
            else:
                requirement.make()
                say(f"made      {requirement.name}")
        except Exception as error:
            failed += 1
            say(
                f"FAILED    {requirement.name}: {error}\n"
                f"            to be done by someone with the right: {requirement.statement}"
            )
    for note in _notes(settings, client):
        say(f"note      {note}")
    return 1 if failed else 0


def _notes(settings: Settings, client: WorkspaceClient) -> Iterator[str]:
    """What `init` leaves to people: settings, what is not its to make, and who else reads what should be private."""
    from databricks.sdk.errors import DatabricksError

    policy = _policy_named(client, POLICY) if _uses_own_policy(settings) else None
    if policy is not None:
        yield f"set ATHLETE_DATABRICKS_POLICY_ID={policy.policy_id} (cluster policy {POLICY})"
    if not settings.databricks_service_principal:
        yield "nobody was granted anything to run the steps: set ATHLETE_DATABRICKS_SERVICE_PRINCIPAL and repeat"
    with suppress(DatabricksError):  # not for this caller to see
        if not _exists(lambda: client.schemas.get(f"{settings.catalog}.{SILVER}")):
            yield f"schema {settings.catalog}.{SILVER} is not there: your pipeline makes it, not this command"
    volume = staging_volume(settings)
    if volume:
        with suppress(DatabricksError):  # not there yet in a dry run, or not for this caller to see
            others = rights.readers_of_volume(client, volume) - {settings.databricks_service_principal}
            others -= {client.current_user.me().user_name}
            if others:
                yield f"volume {volume}, where steps are staged, can be read or opened by {', '.join(sorted(others))}"


def requirements(settings: Settings, client: WorkspaceClient) -> Iterator[Requirement]:
    """Everything that `init` makes, in an order in which each rests on those before it."""
    from databricks.sdk.service.catalog import VolumeType

    catalog = settings.catalog
    for schema in OWN_SCHEMAS:
        yield Requirement(
            f"schema {catalog}.{schema}",
            f"CREATE SCHEMA {quoted(f'{catalog}.{schema}')}",
            lambda schema=schema: _exists(lambda: client.schemas.get(f"{catalog}.{schema}")),  # type: ignore[misc]
            lambda schema=schema: client.schemas.create(schema, catalog),  # type: ignore[misc]
        )
    volume = staging_volume(settings)
    if volume:
        of_catalog, of_schema, name = volume.split(".")
        yield Requirement(
            f"volume {volume}",
            f"CREATE VOLUME {quoted(volume)}",
            lambda: _exists(lambda: client.volumes.read(volume)),
            lambda: client.volumes.create(of_catalog, of_schema, name, VolumeType.MANAGED),
        )
    for principal, kind, securable, wanted in grants(settings):
        yield _grant(client, principal, kind, securable, wanted)
    scope = settings.databricks_secret_scope
    yield Requirement(
        f"secret scope {scope}",
        f"POST /api/2.0/secrets/scopes/create {json.dumps({'scope': scope})}",
        lambda: scope in {found.name for found in client.secrets.list_scopes()},
        lambda: client.secrets.create_scope(scope),
    )
    if _uses_own_policy(settings):
        yield _policy(client, settings)
    experiment = settings.databricks_experiment
    yield Requirement(
        f"experiment {experiment}",
        f"POST /api/2.0/mlflow/experiments/create {json.dumps({'name': experiment})}",
        lambda: _exists(lambda: client.experiments.get_by_name(experiment)),
        lambda: client.experiments.create_experiment(experiment),
    )
    principal = settings.databricks_service_principal
    if not principal:
        return
    yield _secret_right(client, scope, principal)
    for thing in _workspace_objects(settings, client):
        yield _permission(client, principal, thing)


def _uses_own_policy(settings: Settings) -> bool:
    """Whether new clusters are made, and no other policy is named for them."""
    return not settings.databricks_cluster_id and not settings.databricks_policy_id


@dataclass(frozen=True)
class WorkspaceObject:
    """What the steps use beside Unity Catalog, and the permission level that they need on it."""

    kind: str
    noun: str
    name: str
    level: str
    find: Callable[[], str | None] | None = None
    """How to find its id by the name; without it, the name is the id."""

    def id(self) -> str | None:
        return self.find() if self.find else self.name

    def __str__(self) -> str:
        return f"{self.noun} {self.name}"


def _workspace_objects(settings: Settings, client: WorkspaceClient) -> Iterator[WorkspaceObject]:
    if settings.databricks_cluster_id:
        # CAN RESTART, not CAN ATTACH TO: a run starts a cluster that has stopped
        yield WorkspaceObject("clusters", "cluster", settings.databricks_cluster_id, "CAN_RESTART")
    else:
        if settings.databricks_pool_id:
            yield WorkspaceObject("instance-pools", "instance pool", settings.databricks_pool_id, "CAN_ATTACH_TO")
        own = None if settings.databricks_policy_id else lambda: _id_of_policy(client)
        yield WorkspaceObject(
            "cluster-policies", "cluster policy", settings.databricks_policy_id or POLICY, "CAN_USE", own
        )
    if settings.databricks_warehouse_id:
        yield WorkspaceObject("warehouses", "SQL warehouse", settings.databricks_warehouse_id, "CAN_USE")
    path = settings.databricks_experiment
    yield WorkspaceObject("experiments", "experiment", path, "CAN_EDIT", lambda: _id_of_experiment(client, path))


def _id_of_policy(client: WorkspaceClient) -> str | None:
    policy = _policy_named(client, POLICY)
    return policy.policy_id if policy else None


def _id_of_experiment(client: WorkspaceClient, path: str) -> str | None:
    from databricks.sdk.errors import NotFound

    try:
        found = client.experiments.get_by_name(path).experiment
    except NotFound:
        return None
    return found.experiment_id if found else None


def staging_volume(settings: Settings) -> str | None:
    """catalog.schema.volume of the staging folder; None where that is on DBFS."""
    parts = staging_prefix(settings).strip("/").split("/")
    return ".".join(parts[1:4]) if parts[0] == "Volumes" else None


def grants(settings: Settings) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """(principal, kind of securable, its name, privileges) of the service principal, the writers and the readers."""
    catalog = settings.catalog
    runner = [settings.databricks_service_principal] if settings.databricks_service_principal else []
    readers, writers = settings.databricks_readers, settings.databricks_writers
    for principal in (*runner, *writers, *readers):
        yield principal, "catalog", catalog, ("USE_CATALOG",)
    for principal in (*runner, *writers):
        yield principal, "schema", f"{catalog}.{SILVER}", READ
    for schema in OWN_SCHEMAS:
        reading, writing = (MODEL_READ, MODEL_WRITE) if schema == "models" else (READ, WRITE)
        for principal in (*runner, *writers):
            yield principal, "schema", f"{catalog}.{schema}", writing
        for principal in readers if schema != "silver_rejects" else ():
            yield principal, "schema", f"{catalog}.{schema}", reading
    volume = staging_volume(settings)
    if volume:  # the steps' own: what lies there is code and run descriptions, nobody else's business
        for principal in runner:
            yield principal, "volume", volume, VOLUME


def _grant(client: WorkspaceClient, principal: str, kind: str, securable: str, wanted: tuple[str, ...]) -> Requirement:
    from databricks.sdk.service.catalog import PermissionsChange, Privilege

    def missing() -> list[str]:
        who = rights.identity(client, principal)
        return sorted(set(wanted) - rights.privileges(client, who, kind, securable, wanted))

    def make() -> object:
        change = PermissionsChange(add=[Privilege(name) for name in missing()], principal=principal)
        return client.grants.update(kind, securable, changes=[change])

    return Requirement(
        f"grant to {principal} on {kind} {securable}: {_as_sql(wanted)}",
        _grant_statement(wanted, kind, securable, principal),
        lambda: not missing(),
        make,
    )


def _grant_statement(wanted: Iterable[str], kind: str, securable: str, principal: str) -> str:
    return f"GRANT {_as_sql(wanted)} ON {kind.upper()} {quoted(securable)} TO {identifier(principal)}"


def _as_sql(privileges: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in privileges)


def _secret_right(client: WorkspaceClient, scope: str, principal: str) -> Requirement:
    from databricks.sdk.service.workspace import AclPermission

    return Requirement(
        f"secret scope {scope}: READ for {principal}",
        f"POST /api/2.0/secrets/acls/put {json.dumps({'scope': scope, 'principal': principal, 'permission': 'READ'})}",
        lambda: bool(
            {acl.principal for acl in client.secrets.list_acls(scope)} & set(rights.identity(client, principal).names)
        ),
        lambda: client.secrets.put_acl(scope, principal, AclPermission.READ),
    )


def _permission(client: WorkspaceClient, principal: str, thing: WorkspaceObject) -> Requirement:
    """The permission level that a service principal needs on an object of the workspace."""
    from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel

    def present() -> bool:
        id, who = thing.id(), rights.identity(client, principal)
        return id is not None and rights.has_permission(client, who, thing.kind, id, thing.level)

    def make() -> object:
        id = thing.id()
        if id is None:
            raise CheckFailed("it is not there")
        right = AccessControlRequest(service_principal_name=principal, permission_level=PermissionLevel(thing.level))
        return client.permissions.update(thing.kind, id, access_control_list=[right])

    body = {"access_control_list": [{"service_principal_name": principal, "permission_level": thing.level}]}
    return Requirement(
        f"{thing}: {thing.level.replace('_', ' ')} for {principal}",
        f"PATCH /api/2.0/permissions/{thing.kind}/{'<its id>' if thing.find else thing.name} {json.dumps(body)}",
        present,
        make,
    )


def policy_definition(settings: Settings) -> dict[str, Any]:
    """The rules of the cluster policy: this runtime and access mode, job clusters only, a bounded size, the tags."""
    most = max(settings.databricks_workers, settings.databricks_max_workers)
    rules: dict[str, Any] = {
        "cluster_type": {"type": "fixed", "value": "job"},
        "spark_version": {"type": "fixed", "value": settings.databricks_spark_version},
        "data_security_mode": {"type": "fixed", "value": settings.databricks_access_mode},
        "num_workers": {"type": "range", "maxValue": most, "isOptional": True},
        "autoscale.max_workers": {"type": "range", "maxValue": most, "isOptional": True},
    }
    if settings.databricks_pool_id:
        rules["instance_pool_id"] = {"type": "fixed", "value": settings.databricks_pool_id}
    elif settings.databricks_node_type:
        rules["node_type_id"] = {"type": "fixed", "value": settings.databricks_node_type}
    for key, value in settings.databricks_tags.items():
        rules[f"custom_tags.{key}"] = {"type": "fixed", "value": value}
    return rules


def _policy_named(client: WorkspaceClient, name: str) -> Any:
    return next((policy for policy in client.cluster_policies.list() if policy.name == name), None)


def _policy(client: WorkspaceClient, settings: Settings) -> Requirement:
    definition = policy_definition(settings)

    def present() -> bool:
        policy = _policy_named(client, POLICY)
        return policy is not None and json.loads(policy.definition or "{}") == definition

    def make() -> None:
        policy = _policy_named(client, POLICY)
        text = json.dumps(definition)
        if policy is None:
            client.cluster_policies.create(name=POLICY, definition=text)
        else:
            client.cluster_policies.edit(policy.policy_id, name=POLICY, definition=text)

    return Requirement(
        f"cluster policy {POLICY}",
        f"POST /api/2.0/policies/clusters/create {json.dumps({'name': POLICY, 'definition': definition})}",
        present,
        make,
    )


def _present(requirement: Requirement) -> bool:
    """Whether it is there; not, where what it rests on is not there yet either (in a dry run)."""
    from databricks.sdk.errors import NotFound

    try:
        return requirement.present()
    except NotFound:
        return False


def _exists(get: Callable[[], object]) -> bool:
    from databricks.sdk.errors import NotFound

    try:
        get()
    except NotFound:
        return False
    return True


class CheckFailed(AthleteAssetsError):
    """A check that did not pass: what is wrong, and what to do."""


def check(settings: Settings, run: bool = False, say: Callable[[str], None] = print) -> int:
    """Tries every right and setting, one line each, with what to do where it fails. 0 when all passed, else 1.

    With `run` the cluster is started, too, and imports the code location there.
    """
    failed = 0

    def tried(what: str, attempt: Callable[[], str | None]) -> bool:
        nonlocal failed
        try:
            detail = attempt()
        except Exception as error:
            failed += 1
            say(f"FAIL  {what}: {error}")
            return False
        say(f"ok    {what}" + (f": {detail}" if detail else ""))
        return True

    tried("settings and installed versions", lambda: before_first_run(settings))
    tried("secrets named as NAME=scope/key", lambda: str(len(secrets_of(settings))))
    signed_in: list[tuple[WorkspaceClient, rights.Identity]] = []

    def sign_in() -> str:
        credentials = Credentials.from_environment()
        client = credentials.client()
        me = rights.myself(client)
        signed_in.append((client, me))
        through = f", in {', '.join(sorted(me.groups))}" if me.groups else ""
        return f"{me.name} ({credentials.kind}){through}"

    if not tried("sign-in", sign_in):
        return 1
    client, me = signed_in[0]
    for what, attempt in {**_catalog_checks(settings, client, me), **_work_checks(settings, client, me)}.items():
        tried(what, attempt)
    if run and not failed:
        tried("a run that imports the code on the cluster", lambda: _probe(settings))
    return 1 if failed else 0


def _catalog_checks(settings: Settings, client: WorkspaceClient, me: rights.Identity) -> Checks:
    catalog = settings.catalog
    needed: list[tuple[str, str, tuple[str, ...]]] = [
        ("catalog", catalog, ("USE_CATALOG",)),
        ("schema", f"{catalog}.{SILVER}", READ),
        *(("schema", f"{catalog}.{name}", MODEL_WRITE if name == "models" else WRITE) for name in OWN_SCHEMAS),
    ]
    volume = staging_volume(settings)
    if volume:
        needed.append(("volume", volume, VOLUME))

    def has(kind: str, securable: str, wanted: tuple[str, ...]) -> None:
        from databricks.sdk.errors import NotFound

        try:
            missing = sorted(set(wanted) - rights.privileges(client, me, kind, securable, wanted))
            itself = bool(missing) and rights.may_grant(client, me, kind, securable)
        except NotFound:
            maker = {
                catalog: "an administrator",
                f"{catalog}.{SILVER}": "your pipeline",
            }.get(securable, "`athlete-assets databricks init`")
            raise CheckFailed(f"it does not exist; it is made by {maker}") from None
        if missing:
            able = " (which it may do itself: it owns it, or has MANAGE)" if itself else ""
            raise CheckFailed(
                f"no {_as_sql(missing)} for {me.name}; {_grant_statement(missing, kind, securable, me.name)}{able}"
            )

    return {
        f"{kind} {securable}": lambda kind=kind, securable=securable, wanted=wanted: has(  # type: ignore[misc]
            kind, securable, wanted
        )
        for kind, securable, wanted in needed
    }


def _work_checks(settings: Settings, client: WorkspaceClient, me: rights.Identity) -> Checks:
    def staging() -> str:
        folder = staging_at(client, staging_prefix(settings))
        name = f"check/{uuid.uuid4()}"
        folder.make_folder("check")
        folder.put(name, b"written by athlete-assets databricks check")
        if folder.get(name) is None:
            raise CheckFailed("what was written cannot be read back")
        folder.remove(name)
        return folder.prefix

    def staging_is_private() -> str | None:
        volume = staging_volume(settings)
        if volume is None:
            raise CheckFailed(
                "everyone in the workspace reads the DBFS root; set ATHLETE_DATABRICKS_STAGING to a volume"
            )
        if not rights.may_grant(client, me, "volume", volume):
            return "not this principal's to see; `athlete-assets databricks init` says who else reads it"
        others = sorted(rights.readers_of_volume(client, volume) - {me.name})
        if others:
            raise CheckFailed(
                f"{', '.join(others)} can read it or let themselves in; REVOKE READ VOLUME, WRITE VOLUME ON VOLUME "
                f"{quoted(volume)} FROM each"
            )
        return None

    def secrets() -> str | None:
        for secret in secrets_of(settings):
            keys = {found.key for found in client.secrets.list_secrets(secret["scope"])}
            if secret["key"] not in keys:
                raise CheckFailed(f"scope {secret['scope']} has no key {secret['key']} (for {secret['name']})")
        return None

    def cluster() -> str:
        if settings.databricks_cluster_id:
            found = client.clusters.get(settings.databricks_cluster_id)
            match_runtime(found.spark_version or "", settings)
            return f"{settings.databricks_cluster_id}, runtime {found.spark_version}"
        versions = {found.key for found in client.clusters.spark_versions().versions or []}
        if settings.databricks_spark_version not in versions:
            raise CheckFailed(
                f"no runtime {settings.databricks_spark_version} here; set ATHLETE_DATABRICKS_SPARK_VERSION"
            )
        if settings.databricks_pool_id:
            client.instance_pools.get(settings.databricks_pool_id)
        elif settings.databricks_node_type not in {
            found.node_type_id for found in client.clusters.list_node_types().node_types or []
        }:
            raise CheckFailed(f"no node type {settings.databricks_node_type} here; set ATHLETE_DATABRICKS_NODE_TYPE")
        if settings.databricks_policy_id:
            client.cluster_policies.get(settings.databricks_policy_id)
        return f"new for each step, runtime {settings.databricks_spark_version}"

    def experiment() -> str:
        path = settings.databricks_experiment
        id = _id_of_experiment(client, path)
        if id is None:
            raise CheckFailed(f"{path} does not exist; it is made by `athlete-assets databricks init`")
        run = client.experiments.create_run(experiment_id=id, run_name="athlete-assets databricks check").run
        if run is None or run.info is None or run.info.run_id is None:
            raise CheckFailed(f"{path}: the run that was made on trial has no id")
        client.experiments.delete_run(run.info.run_id)
        return path

    def registry() -> str:
        name = f"check_{uuid.uuid4().hex}"
        client.registered_models.create(settings.catalog, "models", name)
        client.registered_models.delete(f"{settings.catalog}.models.{name}")
        return f"{settings.catalog}.models"

    def warehouse() -> str:
        id, every = settings.databricks_warehouse_id, settings.databricks_warehouse_look_every_s
        if not id:
            return "none: silver_changes does not look; set ATHLETE_DATABRICKS_WAREHOUSE_ID or switch on silver_reports"
        used = Warehouse(id, lambda: client, seconds=WAREHOUSE_PATIENCE_S)
        found = used.state()
        used.rows("SELECT 1")  # starts it, too: the right to use it shows in no other way
        stop = found.auto_stop_mins or 0
        said = f"{id} ({found.cluster_size}); looked at every {every} s"
        if not stop:
            return f"{said}, and without an auto stop it never sleeps"
        if every <= 60 * stop:
            return f"{said}, which keeps it awake day and night: it stops after {stop} min"
        looks = 86_400 / every
        return f"{said}, stops after {stop} min: {looks:.0f} starts and {looks * stop / 60:.0f} h awake on a quiet day"

    return {
        "staging folder": staging,
        "staging folder is nobody else's": staging_is_private,
        "secrets": secrets,
        "cluster": cluster,
        "experiment": experiment,
        "model registry": registry,
        "SQL warehouse": warehouse,
    }


def _probe(settings: Settings) -> str:
    """Starts a run as a step would be started; it compares versions and imports the code location."""
    from athlete_assets.deployments.databricks.launcher import probe

    return probe(mended_launcher(settings), "athlete_assets.definitions")
