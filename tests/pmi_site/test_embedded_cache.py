"""The cache on the embedded Valkey: shared, and there as soon as somebody counts."""

from pmi_site import embedded
from pmi_site.embedded_cache import EmbeddedValkeyCache


def test_two_processes_worth_of_caches_share_their_counters(settings, tmp_path):
    settings.PMI_ENGINES_DIR = tmp_path
    address = embedded.valkey_url(tmp_path).replace("redis+socket:", "unix:") + "?db=1"
    try:
        first, second = (EmbeddedValkeyCache(address, {}) for _ in range(2))
        assert first.add("tries", 1, timeout=60)
        assert second.incr("tries") == 2
        assert not second.add("tries", 1, timeout=60)
    finally:
        embedded.release("valkey", tmp_path)
