"""Signatures of announcements: who does not have the key can announce nothing that is believed."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256

import msgspec

from schemas.error import ModelRejected
from schemas.model import ModelAnnouncement


def sign(announcement: ModelAnnouncement, key: str) -> ModelAnnouncement:
    """The announcement with its signature; without one where there is no key."""
    return msgspec.structs.replace(announcement, signature=_signature(announcement, key) if key else "")


def check_signature(announcement: ModelAnnouncement, key: str) -> None:
    """Check that whoever announced it has the key; without a key nothing is checked.

    Raises
    ------
    ModelRejected
        When it is not signed, or not with this key, or was changed since.
    """
    if not key:
        return
    name = f"{announcement.model_name} {announcement.model_version}"
    if not announcement.signature:
        raise ModelRejected(f"the announcement of {name} is not signed, and DWCP_MODEL_KEY is set", "signature")
    # Compared as bytes: compare_digest takes no text beyond ASCII, and takes as long whatever differs.
    if not hmac.compare_digest(announcement.signature.encode(), _signature(announcement, key).encode()):
        raise ModelRejected(f"the announcement of {name} is signed with another key, or was changed", "signature")


def _signature(announcement: ModelAnnouncement, key: str) -> str:
    """HMAC-SHA256 over what is said beside the signature, as JSON with sorted keys, in base64.

    Fields at their defaults are left out, so that a field that a later version adds changes no signature.
    """
    said = {
        field.name: getattr(announcement, field.name)
        for field in msgspec.structs.fields(announcement)
        if field.name != "signature" and getattr(announcement, field.name) != field.default
    }
    canonical = msgspec.json.encode(said, order="sorted")
    return base64.b64encode(hmac.new(key.encode(), canonical, sha256).digest()).decode()
