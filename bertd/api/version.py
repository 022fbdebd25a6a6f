"""The version of the socket API, and the headers that carry versions."""

from __future__ import annotations

API_VERSION = 1
API_VERSION_HEADER = "Bertd-Api-Version"
VERSION_HEADER = "Bertd-Version"
"""The version of bertd. Answers of the same version are of the same models, and need no check before they are shown."""
