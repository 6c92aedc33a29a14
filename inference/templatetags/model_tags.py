"""Template filters for what a model's bundle says about it."""

from django import template

from inference import bundle_words, model_words

register = template.Library()


@register.filter
def said(sentence: str) -> bundle_words.Said:
    """A sentence of a bundle's makers, in the reader's language where there is a translation."""
    return bundle_words.said(sentence)


@register.filter
def plane_name(plane: str) -> str:
    """The name of a plane for doctors."""
    return model_words.plane_name(plane)
