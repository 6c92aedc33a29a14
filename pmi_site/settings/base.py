"""Settings shared by development, tests and production. Values that differ come from the environment."""

from pathlib import Path
from typing import Any

import django_stubs_ext
from csp.constants import NONE, SELF
from django.urls import reverse_lazy

from pmi_site import embedded, env

# Lets `ModelForm[User]` and the like be written where Django itself has no generics at run time.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# --- PMI's own ---
PMI_VERSION = "0.1.0"
PMI_VAR_DIR = env.path("PMI_VAR_DIR", BASE_DIR / "var")
PMI_PRIVATE_ROOT = env.path("PMI_PRIVATE_ROOT", PMI_VAR_DIR / "private")
PMI_MAX_UPLOAD_BYTES = env.integer("PMI_MAX_UPLOAD_BYTES", 512 * 1024**2, minimum=1024)
PMI_MAX_IMAGE_PIXELS = env.integer("PMI_MAX_IMAGE_PIXELS", 200_000_000, minimum=1)
PMI_MAX_FILES = env.integer("PMI_MAX_FILES", 5000, minimum=1)
PMI_MAX_UNPACKED_BYTES = env.integer("PMI_MAX_UNPACKED_BYTES", 4 * 1024**3, minimum=1024)
# Decoded scans that one process keeps, so that the next slice of the same scan comes at once.
PMI_VOLUME_CACHE_BYTES = env.integer("PMI_VOLUME_CACHE_BYTES", 256 * 1024**2, minimum=0)
PMI_BUNDLE_DIR = env.path("PMI_BUNDLE_DIR", BASE_DIR / "inference" / "bundles")
# More folders with bundles, separated by commas: versions to try, put beside those that came with PMI.
PMI_EXTRA_BUNDLE_DIRS = [
    Path(place).expanduser().resolve()
    for place in env.words("PMI_EXTRA_BUNDLE_DIRS", (str(PMI_VAR_DIR / "bundles"),))
]
PMI_ONNX_CACHE = env.path("PMI_ONNX_CACHE", PMI_VAR_DIR / "onnx")
PMI_ANALYSIS_LEASE_SECONDS = env.integer("PMI_ANALYSIS_LEASE_SECONDS", 300, minimum=10)
PMI_ANALYSIS_MAX_ATTEMPTS = env.integer("PMI_ANALYSIS_MAX_ATTEMPTS", 3, minimum=1)
# Every condition that a model can report must have a resource in each of these, or the model is not promoted.
PMI_RESOURCE_LANGUAGES = ["en", "es", "hi"]
# How long somebody with a share link may look before the PIN is asked for again.
PMI_SHARE_MINUTES = env.integer("PMI_SHARE_MINUTES", 60, minimum=1)
# When patients see a reading: at_once, after_review, or routine_at_once (see `inference.release`).
PMI_RELEASE = env.text("PMI_RELEASE", "at_once")
# How long a doctor who opened a patient's cases in an emergency may look.
PMI_EMERGENCY_HOURS = env.integer("PMI_EMERGENCY_HOURS", 4, minimum=1, maximum=72)
# Whom people may write to: a mail address, or the address of a page. Shown at the foot of every page.
PMI_CONTACT = env.text("PMI_CONTACT")
PMI_ENGINES_DIR = PMI_VAR_DIR
PMI_ENGINES_DURABLE = True
# Where mail is written instead of sent, so that pages can say so; None when it is really sent.
PMI_MAIL_DIR: Path | None = None
# Whether `manage.py run` makes a patient, a doctor and an administrator to try PMI with.
PMI_DEMO_ACCOUNTS = False

# --- engines ---
_database = env.database("DATABASE_URL")
DATABASES = {"default": _database or embedded.postgres_settings(PMI_ENGINES_DIR)}
PMI_EMBEDDED_DATABASE = _database is None
CELERY_BROKER_URL = env.text("BROKER_URL") or embedded.valkey_url(PMI_ENGINES_DIR)
PMI_EMBEDDED_BROKER = not env.text("BROKER_URL")

# Counters of wrong passwords and codes and of API calls, which all processes must share.
CACHES: dict[str, Any]
if env.text("CACHE_URL"):
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": env.text("CACHE_URL"),
            "OPTIONS": {"socket_connect_timeout": 3, "socket_timeout": 5},
        }
    }
elif PMI_EMBEDDED_BROKER:
    CACHES = {
        "default": {
            "BACKEND": "pmi_site.embedded_cache.EmbeddedValkeyCache",
            "LOCATION": embedded.valkey_url(PMI_ENGINES_DIR).replace("redis+socket:", "unix:") + "?db=1",
        }
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "pmi_site.database_cache.CountingDatabaseCache",
            "LOCATION": "pmi_cache",
            # Django's 300 would forget limits of tries as soon as many people are about.
            "OPTIONS": {"MAX_ENTRIES": 200_000},
        }
    }

# --- Django ---
DEBUG = False
ALLOWED_HOSTS: list[str] = []
INSTALLED_APPS = [
    "pmi_site",
    "accounts.apps.AccountsConfig",
    "cases",
    "resources",
    "inference",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "accounts.apps.EmailAddressesConfig",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_celery_results",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]
MIDDLEWARE = [
    "pmi_site.middleware.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "pmi_site.middleware.SignedOutMiddleware",
    "pmi_site.middleware.ApiAnswersMiddleware",
    # Before anything that may read the body.
    "pmi_site.middleware.LimitsMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Before anything that says something to the person.
    "accounts.middleware.LanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.SecondFactorMiddleware",
    "accounts.middleware.SeenMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "pmi_site.urls"
WSGI_APPLICATION = "pmi_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pmi_site.context_processors.site",
                "accounts.context_processors.unread_notices",
                "accounts.context_processors.running_emergencies",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
# Each in its own words: whoever looks for their language may not read this one.
LANGUAGES = [("en", "English"), ("es", "Español"), ("hi", "हिन्दी")]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["pmi_site.formats"]
# One for the whole site, so that a day is the same day for a patient and their doctor; every page names it.
TIME_ZONE = env.text("PMI_TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
DEFAULT_FROM_EMAIL = env.text("PMI_MAIL_FROM", "PMI <no-reply@localhost>")
# What links in mails begin with: mails are written where no request tells under which name the site is known.
PMI_PUBLIC_URL = env.text("PMI_PUBLIC_URL", f"http://localhost:{env.text('PMI_PORT', '8000')}")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- static and private files ---
STATIC_URL = "/static/"
STATIC_ROOT = env.path("PMI_STATIC_ROOT", PMI_VAR_DIR / "staticfiles")
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "pmi_site.vendor.VendorFinder",
]
STORAGES = {
    "default": {"BACKEND": "cases.storage.PrivateStorage"},
    "private": {"BACKEND": "cases.storage.PrivateStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
FILE_UPLOAD_TEMP_DIR = None
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
DATA_UPLOAD_MAX_NUMBER_FILES = PMI_MAX_FILES
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024**2

# --- accounts ---
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
_VALIDATORS = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": f"{_VALIDATORS}.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "full_name"]},
    },
    {"NAME": f"{_VALIDATORS}.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": f"{_VALIDATORS}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATORS}.NumericPasswordValidator"},
]
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = "/cases/"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[PMI] "
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = None
# Wrong passwords and codes; `accounts.sign_in` says what the parts are for. The others keep allauth's rates.
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = {"login_failed": "20/m/ip,5/300s/key", "login": "60/m/ip"}
# How many proxies in front of PMI add to X-Forwarded-For; with 0 that header, which anybody can send, is
# ignored.
PMI_TRUSTED_PROXIES = env.integer("PMI_TRUSTED_PROXIES", 0, minimum=0, maximum=10)
ALLAUTH_TRUSTED_PROXY_COUNT = PMI_TRUSTED_PROXIES
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.forms.SignupForm"
MFA_ADAPTER = "accounts.mfa_adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "PMI"
# One step of 30 seconds early or late: telephones' clocks differ, and typing takes time (RFC 6238, 5.2).
MFA_TOTP_TOLERANCE = 1
# A hospital comes through one address.
MFA_RATE_LIMITS = {"webauthn_login": "30/m/ip"}
MFA_FORMS = {
    "authenticate": "accounts.second_factor_forms.CodeForm",
    "reauthenticate": "accounts.second_factor_forms.ConfirmCodeForm",
    "add_webauthn": "accounts.second_factor_forms.AddPasskeyForm",
}

# --- background work ---
CELERY_RESULT_BACKEND = "django-db"
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = ("pmi_site.tasks.route",)
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
# How long a worker that is asked to stop lets its task finish before it gives the message back.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10.0
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Of Valkey and Redis only; RabbitMQ knows by itself who holds a message, and Celery bounds its connecting.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, float] = (
    {}
    if CELERY_BROKER_URL.startswith(("amqp", "pyamqp"))
    else {
        # Longer than any task may run: a message that is only slow must not be given to a second worker.
        "visibility_timeout": 3600,
        "socket_connect_timeout": 3,
        # A worker that waits for messages is answered every second: only a dead connection is silent so long.
        "socket_timeout": 15,
    }
)
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "requeue-expired-analyses": {"task": "inference.tasks.requeue_expired", "schedule": 30.0},
    "remind-follow-ups": {"task": "cases.tasks.remind_follow_ups", "schedule": 3600.0},
    "mend-worklists": {"task": "cases.tasks.mend_worklists", "schedule": 3600.0},
    "settle-reviewed-cases": {"task": "inference.tasks.settle_reviewed_cases", "schedule": 3600.0},
    "check-links": {"task": "resources.tasks.check_links", "schedule": 7 * 24 * 3600.0},
    "chain-access-log": {"task": "accounts.job_tasks.chain_access_log", "schedule": 60.0},
    "go-on-with-exports-and-erasures": {"task": "accounts.job_tasks.sweep_jobs", "schedule": 60.0},
    "sweep-sessions": {"task": "accounts.job_tasks.sweep_sessions", "schedule": 24 * 3600.0},
    "sweep-searches": {"task": "inference.similar_tasks.sweep_searches", "schedule": 30.0},
    "read-in-the-shadow": {"task": "inference.registry_tasks.sweep_shadow", "schedule": 60.0},
    "see-workers": {"task": "inference.registry_tasks.see_workers", "schedule": 60.0},
    "measure-storage": {"task": "inference.registry_tasks.measure_storage", "schedule": 6 * 3600.0},
    "measure-models": {"task": "inference.registry_tasks.measure_models", "schedule": 24 * 3600.0},
    "fill-waiting-spaces": {"task": "inference.similar_tasks.fill_waiting_spaces", "schedule": 300.0},
}
# One that still waits when the next is due has nothing left to do.
for _entry in CELERY_BEAT_SCHEDULE.values():
    _entry["options"] = {"expires": _entry["schedule"]}

# --- API ---
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PAGINATION_CLASS": "pmi_site.rest.PagePagination",
    "PAGE_SIZE": 25,
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
    ],
    "NUM_PROXIES": PMI_TRUSTED_PROXIES,
    "DEFAULT_THROTTLE_RATES": {
        "anon": "60/min",
        "user": "600/min",
        "token": "10/min",
        "upload": "60/min",
        "similar": "30/min",
    },
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "pmi_site.parsers.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
    "DEFAULT_VERSION": "v1",
    "ALLOWED_VERSIONS": ["v1"],
    "EXCEPTION_HANDLER": "pmi_site.rest.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "PMI",
    "DESCRIPTION": (
        "Upload X-ray and MRI scans, watch them being read, fetch findings with calibrated probabilities. "
        "PMI supports a clinician's judgement; it is not a diagnosis."
    ),
    "VERSION": PMI_VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "pmi_site.rest.document_errors",
    ],
    # Two things have a kind; each of its sets of words has a name of its own.
    "ENUM_NAME_OVERRIDES": {"CaseKindEnum": "cases.models.Case.Kind"},
}

# --- browser security ---
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # NiiVue keeps its font and light textures as data: images; it needs no worker, no blob and no eval.
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
CSRF_COOKIE_HTTPONLY = False
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "pmi_site.views.csrf_failure"

# --- logs: events and ids, never names, addresses, file names or pixels ---
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {"quiet": {"()": "pmi_site.logs.WithoutIdentifiers"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["quiet"]}},
    "root": {"handlers": ["stderr"], "level": env.text("PMI_LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        "celery": {"level": "INFO"},
        "pydicom": {"level": "ERROR"},
    },
}
