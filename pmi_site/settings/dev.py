"""Development: one machine, plain HTTP on localhost, mail written to a folder."""

from pmi_site import env
from pmi_site.secret_key import load_or_create
from pmi_site.settings.base import *  # noqa: F403
from pmi_site.settings.base import PMI_VAR_DIR

DEBUG = env.flag("PMI_DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY") or load_or_create(PMI_VAR_DIR / "secret_key")
ALLOWED_HOSTS = env.words("PMI_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
PMI_MAIL_DIR = PMI_VAR_DIR / "mail"
EMAIL_BACKEND = "pmi_site.mail.FolderEmailBackend"
PMI_DEMO_ACCOUNTS = env.flag("PMI_DEMO_ACCOUNTS", True)
