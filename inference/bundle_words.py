"""What the makers of the shipped models wrote, in the reader's language where there is a translation.

A bundle brings its `limits` and `intended_use` as English sentences in its metadata. Those of the shipped
bundles are listed for the translators; a sentence that is not stays English, and says that it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import get_language, gettext, gettext_noop

SENTENCES = frozenset(
    {
        # --- brain MRI
        gettext_noop(
            "Sorts single slices of a head MRI (or the slices of a volume) into glioma, meningioma, "
            "pituitary tumour, or none of the three. For education and for helping a person decide how soon "
            "to show a scan to a doctor."
        ),
        gettext_noop(
            "Tumour images are T1-weighted after contrast agent. In another sequence, or without contrast "
            "agent, it misses most tumours; of 285 lesions moved into validation slices of other scanners "
            'it read 198 as "none".'
        ),
        gettext_noop(
            "Images without a tumour come from other scanners and sequences than those with one, so "
            'telling "tumour" from "none" is partly recognising the sequence. After contrast agent it '
            "still suspects some slices without a tumour; of 35 mirrored halves without one, of "
            'validation patients, it read 25 as "none".'
        ),
        gettext_noop(
            "It often takes the healthy pituitary gland after contrast agent for a tumour of it (of 10 "
            'such halves it read 3 as "none"; in a volume that it never learnt from, slices around the '
            "gland read up to 0.99). In a volume a pituitary tumour therefore has even odds at most; the "
            "rest of its probability counts as none."
        ),
        gettext_noop(
            'A slice with a glioma, above all of the brainstem or in the midline, may read "none" (of '
            "validation images with a tumour 7 of 263 did); look at the neighbouring slices."
        ),
        gettext_noop(
            "It knows three tumour types. Metastases, lymphoma, abscess, stroke, bleeding and everything "
            "else are outside of what it can see."
        ),
        gettext_noop(
            "It learnt from single slices; readings of whole volumes were not measured on a labelled set."
        ),
        # --- chest X-ray
        gettext_noop(
            "Looks for pneumonia on one frontal chest film, and in children for its likely cause. For "
            "education and for helping a person decide how soon to show a film to a doctor."
        ),
        gettext_noop(
            "Children's films come from one hospital in Guangzhou; bacterial and viral pneumonia were told "
            "apart there only."
        ),
        gettext_noop(
            "COVID-19 comes from one collection that differs from the healthy films in hospital as well as "
            "in disease; its probability is reported but is never a finding."
        ),
        gettext_noop(
            "Labels of the NIH films were mined from reports; few adult pneumonia films of another cause "
            "were available."
        ),
        gettext_noop(
            "It knows pneumonia only. Tumours, collapsed lung, fractures, heart failure and tuberculosis are "
            "outside of what it can see."
        ),
        # --- knee X-ray
        gettext_noop(
            "Grades osteoarthritis on one frontal knee film by Kellgren and Lawrence, 0 (none) to 4 "
            "(severe). For education and for helping a person talk with a doctor."
        ),
        gettext_noop(
            "Learnt from standing frontal films of one US study (Osteoarthritis Initiative), adults of 45 to "
            "79 years, one knee to a picture."
        ),
        gettext_noop('Readers disagree at grade 1, and so does the model; read grade 1 as "doubtful".'),
        gettext_noop(
            "It does not see fractures, effusion, infection, tumours, or anything outside of the joint space."
        ),
        # --- the gate
        gettext_noop(
            "Decides whether an image is a head MRI, a frontal chest film or a frontal knee film before any "
            "other model may read it."
        ),
        gettext_noop(
            "Wrong inputs were learnt from photographs, breast ultrasound, drawn patterns and readable scans "
            "turned or inverted; films of other body parts are told by distance only."
        ),
    }
)


@dataclass(frozen=True)
class Said:
    """A sentence as a page shows it; `lang` is "en" where it is English on a page that is not, else ""."""

    text: str
    lang: str = ""


def said(sentence: str) -> Said:
    """A sentence of a bundle in the reader's language; English where nobody has translated it."""
    text = gettext(sentence) if sentence else ""
    is_foreign = bool(text) and text == sentence and not (get_language() or "en").startswith("en")
    return Said(text, "en" if is_foreign else "")
