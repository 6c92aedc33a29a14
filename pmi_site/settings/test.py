"""Tests: a PostgreSQL of their own beside the development one, quick password hashes, mail in memory."""

import os
import tempfile
from pathlib import Path

from pmi_site import embedded, env
from pmi_site.settings.base import *  # noqa: F403
from pmi_site.settings.base import DATABASES, PMI_VAR_DIR, REST_FRAMEWORK, STORAGES

DEBUG = False
SECRET_KEY = "only-for-tests-" + "x" * 40
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]

PMI_ENGINES_DIR = env.path("PMI_TEST_ENGINES_DIR", PMI_VAR_DIR / "test-engines")
PMI_ENGINES_DURABLE = False
if env.database("DATABASE_URL") is None:
    DATABASES["default"] = embedded.postgres_settings(PMI_ENGINES_DIR)
# Several runs may share the server: each has its own databases. Workers of one run inherit the variable.
os.environ.setdefault("PMI_TEST_RUN", str(os.getpid()))
DATABASES["default"]["TEST"] = {"NAME": f"test_pmi_{os.environ['PMI_TEST_RUN']}"}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Tests with real transactions empty all tables afterwards, which the access log refuses anywhere else.
DATABASES["default"].setdefault("OPTIONS", {})["options"] = "-c pmi.access_log_may_be_emptied=on"
PMI_EXTRA_BUNDLE_DIRS = []
CELERY_BROKER_URL = "memory://"
PMI_EMBEDDED_BROKER = False

# Tests that write files get a folder of their own through the `private_root` fixture; this is the safety net.
PMI_PRIVATE_ROOT = Path(tempfile.gettempdir()) / f"pmi-test-private-{os.environ['PMI_TEST_RUN']}"
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
ACCOUNT_RATE_LIMITS = False
REST_FRAMEWORK = {**REST_FRAMEWORK, "DEFAULT_THROTTLE_CLASSES": []}
