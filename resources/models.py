"""What PMI knows about each condition, as curators keep it.

Every row that patients read has a `status` (only `published` is shown) and says which clinician, if any, has
read it. Rows that came from the seed files carry `seed_key` and `seed_hash`: the hash of what the seed last
wrote, so that loading the seed again can tell an untouched row from one that a curator has edited (see
`seeding.py`).
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from pmi_site.models import BaseModel
from pmi_site.reading import COUNTRIES
from resources.choices import (
    Audience,
    DangerLevel,
    Evidence,
    Kind,
    ResourceAudience,
    ResourceKind,
    Section,
    Status,
    TreatmentKind,
)
from resources.codes import ICD10, ICD11, RADLEX, known_icd10, snomed_ct
from resources.coding import SYSTEMS, Code
from resources.fields import LinesField
from resources.sanitise import plain_value
from resources.search_models import SearchDocument
from resources.workflow_models import LinkCheck, Revision, RevisionState

__all__ = [
    "Advice",
    "Citation",
    "Condition",
    "LinkCheck",
    "Resource",
    "Revision",
    "RevisionState",
    "SearchDocument",
    "Source",
    "Translation",
    "Treatment",
]

LANGUAGE = RegexValidator(r"^[a-z]{2,3}(-[A-Z]{2})?$", _("A language code looks like en or pt-BR."))
COUNTRY = RegexValidator(r"^[A-Z]{2}$", _("A country code is two capital letters, like GB."))


class Seeded(BaseModel):
    """A row that may have come from the seed files."""

    seed_key = models.CharField(
        _("seed key"), max_length=160, unique=True, null=True, blank=True, editable=False
    )
    seed_hash = models.CharField(_("seed hash"), max_length=64, blank=True, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        for field in self._meta.concrete_fields:
            if isinstance(field, models.CharField | models.TextField | LinesField | models.JSONField):
                if not isinstance(field, models.URLField) and field.editable:
                    setattr(self, field.attname, plain_value(getattr(self, field.attname)))
        super().save(*args, **kwargs)


class Publishable(Seeded):
    """A row that is shown to the public only while it is published."""

    status = models.CharField(
        _("status"),
        max_length=12,
        choices=Status,
        default=Status.DRAFT,
        db_index=True,
        help_text=_("Only published entries are shown. Retire an entry instead of deleting it."),
    )

    class Meta:
        abstract = True


class MedicalText(Publishable):
    """Medical text: it says who has read it, and when it must be read again."""

    reviewed_by = models.CharField(
        _("reviewed by"),
        max_length=200,
        blank=True,
        help_text=_(
            "Name and role of the clinician who has read this text as it stands. Leave empty if nobody has: "
            "readers are told so."
        ),
    )
    reviewed_on = models.DateField(_("reviewed on"), null=True, blank=True)
    review_by = models.DateField(_("review again by"), null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_reviewed(self) -> bool:
        """A clinician has read this text."""
        return bool(self.reviewed_by and self.reviewed_on)

    @property
    def is_review_due(self) -> bool:
        """The day by which it should have been read again has passed."""
        return self.review_by is not None and self.review_by < timezone.localdate()

    def clean(self) -> None:
        super().clean()
        if bool(self.reviewed_by) != bool(self.reviewed_on):
            raise ValidationError(_("A review needs both the clinician and the date."), code="half_review")


class Source(Seeded):
    """A publication or page that statements rest on."""

    citation = models.CharField(
        _("citation"),
        max_length=400,
        help_text=_("Who, what, where, when: enough to find it without the link."),
    )
    url = models.URLField(_("address"), max_length=400, blank=True)
    accessed_on = models.DateField(
        _("accessed on"),
        null=True,
        blank=True,
        help_text=_("The day somebody opened it. Empty if nobody has."),
    )

    class Meta:
        ordering = ["citation"]
        verbose_name = _("source")
        verbose_name_plural = _("sources")

    def __str__(self) -> str:
        return self.citation


class Condition(MedicalText):
    """Something a reading can name, including "nothing found" and "we could not read this"."""

    slug = models.SlugField(
        _("slug"), max_length=60, unique=True, help_text=_("Used in addresses; do not change.")
    )
    name = models.CharField(_("plain name"), max_length=120)
    clinical_name = models.CharField(_("clinical name"), max_length=200, blank=True)
    aliases = LinesField(
        verbose_name=_("other names"), blank=True, help_text=_("Other words people search for, one a line.")
    )
    kind = models.CharField(_("scan"), max_length=12, choices=Kind, db_index=True)
    icd10 = models.CharField(
        _("ICD-10"),
        max_length=10,
        blank=True,
        validators=[ICD10, known_icd10],
        help_text=_("Only if you are certain."),
    )
    icd11 = models.CharField(
        _("ICD-11"), max_length=10, blank=True, validators=[ICD11], help_text=_("Only if you are certain.")
    )
    snomed = models.CharField(
        _("SNOMED CT"),
        max_length=18,
        blank=True,
        validators=[snomed_ct],
        help_text=_("Only if you are certain."),
    )
    radlex = models.CharField(
        _("RadLex"), max_length=12, blank=True, validators=[RADLEX], help_text=_("Only if you are certain.")
    )
    summary = models.CharField(_("in one sentence"), max_length=240, help_text=_("Shown in lists."))
    what_it_is = models.TextField(_("what it is"))
    how_confirmed = models.TextField(_("how it is confirmed"))
    red_flags = LinesField(
        verbose_name=_("warning signs"), help_text=_("Signs that need help at once, one a line.")
    )
    outlook_treated = models.TextField(_("outlook with treatment"))
    outlook_untreated = models.TextField(_("outlook without treatment"), blank=True)
    clinical_note = models.TextField(
        _("note for doctors"), blank=True, help_text=_("Clinical language; not held to the plain-words rule.")
    )
    sources = models.ManyToManyField(
        Source, through="Citation", related_name="conditions", blank=True, verbose_name=_("sources")
    )
    position = models.PositiveSmallIntegerField(_("order in lists"), default=100)

    class Meta:
        ordering = ["kind", "position", "name"]
        verbose_name = _("condition")
        verbose_name_plural = _("conditions")

    def __str__(self) -> str:
        return self.name

    @property
    def outlook(self) -> str:
        """Both outlooks as one text."""
        return "\n\n".join(part for part in (self.outlook_treated, self.outlook_untreated) if part)

    @property
    def codes(self) -> list[Code]:
        """The codes of this condition that somebody was certain of."""
        return [Code(name, uri, getattr(self, f)) for f, name, uri in SYSTEMS if getattr(self, f)]

    def get_absolute_url(self) -> str:
        return reverse("resources:condition_detail", args=[self.slug])


class Citation(models.Model):
    """Which source stands behind which part of a condition's text."""

    condition = models.ForeignKey(Condition, on_delete=models.CASCADE, related_name="citations")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="citations")
    section = models.CharField(_("stands behind"), max_length=16, choices=Section)

    class Meta:
        ordering = ["source__citation", "section"]
        constraints = [
            models.UniqueConstraint(fields=["condition", "source", "section"], name="one_citation_each")
        ]
        verbose_name = _("citation")
        verbose_name_plural = _("citations")

    def __str__(self) -> str:
        return f"{self.get_section_display()}: {self.source}"


class Treatment(MedicalText):
    """One thing that can be done about a condition, or the statement that nothing needs to be."""

    condition = models.ForeignKey(Condition, on_delete=models.CASCADE, related_name="treatments")
    kind = models.CharField(_("kind"), max_length=14, choices=TreatmentKind)
    name = models.CharField(_("name"), max_length=120)
    what_it_involves = models.TextField(_("what it involves"))
    when_used = models.TextField(_("when it is used"), blank=True)
    benefits = models.TextField(_("benefits"), blank=True)
    risks = models.TextField(_("risks and side effects"), blank=True)
    provided_by = models.CharField(_("who provides it"), max_length=200, blank=True)
    evidence = models.CharField(
        _("evidence"),
        max_length=16,
        choices=Evidence,
        blank=True,
        help_text=_("What a guideline among the sources says. Leave empty if you have not checked."),
    )
    sources = models.ManyToManyField(Source, related_name="treatments", blank=True, verbose_name=_("sources"))
    position = models.PositiveSmallIntegerField(_("order"), default=100)

    class Meta:
        ordering = ["position", "name"]
        constraints = [models.UniqueConstraint(fields=["condition", "name"], name="one_treatment_name_each")]
        verbose_name = _("treatment")
        verbose_name_plural = _("treatments")

    def __str__(self) -> str:
        return self.name


class Advice(MedicalText):
    """What to do now, for one condition (or for all), one danger level and one reader."""

    condition = models.ForeignKey(
        Condition,
        on_delete=models.CASCADE,
        related_name="advice",
        null=True,
        blank=True,
        help_text=_("Leave empty for advice that stands in wherever a condition has none of its own."),
    )
    danger_level = models.CharField(_("danger level"), max_length=12, choices=DangerLevel)
    audience = models.CharField(_("for whom"), max_length=8, choices=Audience, default=Audience.PATIENT)
    headline = models.CharField(_("the one thing to do"), max_length=160)
    text = models.TextField(_("text"))
    sources = models.ManyToManyField(Source, related_name="advice", blank=True, verbose_name=_("sources"))

    class Meta:
        ordering = ["condition__name", "danger_level", "audience"]
        constraints = [
            models.UniqueConstraint(
                fields=["condition", "danger_level", "audience"], name="one_advice_each", nulls_distinct=False
            )
        ]
        verbose_name = _("advice")
        verbose_name_plural = _("advice")

    def __str__(self) -> str:
        subject = self.condition.name if self.condition else str(_("Any condition"))
        return f"{subject}, {self.danger_level}, {self.audience}"


class Translation(MedicalText):
    """One condition, treatment or advice in another language.

    A row of its own, because a translation of medical text is medical text: it is written, reviewed and
    published by itself, and a reader of Spanish gets English where only a draft exists.
    """

    condition = models.ForeignKey(
        Condition, on_delete=models.CASCADE, related_name="translations", null=True, blank=True
    )
    treatment = models.ForeignKey(
        Treatment, on_delete=models.CASCADE, related_name="translations", null=True, blank=True
    )
    advice = models.ForeignKey(
        Advice, on_delete=models.CASCADE, related_name="translations", null=True, blank=True
    )
    language = models.CharField(_("language"), max_length=8, validators=[LANGUAGE])
    # {name of the field: text, or list of texts where the field is a list}
    texts: Any = models.JSONField(_("texts"), default=dict)
    # Hash of the English texts that were translated: says when they have changed since.
    original_hash = models.CharField(_("hash of the original"), max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ["language", "created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["condition", "treatment", "advice", "language"],
                name="one_translation_each",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(condition__isnull=False, treatment=None, advice=None)
                | models.Q(condition=None, treatment__isnull=False, advice=None)
                | models.Q(condition=None, treatment=None, advice__isnull=False),
                name="translation_of_one_entry",
            ),
        ]
        verbose_name = _("translation")
        verbose_name_plural = _("translations")

    def __str__(self) -> str:
        return f"{self.original} [{self.language}]"

    @property
    def original(self) -> "Condition | Treatment | Advice | None":
        """The English entry."""
        return self.condition or self.treatment or self.advice

    @property
    def is_stale(self) -> bool:
        """The English text has changed since it was translated."""
        from resources.translating import original_hash

        return bool(self.original_hash and self.original) and self.original_hash != original_hash(
            self.original
        )


class Resource(Publishable):
    """A page, guideline, helpline or group elsewhere that can help."""

    conditions = models.ManyToManyField(
        Condition, related_name="resources", blank=True, verbose_name=_("conditions")
    )
    kind = models.CharField(_("kind"), max_length=14, choices=ResourceKind)
    title = models.CharField(_("title"), max_length=200)
    publisher = models.CharField(_("publisher"), max_length=120)
    description = models.CharField(_("what you find there"), max_length=240, blank=True)
    url = models.URLField(_("address"), max_length=400)
    language = models.CharField(_("language"), max_length=8, default="en", validators=[LANGUAGE])
    country = models.CharField(
        _("country"), max_length=2, blank=True, validators=[COUNTRY], help_text=_("Empty if useful anywhere.")
    )
    audience = models.CharField(
        _("for whom"), max_length=8, choices=ResourceAudience, default=ResourceAudience.EVERYONE
    )
    checked_on = models.DateField(
        _("address checked on"), null=True, blank=True, help_text=_("Empty if nobody has opened it yet.")
    )
    position = models.PositiveSmallIntegerField(_("order"), default=100)

    class Meta:
        ordering = ["position", "title"]
        constraints = [models.UniqueConstraint(fields=["url", "language"], name="one_resource_each")]
        verbose_name = _("resource")
        verbose_name_plural = _("resources")

    def __str__(self) -> str:
        return f"{self.title} ({self.publisher})"

    @property
    def country_name(self) -> str:
        """The country in words where PMI knows it, else its code; empty where it serves any."""
        return str(dict(COUNTRIES).get(self.country, self.country)) if self.country else ""
