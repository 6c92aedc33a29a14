"""Code systems as FHIR names them."""

from typing import NamedTuple

# Field of Condition, name for readers, the URI that FHIR uses for the system.
SYSTEMS = (
    ("icd10", "ICD-10", "http://hl7.org/fhir/sid/icd-10"),
    ("icd11", "ICD-11", "http://id.who.int/icd/release/11/mms"),
    ("snomed", "SNOMED CT", "http://snomed.info/sct"),
    ("radlex", "RadLex", "http://radlex.org"),
)


class Code(NamedTuple):
    """One code in one system."""

    name: str
    system: str
    code: str
