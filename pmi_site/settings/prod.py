"""Production: behind HTTPS, every secret from the environment."""

from pmi_site import env
from pmi_site.settings.base import *  # noqa: F403

DEBUG = False
SECRET_KEY = env.required("SECRET_KEY")
# Forgotten, they would mean a new and empty database on this machine.
if not env.flag("PMI_EMBEDDED", False):
    env.required("DATABASE_URL", "or PMI_EMBEDDED=true")
    env.required("BROKER_URL", "or PMI_EMBEDDED=true")
# Older keys that still open what they closed: sessions, and the secrets of second steps.
SECRET_KEY_FALLBACKS = list(env.words("SECRET_KEY_FALLBACKS"))
ALLOWED_HOSTS = env.words("PMI_ALLOWED_HOSTS")
PMI_PUBLIC_URL = env.text("PMI_PUBLIC_URL", f"https://{next(iter(ALLOWED_HOSTS), '')}")
CSRF_TRUSTED_ORIGINS = env.words("PMI_TRUSTED_ORIGINS")

SECURE_SSL_REDIRECT = env.flag("PMI_SSL_REDIRECT", True)
SECURE_HSTS_SECONDS = env.integer("PMI_HSTS_SECONDS", 31_536_000, minimum=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
# Only where a proxy in front sets this header itself and drops what a client sent.
if env.flag("PMI_BEHIND_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-pmi-session"
CSRF_COOKIE_NAME = "__Host-pmi-csrf"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https"

EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = env.text("SMTP_HOST", "localhost")
EMAIL_PORT = env.integer("SMTP_PORT", 587, minimum=1, maximum=65535)
EMAIL_HOST_USER = env.text("SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("SMTP_PASSWORD")
# Port 465 speaks TLS from the first byte; on others both sides agree on it first (STARTTLS).
EMAIL_USE_SSL = EMAIL_PORT == 465
EMAIL_USE_TLS = not EMAIL_USE_SSL and env.flag("SMTP_TLS", True)
EMAIL_TIMEOUT = 10
