"""Projects, accounts and permissions, as far as clients ask for them; and routines, which there are not."""

from typing import TYPE_CHECKING

from trivet.core.errors import NotFound, Unimplemented
from trivet.protocols.bigquery.wire import Asked, Json, paged

if TYPE_CHECKING:
    from trivet.sql.database import Database


def projects(database: "Database", asked: Asked) -> Json:
    """List the projects that have tables."""
    listed, following = paged(database.projects(), asked)
    found = [
        {
            "kind": "bigquery#project",
            "id": name,
            "numericId": "0",
            "projectReference": {"projectId": name},
            "friendlyName": name,
        }
        for name in listed
    ]
    return {"kind": "bigquery#projectList", "totalItems": len(found), "projects": found, **following}


def service_account(database: "Database", asked: Asked) -> Json:
    """Name the account of a project, which is nobody's."""
    email = f"trivet@{asked.project}.iam.gserviceaccount.com"
    return {"kind": "bigquery#getServiceAccountResponse", "email": email}


def routines(database: "Database", asked: Asked) -> Json:
    """List the routines of a dataset, of which there are none."""
    with database.connect(project=asked.project) as connection:
        connection.store.dataset(asked.dataset)
    return {"routines": []}


def routine(database: "Database", asked: Asked) -> Json:
    """Say that there is no such routine."""
    raise NotFound(f"Not found: Routine {asked.table}")


def test_permissions(database: "Database", asked: Asked) -> Json:
    """Say that a caller may do everything it asks for."""
    asked_for = asked.body.get("permissions")
    return {"permissions": asked_for if isinstance(asked_for, list) else []}


def policy(database: "Database", asked: Asked) -> Json:
    """Say that there are no policies."""
    raise Unimplemented(
        f"{asked.table} has no IAM policy, and cannot be given one: whoever reaches this server may do "
        "everything (see testIamPermissions)"
    )
