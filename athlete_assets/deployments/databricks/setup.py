"""`athlete-assets databricks init` and `check`: what a workspace must have, made and tried by code.

`init` is idempotent: each part is looked for first and made only where it is missing, so that a second run changes
nothing and a half-done one is completed. `check` needs no more rights than the steps themselves.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
WAREHOUSE_PATIENCE_S = 600
"""A classic warehouse takes minutes to start."""


@dataclass(frozen=True)
class Part:
    """One thing that a workspace must have: how to see it, how to make it, and that as SQL or a call, for people."""

    what: str
    said: str
    present: Callable[[], bool]
    make: Callable[[], object]


def init(settings: Settings, dry_run: bool = False, say: Callable[[str], None] = print) -> int:
    """Makes what is missing, one line each. 0 when all is there in the end, else 1.

    With `dry_run` it prints the SQL or call for each missing part and changes nothing.
    """
    client = Credentials.from_environment().client()
    missing = 0
    for part in parts(settings, client):
        try:
            if _present(part):
                say(f"there     {part.what}")
            elif dry_run:
                say(f"missing   {part.what}\n            {part.said}")
            else:
                part.make()
                say(f"made      {part.what}")
        except Exception as error:
            missing += 1
            say(f"FAILED    {part.what}: {error}\n            to be done by someone with the right: {part.said}")
    return 1 if missing else 0


def parts(settings: Settings, client: WorkspaceClient) -> Iterator[Part]:
    """Everything that `init` makes, in an order in which each rests on those before it."""
    from databricks.sdk.service.catalog import VolumeType

    catalog = settings.catalog
    for schema in OWN_SCHEMAS:
        yield Part(
            f"schema {catalog}.{schema}",
            f"CREATE SCHEMA {catalog}.{schema}",
            lambda schema=schema: _found(lambda: client.schemas.get(f"{catalog}.{schema}")),  # type: ignore[misc]
            lambda schema=schema: client.schemas.create(schema, catalog),  # type: ignore[misc]
        )
    volume = staging_volume(settings)
    if volume:
        of_catalog, of_schema, name = volume.split(".")
        yield Part(
            f"volume {volume}",
            f"CREATE VOLUME {volume}",
            lambda: _found(lambda: client.volumes.read(volume)),
            lambda: client.volumes.create(of_catalog, of_schema, name, VolumeType.MANAGED),
        )
    for principal, kind, securable, privileges in grants(settings):
        yield _grant(client, principal, kind, securable, privileges)
    scope = settings.databricks_secret_scope
    yield Part(
        f"secret scope {scope}",
        f"POST /api/2.0/secrets/scopes/create {json.dumps({'scope': scope})}",
        lambda: scope in {found.name for found in client.secrets.list_scopes()},
        lambda: client.secrets.create_scope(scope),
    )
    if settings.databricks_service_principal:
        yield _secret_right(client, scope, settings.databricks_service_principal)
    if settings.databricks_service_principal and settings.databricks_warehouse_id:
        yield _warehouse_right(client, settings.databricks_warehouse_id, settings.databricks_service_principal)
    yield _policy(client, settings)


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


def _grant(client: WorkspaceClient, principal: str, kind: str, securable: str, privileges: tuple[str, ...]) -> Part:
    from databricks.sdk.service.catalog import PermissionsChange, Privilege

    def missing() -> list[str]:
        return sorted(set(privileges) - _effective(client, principal, kind, securable))

    def make() -> object:
        change = PermissionsChange(add=[Privilege(name) for name in missing()], principal=principal)
        return client.grants.update(kind, securable, changes=[change])

    spoken = ", ".join(name.replace("_", " ") for name in privileges)
    return Part(
        f"grant to {principal} on {kind} {securable}: {spoken}",
        f"GRANT {spoken} ON {kind.upper()} {securable} TO `{principal}`",
        lambda: not missing(),
        make,
    )


def _effective(client: WorkspaceClient, principal: str, kind: str, securable: str) -> set[str]:
    answer = client.grants.get_effective(kind, securable, principal=principal)
    found = {
        privilege.privilege.value
        for assignment in answer.privilege_assignments or []
        for privilege in assignment.privileges or []
        if privilege.privilege
    }
    if "ALL_PRIVILEGES" in found:
        found |= {*WRITE, *MODEL_WRITE, *VOLUME, "USE_CATALOG"}
    return found


def _secret_right(client: WorkspaceClient, scope: str, principal: str) -> Part:
    from databricks.sdk.service.workspace import AclPermission

    return Part(
        f"secret scope {scope}: READ for {principal}",
        f"POST /api/2.0/secrets/acls/put {json.dumps({'scope': scope, 'principal': principal, 'permission': 'READ'})}",
        lambda: principal in {acl.principal for acl in client.secrets.list_acls(scope)},
        lambda: client.secrets.put_acl(scope, principal, AclPermission.READ),
    )


def _warehouse_right(client: WorkspaceClient, warehouse: str, principal: str) -> Part:
    from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel

    def present() -> bool:
        rights = client.permissions.get("warehouses", warehouse).access_control_list or []
        return principal in {right.service_principal_name for right in rights}  # any level there includes CAN USE

    def make() -> object:
        right = AccessControlRequest(service_principal_name=principal, permission_level=PermissionLevel.CAN_USE)
        return client.permissions.update("warehouses", warehouse, access_control_list=[right])

    body = {"access_control_list": [{"service_principal_name": principal, "permission_level": "CAN_USE"}]}
    return Part(
        f"SQL warehouse {warehouse}: CAN USE for {principal}",
        f"PATCH /api/2.0/permissions/warehouses/{warehouse} {json.dumps(body)}",
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


def _policy(client: WorkspaceClient, settings: Settings) -> Part:
    from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel

    definition = policy_definition(settings)
    principal = settings.databricks_service_principal

    def found() -> Any:
        return next((policy for policy in client.cluster_policies.list() if policy.name == POLICY), None)

    def present() -> bool:
        policy = found()
        if policy is None or json.loads(policy.definition or "{}") != definition:
            return False
        rights = client.permissions.get("cluster-policies", policy.policy_id).access_control_list or []
        return not principal or principal in {right.service_principal_name for right in rights}

    def make() -> None:
        policy = found()
        text = json.dumps(definition)
        if policy is None:
            policy_id = client.cluster_policies.create(name=POLICY, definition=text).policy_id
        else:
            policy_id = policy.policy_id
            client.cluster_policies.edit(policy_id, name=POLICY, definition=text)
        assert policy_id is not None
        if principal:
            right = AccessControlRequest(service_principal_name=principal, permission_level=PermissionLevel.CAN_USE)
            client.permissions.update("cluster-policies", policy_id, access_control_list=[right])

    return Part(
        f"cluster policy {POLICY}",
        f"POST /api/2.0/policies/clusters/create {json.dumps({'name': POLICY, 'definition': definition})}",
        present,
        make,
    )


def _present(part: Part) -> bool:
    """Whether the part is there; not, where what it rests on is not there yet either (in a dry run)."""
    from databricks.sdk.errors import NotFound

    try:
        return part.present()
    except NotFound:
        return False


def _found(get: Callable[[], object]) -> bool:
    from databricks.sdk.errors import NotFound

    try:
        get()
    except NotFound:
        return False
    return True


class Missing(AthleteAssetsError):
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
    clients: list[WorkspaceClient] = []
    names: list[str] = []

    def sign_in() -> str:
        credentials = Credentials.from_environment()
        client = credentials.client()
        name = client.current_user.me().user_name or ""
        clients.append(client)
        names.append(name)
        return f"{name} ({credentials.kind})"

    if not tried("sign-in", sign_in):
        return 1
    client, me = clients[0], names[0]
    for what, attempt in {**_catalog_checks(settings, client, me), **_work_checks(settings, client, me)}.items():
        tried(what, attempt)
    if run and not failed:
        tried("a run that imports the code on the cluster", lambda: _probe(settings))
    return 1 if failed else 0


def _catalog_checks(settings: Settings, client: WorkspaceClient, me: str) -> Mapping[str, Callable[[], str | None]]:
    catalog = settings.catalog
    needed: list[tuple[str, str, tuple[str, ...]]] = [
        ("catalog", catalog, ("USE_CATALOG",)),
        ("schema", f"{catalog}.{SILVER}", READ),
        *(("schema", f"{catalog}.{name}", MODEL_WRITE if name == "models" else WRITE) for name in OWN_SCHEMAS),
    ]
    volume = staging_volume(settings)
    if volume:
        needed.append(("volume", volume, VOLUME))

    def has(kind: str, securable: str, privileges: tuple[str, ...]) -> None:
        from databricks.sdk.errors import NotFound

        try:
            missing = sorted(set(privileges) - _effective(client, me, kind, securable))
        except NotFound:
            maker = "an administrator creates catalogs" if kind == "catalog" else "`athlete-assets databricks init`"
            raise Missing(f"it does not exist; made by {maker}") from None
        if missing:
            spoken = ", ".join(name.replace("_", " ") for name in missing)
            raise Missing(f"no {spoken} for {me}; GRANT {spoken} ON {kind.upper()} {securable} TO `{me}`")

    return {
        f"{kind} {securable}": lambda kind=kind, securable=securable, privileges=privileges: has(  # type: ignore[misc]
            kind, securable, privileges
        )
        for kind, securable, privileges in needed
    }


def _work_checks(settings: Settings, client: WorkspaceClient, me: str) -> Mapping[str, Callable[[], str | None]]:
    def staging() -> str:
        folder = staging_at(client, staging_prefix(settings))
        name = f"check/{uuid.uuid4()}"
        folder.make_folder("check")
        folder.put(name, b"written by athlete-assets databricks check")
        if folder.get(name) is None:
            raise Missing("what was written cannot be read back")
        folder.remove(name)
        return folder.prefix

    def staging_is_private() -> str | None:
        volume = staging_volume(settings)
        if volume is None:
            raise Missing("everyone in the workspace reads the DBFS root; set ATHLETE_DATABRICKS_STAGING to a volume")
        answer = client.grants.get_effective("volume", volume)
        others = sorted(
            assignment.principal or ""
            for assignment in answer.privilege_assignments or []
            if assignment.principal != me
            and {"READ_VOLUME", "WRITE_VOLUME", "ALL_PRIVILEGES"}
            & {privilege.privilege.value for privilege in assignment.privileges or [] if privilege.privilege}
        )
        if others:
            raise Missing(f"{', '.join(others)} can read or write it, too; REVOKE READ VOLUME, WRITE VOLUME from them")
        return None

    def secrets() -> str | None:
        for secret in secrets_of(settings):
            keys = {found.key for found in client.secrets.list_secrets(secret["scope"])}
            if secret["key"] not in keys:
                raise Missing(f"scope {secret['scope']} has no key {secret['key']} (for {secret['name']})")
        return None

    def cluster() -> str:
        if settings.databricks_cluster_id:
            found = client.clusters.get(settings.databricks_cluster_id)
            match_runtime(found.spark_version or "", settings)
            return f"{settings.databricks_cluster_id}, runtime {found.spark_version}"
        versions = {found.key for found in client.clusters.spark_versions().versions or []}
        if settings.databricks_spark_version not in versions:
            raise Missing(f"no runtime {settings.databricks_spark_version} here; set ATHLETE_DATABRICKS_SPARK_VERSION")
        if settings.databricks_pool_id:
            client.instance_pools.get(settings.databricks_pool_id)
        elif settings.databricks_node_type not in {
            found.node_type_id for found in client.clusters.list_node_types().node_types or []
        }:
            raise Missing(f"no node type {settings.databricks_node_type} here; set ATHLETE_DATABRICKS_NODE_TYPE")
        if settings.databricks_policy_id:
            client.cluster_policies.get(settings.databricks_policy_id)
        return f"new for each step, runtime {settings.databricks_spark_version}"

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
        "SQL warehouse": warehouse,
    }


def _probe(settings: Settings) -> str:
    """Starts a run as a step would be started; it compares versions and imports the code location."""
    from athlete_assets.deployments.databricks.launcher import probe

    return probe(mended_launcher(settings), "athlete_assets.definitions")
