"""The closed lists of the knowledge base."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    """Which scans a condition belongs to."""

    BRAIN_MRI = "brain_mri", _("Brain (MRI)")
    CHEST_XRAY = "chest_xray", _("Chest (X-ray)")
    KNEE_XRAY = "knee_xray", _("Knee (X-ray)")
    ANY = "any", _("Any scan")


class DangerLevel(models.TextChoices):
    """How quickly somebody should act, most urgent first."""

    EMERGENCY = "emergency", _("Emergency")
    URGENT = "urgent", _("Urgent")
    SOON = "soon", _("Soon")
    ROUTINE = "routine", _("Routine")
    NONE_FOUND = "none_found", _("Nothing found")
    INCONCLUSIVE = "inconclusive", _("No clear answer")


class Audience(models.TextChoices):
    PATIENT = "patient", _("Patient")
    CARER = "carer", _("Child's parent or carer")
    DOCTOR = "doctor", _("Doctor")


class ResourceAudience(models.TextChoices):
    EVERYONE = "everyone", _("Everyone")
    PATIENT = "patient", _("Patients and families")
    CARER = "carer", _("A child's parents and carers")
    DOCTOR = "doctor", _("Doctors")


class Status(models.TextChoices):
    """Only `published` is ever shown outside the admin."""

    DRAFT = "draft", _("Draft")
    IN_REVIEW = "in_review", _("In review")
    PUBLISHED = "published", _("Published")
    RETIRED = "retired", _("Retired")


class TreatmentKind(models.TextChoices):
    NOT_NEEDED = "not_needed", _("No treatment needed")
    MONITORING = "monitoring", _("Watching closely")
    SELF_CARE = "self_care", _("Self-care")
    EXERCISE = "exercise", _("Exercise and physiotherapy")
    MEDICINE = "medicine", _("Medicine")
    SURGERY = "surgery", _("Operation")
    RADIOTHERAPY = "radiotherapy", _("Radiotherapy")
    CHEMOTHERAPY = "chemotherapy", _("Chemotherapy")
    INJECTION = "injection", _("Injection")
    DEVICE = "device", _("Aids and devices")
    HOSPITAL_CARE = "hospital_care", _("Hospital care")
    SUPPORT = "support", _("Support")


class Evidence(models.TextChoices):
    """What a named guideline says. Empty where nobody has checked."""

    RECOMMENDED = "recommended", _("Recommended in a guideline we cite")
    CONSIDERED = "considered", _("A guideline we cite says it may be considered for some people")
    NOT_RECOMMENDED = "not_recommended", _("A guideline we cite advises against routine use")


class ResourceKind(models.TextChoices):
    ARTICLE = "article", _("To read")
    GUIDELINE = "guideline", _("Guideline")
    HELPLINE = "helpline", _("Helpline")
    SUPPORT_GROUP = "support_group", _("Support group")
    CLINIC_FINDER = "clinic_finder", _("Find a clinic")


class Section(models.TextChoices):
    """The parts of a condition's text that a source can stand behind."""

    WHAT_IT_IS = "what_it_is", _("What it is")
    HOW_CONFIRMED = "how_confirmed", _("How it is confirmed")
    RED_FLAGS = "red_flags", _("Warning signs")
    OUTLOOK = "outlook", _("Outlook")
    CLINICAL_NOTE = "clinical_note", _("Note for doctors")
