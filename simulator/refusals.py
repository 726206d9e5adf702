"""The carrier's error answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status and the carrier's own code; nothing was done."""

    status: int
    code: int | None
    message: str

    @property
    def body(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}" if self.code else "",
            "status": self.status,
        }


NOT_AUTHENTICATED = Refusal(401, 20003, "Authenticate")
NOT_FOUND = Refusal(404, 20404, "The requested resource was not found")
NOT_CANCELABLE = Refusal(400, 21220, "Call is not in the expected state. Cannot cancel.")
NOT_LIVE = Refusal(400, 21220, "Call is not in-progress. Cannot redirect.")
NOT_A_STATUS = Refusal(400, 20001, "Status must be canceled or completed.")
NOT_DELETABLE = Refusal(409, 20009, "Cannot delete this resource before it is complete.")

_USUAL_CODE = {400: 20001, 401: 20003, 403: 20403, 404: 20404, 422: 20422, 429: 20429, 500: 20500, 503: 20503}


def usual(status: int, code: int | None = None, message: str | None = None) -> Refusal:
    """A refusal with the code that usually goes with an HTTP status, unless another is named."""
    return Refusal(status, code or _USUAL_CODE.get(status), message or "Simulated error")
