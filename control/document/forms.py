"""What the carrier posts, as far as it is read here: for the description. control.carrier.carrier_form reads it."""

from pydantic import BaseModel


class CallNews(BaseModel):
    """A form that the carrier posts; it has many more fields, and may have new ones."""

    CallSid: str
    CallStatus: str
    SequenceNumber: str | None = None
    Timestamp: str | None = None
    CallDuration: str | None = None
    AnsweredBy: str | None = None
    ErrorCode: str | None = None
    ErrorMessage: str | None = None
    SipResponseCode: str | None = None


class RecordingNews(BaseModel):
    """A form that the carrier posts of a recording."""

    CallSid: str
    RecordingSid: str
    RecordingStatus: str


class Verdict(BaseModel):
    """The verdict of machine detection, a form that the carrier posts."""

    CallSid: str
    AnsweredBy: str
