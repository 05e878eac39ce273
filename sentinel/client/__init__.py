"""The one façade through which people and programs change a fleet: `Client`."""

from __future__ import annotations

from sentinel.client.facade import Client
from sentinel.client.options import ClientOptions

__all__ = ["Client", "ClientOptions"]
