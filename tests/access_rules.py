"""Who may do what, route by route: the table that `tests/test_access_matrix.py` checks the site against.

To add a route, name it under one of the rules in RULES below (or match a family of names with a `*` at the
end). When none fits, make a new rule: one letter for each role, in the order of ROLES, first for reading
(GET), then for writing (every other method that the route takes).

    o  is let in: any answer but 401, 403, 404 and the way to the login
    f  is told that they may not (403)
    n  is told that there is no such thing (404)
    l  is sent to the login (302 there, or 401)
    p  is sent to the page that asks for a share link's PIN
    d  is inside the administration, whose own rules decide (its tests walk them)
    a  is let in, or told that there is no such thing: public, whoever asks
    k  is let in, or told that it takes a token (401)

A method that a route does not take answers 405, which is fine everywhere: it says nothing about the object.
"""

from dataclasses import dataclass

ROLES = (
    "owner",
    "granted_doctor",
    "case_doctor",
    "revoked_doctor",
    "other_doctor",
    "unverified_doctor",
    "other_patient",
    "admin",
    "anonymous",
)


@dataclass(frozen=True)
class Rule:
    """What each role meets; nine letters each, in the order of ROLES."""

    why: str
    read: str
    write: str

    def expected(self, role: str, method: str) -> str:
        """The letter for a role and a method."""
        letters = self.read if method == "get" else self.write
        return letters[ROLES.index(role)]


CASE = Rule("a case and all in it: its patient; doctors read", "ooonnnnnl", "offnnnnnl")
OWN = Rule("a thing of one person alone", "onnnnnnnl", "onnnnnnnl")
OWN_BY_PATIENT = Rule("a patient's own thing; others are no patients", "offfffnfl", "offfffnfl")
PATIENTS = Rule("a page for patients", "offfffofl", "offfffofl")
SIGNED_IN = Rule("everybody who is signed in, about themselves", "oooooooo" + "l", "oooooooo" + "l")
CASES_LIST = Rule("lists show what one may see; only patients open cases", "oooooooo" + "l", "offfffofl")
PUBLIC = Rule("anybody", "o" * 9, "o" * 9)
ADMIN = Rule("the administration", "l" * 7 + "dl", "l" * 7 + "dl")
ADMIN_LOGIN = Rule("the way into the administration", "f" * 7 + "ol", "f" * 7 + "ol")
HAS_NONE = Rule("recovery codes: nobody in the tests has any", "n" * 8 + "l", "n" * 8 + "l")
HAS_AN_APP = Rule("the app for codes: those have it who must", "nooooonol", "nooooonol")
CASE_EDIT = Rule("forms that change a case: its patient alone", "offnnnnnl", "offnnnnnl")
RECORD = Rule("a patient's record; what is added names its case in the body", "offfffofl", "nfffffnfl")
SIMILAR_OF_SCAN = Rule(
    "a scan among similar ones: as the case, for verified readers", "ooonnfnfl", "offnnfnfl"
)
SIMILAR = Rule("similar known cases: patients and verified doctors", "ooooof" + "ofl", "ooooof" + "ofl")
SIMILAR_READ = Rule("a scan searched with, by verified readers", "ooonnfnfl", "ooonnfnfl")
OWN_SEARCH = Rule("a search with a picture: whoever asked", "onnnnfnfl", "onnnnfnfl")
DOCTORS = Rule("a page for verified doctors; others are no doctors yet, or never", "foooooffl", "foooofffl")
VERIFIED = Rule("what verified doctors alone may do", "foooofffl", "foooofffl")
HELD = Rule("a grant: the doctor who holds it", "fonnnfffl", "fonnnfffl")
GRANT = Rule("a grant: its two sides", "oonnnnnnl", "oonnnnnnl")
ASKED_DOCTOR = Rule("what waits between a patient and one doctor", "fnnnofffl", "fnnnofffl")
REVIEW_DETAIL = Rule("a review: readers of the scan; its doctor alone touches it", "ooonnnnnl", "fofnnnnnl")
REVIEW = Rule("a review of a scan: verified doctors of the patient", "foonnnnnl", "foonnnnnl")
SHARED = Rule("whoever has the link and its PIN; without the PIN nothing", "p" * 9, "p" * 9)
DOCTORS_OWN = Rule("a doctor's own thing", "fonnnfffl", "fonnnfffl")
PUBLIC_THING = Rule("anybody, where it exists", "a" * 9, "a" * 9)
TOKEN_IN_USE = Rule("getting a token: anybody; ending the one in use: who has it", "o" * 9, "k" * 9)
NOTHING = Rule("addresses of the API that nothing has", "n" * 9, "n" * 9)

RULES: dict[Rule, tuple[str, ...]] = {
    PUBLIC: (
        "home",
        "healthz",
        "set_language",
        "account_*",
        "accounts:erased",
        "resources:condition_list",
        "v1:condition-list",
        "v1:resource-list",
        "v1:treatment-list",
        "v1:symptom-list",
        "v1:docs",
        "v1:schema",
        # The page that asks for the PIN says nothing about the case.
        "inference:shared",
    ),
    SIGNED_IN: (
        "accounts:account",
        "accounts:begin",
        "mfa_*",
        "usersessions_list",
        "accounts:waiting",
        "accounts:tokens",
        "accounts:exports",
        "accounts:erase",
        "accounts:notices",
        "accounts:read_notices",
        "accounts:notice_mails",
        "v1:model-version-*",
        # Each side of a care relationship sees and asks on its own; who may is in `test_care_api.py`.
        "v1:care-*",
        # Lists: they show what the reader may see anyhow.
        "cases:list",
        "v1:scan-list",
        "v1:analysis-list",
        # Which scan is meant stands in the body.
        "v1:review-list",
        "v1:review-sign",
        "v1:api-root",
        "v1:api-token-list",
        "account_change_password",
        "account_email",
        "account_set_password",
        "account_reauthenticate",
    ),
    CASES_LIST: ("v1:case-list",),
    PATIENTS: (
        "accounts:who_looked",
        "accounts:consent",
        "accounts:sharing",
        "accounts:new_code",
        "cases:new",
    ),
    RECORD: ("inference:record",),
    GRANT: ("v1:care-grant-detail",),
    OWN: (
        "v1:care-invitation-detail",
        "accounts:follow_notice",
        "accounts:export_download",
        "accounts:delete_token",
        "v1:api-token-detail",
        "accounts:end_session",
    ),
    OWN_BY_PATIENT: ("accounts:revoke", "accounts:cancel_invitation", "accounts:answer_request"),
    DOCTORS: ("accounts:patients",),
    VERIFIED: (
        "inference:disagreements",
        "v1:review-disagreements",
        "accounts:emergency",
        "accounts:use_code",
        "accounts:ask_patient",
        "cases:worklist",
        "cases:worklist_news",
        "cases:worklist_saved",
        "v1:worklist-list",
    ),
    HELD: ("accounts:give_back",),
    ASKED_DOCTOR: ("accounts:answer_invitation", "accounts:cancel_request"),
    CASE: ("cases:*", "v1:case-*", "v1:scan-*", "v1:analysis-*", "inference:*"),
    SIMILAR: (
        "inference:similar_search",
        "inference:similar_picture",
        "v1:similar-list",
        "v1:similar-picture",
    ),
    SIMILAR_READ: ("inference:similar_region",),
    OWN_SEARCH: ("inference:similar_found", "inference:similar_wait", "v1:similar-detail"),
    SIMILAR_OF_SCAN: (
        "inference:similar_compare",
        "inference:similar_compare_own",
    ),
    CASE_EDIT: (
        "cases:edit",
        "cases:delete",
        "cases:share",
        "cases:revoke_share",
        "cases:scan_delete",
        "inference:case_symptoms",
    ),
    DOCTORS_OWN: ("cases:worklist_rename", "cases:worklist_delete"),
    REVIEW: (
        "v1:worklist-seen",
        "inference:review",
        "inference:ask_second_reader",
        "v1:review-amend",
    ),
    REVIEW_DETAIL: ("v1:review-detail",),
    TOKEN_IN_USE: ("v1:token",),
    NOTHING: ("v1:no-such-address",),
    PUBLIC_THING: (
        "resources:condition_detail",
        "v1:condition-detail",
        "v1:resource-detail",
        "v1:treatment-detail",
        # Keys that nobody has: told so, or sent to where a new one is to be had.
        "account_confirm_email",
    ),
    SHARED: ("inference:shared_*",),
    HAS_NONE: ("mfa_view_recovery_codes", "mfa_download_recovery_codes"),
    HAS_AN_APP: ("mfa_deactivate_totp",),
    ADMIN: ("admin:*",),
    ADMIN_LOGIN: ("admin_login", "admin:login"),
}


def rule_for(name: str) -> Rule | None:
    """The rule of a route: by its own name, or by the longest family that it belongs to."""
    best, length = None, -1
    for rule, names in RULES.items():
        for pattern in names:
            if pattern == name:
                return rule
            if pattern.endswith("*") and name.startswith(pattern[:-1]) and len(pattern) > length:
                best, length = rule, len(pattern)
    return best
