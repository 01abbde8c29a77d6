"""The errors of the local API, as the board application sees them."""

from typing import Any

from replicator.errors import ReplicatorError


class ApiError(ReplicatorError):
    """A local request that is answered with an error.

    Args:
        status: the HTTP status.
        code: stable, for programs.
        message: one sentence for a person.
        field: the member or parameter at fault, or None.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field

    def body(self) -> dict[str, Any]:
        """Return the answer's body: ``{"error": {"code", "message", "field"?}}``."""
        error = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return {"error": error}
