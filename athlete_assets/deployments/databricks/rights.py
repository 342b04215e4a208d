"""Which rights a principal really has: its own, those of its groups, those inherited, and those of an owner.

Databricks has two systems. In Unity Catalog, privileges are granted on securables and inherited downwards; the owner
of a securable has its own privileges (USE SCHEMA, CREATE TABLE, READ VOLUME, ...), but not those on what others made
in it (SELECT, MODIFY, EXECUTE, APPLY TAG): these an owner, or whoever has MANAGE, may grant to itself. Elsewhere
(pools, policies, clusters, warehouses, experiments, secret scopes) each object has a list of permission levels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

EVERYBODY_OF_ACCOUNT, EVERYBODY_OF_WORKSPACE = "account users", "users"
"""Groups that hold everyone; Unity Catalog knows the first, the permission lists of a workspace the second."""
OF_AN_OWNER = frozenset(
    {"USE_CATALOG", "CREATE_SCHEMA", "USE_SCHEMA", "CREATE_TABLE", "CREATE_MODEL", "CREATE_VOLUME"}
    | {"READ_VOLUME", "WRITE_VOLUME"}
)
"""What owning a securable brings without a grant."""
SUFFICIENT = {
    ("warehouses", "CAN_USE"): ("CAN_USE", "CAN_MONITOR", "CAN_MANAGE", "IS_OWNER"),
    ("cluster-policies", "CAN_USE"): ("CAN_USE", "CAN_MANAGE"),
    ("instance-pools", "CAN_ATTACH_TO"): ("CAN_ATTACH_TO", "CAN_MANAGE"),
    ("clusters", "CAN_RESTART"): ("CAN_RESTART", "CAN_MANAGE"),
    ("experiments", "CAN_EDIT"): ("CAN_EDIT", "CAN_MANAGE", "IS_OWNER"),
}
"""By kind of object and needed permission level, the levels that include it."""


@dataclass(frozen=True)
class Identity:
    """A user, service principal (by application id) or group, and the groups that it is in, through others as well."""

    name: str
    groups: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Under which rights may have been granted to it."""
        return self.groups | {self.name, EVERYBODY_OF_ACCOUNT, EVERYBODY_OF_WORKSPACE}


def myself(client: WorkspaceClient) -> Identity:
    """Whoever signed in."""
    me = client.current_user.me()
    return Identity(me.user_name or "", _with_outer_groups(client, me.groups))


def identity(client: WorkspaceClient, name: str) -> Identity:
    """The principal of that name; without groups where the caller may not look it up."""
    from databricks.sdk.errors import DatabricksError

    searches: list[tuple[Any, str]] = [
        (client.service_principals, "applicationId"),
        (client.users, "userName"),
        (client.groups, "displayName"),
    ]
    for directory, attribute in searches:
        try:
            for found in directory.list(filter=f"{attribute} eq {json.dumps(name)}"):
                return Identity(name, _with_outer_groups(client, found.groups))
        except DatabricksError:
            continue
    return Identity(name)


def _with_outer_groups(client: WorkspaceClient, groups: Iterable[Any] | None) -> frozenset[str]:
    """The groups' names, and those of the groups that hold them."""
    from databricks.sdk.errors import DatabricksError

    names, left, seen = set(), list(groups or ()), set()
    while left:
        group = left.pop()
        if group.display:
            names.add(group.display)
        if group.value and group.value not in seen:
            seen.add(group.value)
            try:
                left += client.groups.get(group.value).groups or []
            except DatabricksError:
                continue  # not for this caller to see
    return frozenset(names)


# ---------------------------------------------------------------------------------------------------- Unity Catalog


def privileges(client: WorkspaceClient, who: Identity, kind: str, securable: str, wanted: Iterable[str]) -> set[str]:
    """Those of the wanted privileges that the principal has on the securable. Raises NotFound where there is none.

    Asks for one principal at a time, which a principal may for itself and for its groups.
    """
    from databricks.sdk.errors import DatabricksError

    wanted = set(wanted)
    held: set[str] = set()
    for name in (who.name, *sorted(who.groups), EVERYBODY_OF_ACCOUNT):
        try:
            granted = _granted(client, kind, securable, name).get(name, set())
        except DatabricksError:
            if name == who.name:
                raise
            continue  # a group of the workspace alone, which Unity Catalog does not know
        held |= wanted - {"MANAGE"} if "ALL_PRIVILEGES" in granted else wanted & granted
        if wanted <= held:
            return held
    if wanted & (OF_AN_OWNER | {"MANAGE"}) - held and owner(client, kind, securable) in who.names:
        held |= wanted & (OF_AN_OWNER | {"MANAGE"})
    return held


def may_grant(client: WorkspaceClient, who: Identity, kind: str, securable: str) -> bool:
    """Whether the principal may grant on the securable, and see everybody's grants: as an owner, or by MANAGE."""
    return bool(privileges(client, who, kind, securable, {"MANAGE"}))


def readers_of_volume(client: WorkspaceClient, volume: str) -> set[str]:
    """Every principal that can read or write the volume, or let itself in; whoever asks must be allowed to grant."""
    opening = {"READ_VOLUME", "WRITE_VOLUME", "ALL_PRIVILEGES", "MANAGE"}
    found = {name for name, granted in _granted(client, "volume", volume).items() if granted & opening}
    holder = owner(client, "volume", volume)
    return found | ({holder} if holder else set())


def owner(client: WorkspaceClient, kind: str, securable: str) -> str | None:
    """Who owns a catalog, schema or volume; None where that is not shown to the caller."""
    from databricks.sdk.errors import PermissionDenied

    get: Any = {"catalog": client.catalogs.get, "schema": client.schemas.get, "volume": client.volumes.read}[kind]
    try:
        found: str | None = get(securable).owner
    except PermissionDenied:
        return None
    return found


def _granted(client: WorkspaceClient, kind: str, securable: str, principal: str | None = None) -> dict[str, set[str]]:
    """By principal, what is granted on the securable and inherited from those above it, page after page."""
    granted: dict[str, set[str]] = {}
    token = None
    while True:
        page = client.grants.get_effective(kind, securable, principal=principal, max_results=0, page_token=token)
        for assignment in page.privilege_assignments or []:
            held = granted.setdefault(assignment.principal or "", set())
            held |= {one.privilege.value for one in assignment.privileges or [] if one.privilege}
        token = page.next_page_token
        if not token:
            return granted


# ----------------------------------------------------------------------------------------- objects of the workspace


def has_permission(client: WorkspaceClient, who: Identity, kind: str, id: str, level: str) -> bool:
    """Whether the object's list names the principal, or a group of it, with the level or one that includes it."""
    sufficient = SUFFICIENT[kind, level]
    for entry in client.permissions.get(kind, id).access_control_list or []:
        named = entry.service_principal_name or entry.user_name or entry.group_name
        levels = {one.permission_level.value for one in entry.all_permissions or [] if one.permission_level}
        if named in who.names and levels & set(sufficient):
            return True
    return False
