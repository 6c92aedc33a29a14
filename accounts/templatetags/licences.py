"""How many doctors wait, for the admin's first page."""

from django import template

from accounts import licences

register = template.Library()


@register.simple_tag
def waiting_licences() -> int:
    """The number of licences that nobody has decided on."""
    return licences.waiting().count()
