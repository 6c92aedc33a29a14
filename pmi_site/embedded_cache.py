"""Django's Redis cache on the embedded Valkey, which starts with the first use."""

from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from pmi_site import embedded


class _Client(RedisCacheClient):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        embedded.hold("valkey")
        super().__init__(*args, **kwargs)


class EmbeddedValkeyCache(RedisCache):
    """For machines without a Valkey of their own; the counters are gone when the last process ends."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Client
