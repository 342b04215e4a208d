"""Who may do and see what in a workspace, as Databricks has it: groups, owners, inheritance, permission lists.

`Rights(workspace)` mounts stricter answers than the workspace's own, which lets anyone see everything:

- Unity Catalog: effective permissions of one principal are told to itself and to members of the group, those of
  everybody to whoever may grant; grants are made by owners and holders of MANAGE on the securable or one above it.
  An owner's rights stand in no list. A page holds two principals.
- Lists of permission levels (pools, policies, clusters, experiments) are shown to whoever manages the object, and the
  object to whoever has a level on it; a secret scope's to whoever manages the scope.
- Directory: who is in which groups, told to everyone, as in a workspace.
"""

from __future__ import annotations

import json
import re
from typing import Any

from athlete_assets_tests.fake_workspace.server import ApiError, FakeWorkspace, Request, not_found

DENIED = "PERMISSION_DENIED"


class Rights:
    def __init__(self, workspace: FakeWorkspace) -> None:
        self.workspace = workspace
        self.groups: dict[str, set[str]] = {}
        """Members by group; a member may be a group."""
        self.owners: dict[tuple[str, str], str] = {}
        self.registered: set[str] = set()
        """Models made through the catalog's own API, and not deleted."""
        for method, pattern, handler in (
            ("GET", "/api/2.0/preview/scim/v2/Me", self.me),
            ("GET", "/api/2.0/preview/scim/v2/(ServicePrincipals|Users|Groups)", self.directory),
            ("GET", "/api/2.0/preview/scim/v2/Groups/([^/]+)", self.group),
            ("GET", "/api/2.1/unity-catalog/effective-permissions/([a-z]+)/([^/]+)", self.effective),
            ("PATCH", "/api/2.1/unity-catalog/permissions/([a-z]+)/([^/]+)", self.grant),
            ("GET", "/api/2.1/unity-catalog/(catalog|schema|volume)s/([^/]+)", self.securable),
            ("POST", "/api/2.1/unity-catalog/models", self.model_create),
            ("DELETE", "/api/2.1/unity-catalog/models/([^/]+)", self.model_delete),
            ("GET", "/api/2.0/permissions/([a-z-]+)/([^/]+)", self.permissions_get),
            ("PATCH", "/api/2.0/permissions/([a-z-]+)/([^/]+)", self.permissions_patch),
            ("GET", "/api/2.0/instance-pools/get", self.pool),
            ("GET", "/api/2.0/policies/clusters/get", self.policy),
            ("GET", "/api/2.1/clusters/get", self.cluster),
            ("GET", "/api/2.0/secrets/acls/list", self.secret_acls),
            ("POST", "/api/2.0/mlflow/runs/create", self.run_create),
        ):
            workspace.mount(method, pattern, handler)

    # the directory

    def groups_of(self, principal: str) -> set[str]:
        """Directly, and through other groups."""
        direct = {group for group, members in self.groups.items() if principal in members}
        return direct | {outer for group in direct for outer in self.groups_of(group)}

    def _direct(self, principal: str) -> list[dict[str, str]]:
        return [
            {"display": group, "value": f"id of {group}"}
            for group, members in self.groups.items()
            if principal in members
        ]

    def me(self, request: Request) -> Any:
        return {"id": "1", "userName": request.principal, "active": True, "groups": self._direct(request.principal)}

    def directory(self, request: Request, kind: str) -> Any:
        attribute, wanted = re.fullmatch(r'(\w+) eq "(.*)"', request.query["filter"]).groups()  # type: ignore[union-attr]
        known = {
            "ServicePrincipals": ("applicationId", self.workspace.service_principals),
            "Users": ("userName", self.workspace.admins),
            "Groups": ("displayName", self.groups),
        }[kind]
        found = [{"id": f"id of {wanted}", attribute: wanted, "groups": self._direct(wanted)}]
        return {"Resources": found if attribute == known[0] and wanted in known[1] else [], "totalResults": 1}

    def group(self, request: Request, id: str) -> Any:
        name = id.replace("%20", " ").removeprefix("id of ")
        return {"id": id, "displayName": name, "groups": self._direct(name)}

    # Unity Catalog

    def _names(self, principal: str) -> set[str]:
        return {principal, "account users", *self.groups_of(principal)}

    def _held(self, principal: str, kind: str, name: str) -> set[str]:
        """By grants to the principal itself, here or above."""
        return set() if principal in self.workspace.admins else self.workspace._effective(principal, kind, name)

    def _may_grant(self, principal: str, kind: str, name: str) -> bool:
        if principal in self.workspace.admins:
            return True
        parts = name.split(".")
        for depth, level in enumerate(("catalog", "schema", "volume")[: len(parts)]):
            if self.owners.get((level, ".".join(parts[: depth + 1]))) in self._names(principal):
                return True
        return any("MANAGE" in self._held(one, kind, name) for one in self._names(principal))

    def effective(self, request: Request, kind: str, name: str) -> Any:
        self.workspace._securable(kind, name)
        asked = request.query.get("principal")
        if not self._may_grant(request.principal, kind, name) and asked not in self._names(request.principal):
            raise ApiError(403, DENIED, f"User is not an owner of {kind.capitalize()} '{name}'.")
        everyone = sorted({principal for granted in self.workspace.grants.values() for principal in granted})
        principals = [asked] if asked else everyone
        first = int(request.query.get("page_token", "0"))
        page = {
            "privilege_assignments": [
                {"principal": one, "privileges": [{"privilege": held} for held in sorted(self._held(one, kind, name))]}
                for one in principals[first : first + 2]
                if self._held(one, kind, name)
            ]
        }
        return page | ({"next_page_token": str(first + 2)} if first + 2 < len(principals) else {})

    def grant(self, request: Request, kind: str, name: str) -> Any:
        self.workspace._securable(kind, name)
        if not self._may_grant(request.principal, kind, name):
            raise ApiError(403, DENIED, f"User does not have MANAGE on {kind.capitalize()} '{name}'.")
        for change in request.json["changes"]:
            held = self.workspace.grants.setdefault((kind, name), {}).setdefault(change["principal"], set())
            held |= set(change.get("add", []))
        return {"privilege_assignments": []}

    def securable(self, request: Request, kind: str, name: str) -> Any:
        self.workspace._securable(kind, name)
        return {"full_name": name, "name": name, "owner": self.owners.get((kind, name), "somebody")}

    def model_create(self, request: Request) -> Any:
        body = request.json
        schema = f"{body['catalog_name']}.{body['schema_name']}"
        self.workspace._securable("schema", schema)
        held = {right for one in self._names(request.principal) for right in self._held(one, "schema", schema)}
        owns = self.owners.get(("schema", schema)) in self._names(request.principal)
        if (
            not owns
            and not held & {"CREATE_MODEL", "ALL_PRIVILEGES"}
            and request.principal not in self.workspace.admins
        ):
            raise ApiError(403, DENIED, f"User does not have CREATE MODEL on Schema '{schema}'.")
        self.registered.add(f"{schema}.{body['name']}")
        return {"full_name": f"{schema}.{body['name']}"}

    def model_delete(self, request: Request, name: str) -> Any:
        self.registered.remove(name)
        return {}

    # lists of permission levels

    def _levels(self, principal: str, kind: str, id: str) -> set[str]:
        entries = self.workspace.permissions.get(f"{kind}/{id}", [])
        names = {*self._names(principal), "users"}
        return {
            entry["permission_level"]
            for entry in entries
            if names & {entry.get("service_principal_name"), entry.get("user_name"), entry.get("group_name")}
        }

    def _needs(self, request: Request, kind: str, id: str, *levels: str) -> None:
        held = self._levels(request.principal, kind, id)
        if request.principal not in self.workspace.admins and not held & {"CAN_MANAGE", *levels}:
            raise ApiError(403, DENIED, f"{request.principal} does not have permission on {kind} {id}.")

    def permissions_get(self, request: Request, kind: str, id: str) -> Any:
        self._needs(request, kind, id)
        entries = [
            {
                **{key: value for key, value in entry.items() if key != "permission_level"},
                "all_permissions": [{"permission_level": entry["permission_level"], "inherited": False}],
            }
            for entry in self.workspace.permissions.get(f"{kind}/{id}", [])
        ]
        return {"object_type": kind, "access_control_list": entries}

    def permissions_patch(self, request: Request, kind: str, id: str) -> Any:
        self._needs(request, kind, id)
        return self.workspace.permissions_patch(request, kind, id)

    def pool(self, request: Request) -> Any:
        found = self.workspace.pools_get(request)
        self._needs(request, "instance-pools", request.query["instance_pool_id"], "CAN_ATTACH_TO")
        return found

    def policy(self, request: Request) -> Any:
        found = self.workspace.policies_get(request)
        self._needs(request, "cluster-policies", request.query["policy_id"], "CAN_USE")
        return found

    def cluster(self, request: Request) -> Any:
        found = self.workspace.clusters_get(request)
        self._needs(request, "clusters", request.query["cluster_id"], "CAN_ATTACH_TO", "CAN_RESTART")
        return found

    def secret_acls(self, request: Request) -> Any:
        if request.principal not in self.workspace.admins:
            raise ApiError(403, DENIED, f"{request.principal} does not have MANAGE on the scope.")
        if request.query["scope"] not in self.workspace.secrets:
            raise not_found(f"Scope {request.query['scope']} does not exist!")
        return self.workspace.acls_list(request)

    def run_create(self, request: Request) -> Any:
        self._needs(request, "experiments", request.json["experiment_id"], "CAN_EDIT")
        with self.workspace._lock:
            answer = self.workspace._mlflow(request)
        assert answer is not None
        return json.loads(answer.body)
