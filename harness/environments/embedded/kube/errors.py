"""API errors as Kubernetes reports them: a Status object."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refused request: HTTP code, machine-readable reason, message for people."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    def status(self) -> dict[str, Any]:
        """The Status object that goes to the client."""
        return {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": str(self), "reason": self.reason, "code": self.code,
        }


def not_found(plural: str, name: str) -> ApiError:
    """404: the named object does not exist."""
    return ApiError(404, "NotFound", f'{plural} "{name}" not found')


def conflict(plural: str, name: str, why: str) -> ApiError:
    """409: the object is not in the state that the request was made for."""
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}": {why}')


def invalid(message: str) -> ApiError:
    """422: the object is not a valid one of its kind."""
    return ApiError(422, "Invalid", message)


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood, unknown fields included."""
    return ApiError(400, "BadRequest", message)
