"""The REST API's address book: every app's `api.register(router)` puts its view sets here."""

from importlib import import_module
from importlib.util import find_spec

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from accounts.api import TokenView
from pmi_site.views import no_such_address


class Router(DefaultRouter):
    """One address for each thing: whoever wants another form than JSON asks with `Accept`, not by `.json`."""

    include_format_suffixes = False


router = Router()
for _app in ("accounts", "cases", "inference", "resources"):
    if find_spec(f"{_app}.api") is not None:
        import_module(f"{_app}.api").register(router)

app_name = "v1"
urlpatterns = [
    path("", include(router.urls)),
    path("token/", TokenView.as_view(), name="token"),
    path("schema/", SpectacularAPIView.as_view(api_version="v1"), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="v1:schema"), name="docs"),
    # Last: it takes whatever nothing else took.
    path("<path:address>", no_such_address, name="no-such-address"),
]
