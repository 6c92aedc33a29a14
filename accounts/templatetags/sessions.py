"""Words about a person's sessions."""

from django import template

from accounts.sessions import coarse, device_of

register = template.Library()
register.filter("device", device_of)
register.filter("coarse", coarse)
