"""Scheduled work on the knowledge base."""

from pmi_site.tasks import pmi_task


@pmi_task(queue="long", time_limit=1800)
def check_links() -> None:
    """Try every address once; the desk lists those that fail."""
    from resources import links

    urls = links.addresses_in_use()
    links.remember(links.check_all(urls))
    links.forget_unused(urls)
