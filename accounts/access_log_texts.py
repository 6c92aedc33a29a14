"""The access log in words for the patient. A test finds actions that nobody put into words."""

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# What was done, after a name: "Dr Dana Demo: opened the case, looked at the pictures".
# Apps may add theirs in `apps.py`.
ACTION_TEXTS: dict[str, str | Promise] = {
    "view_case": gettext_lazy("opened the case"),
    "view_record": gettext_lazy("looked at the record over time"),
    "view_scan": gettext_lazy("opened a scan"),
    "list_cases": gettext_lazy("saw the case in a list"),
    "list_scans": gettext_lazy("saw the list of scans"),
    "list_analyses": gettext_lazy("saw the list of readings"),
    "view_reading": gettext_lazy("read the result"),
    "view_earlier_reading": gettext_lazy("read an earlier result"),
    "open_reading_room": gettext_lazy("opened the scan in the reading room"),
    "view_scan_volume": gettext_lazy("looked at the pictures"),
    "view_scan_preview": gettext_lazy("looked at the pictures"),
    "view_scan_slice": gettext_lazy("looked at the pictures"),
    "view_heatmap": gettext_lazy("looked at where the program looked"),
    "view_heatmap_picture": gettext_lazy("looked at where the program looked"),
    "download_scan_original": gettext_lazy("downloaded the scan"),
    "download_report": gettext_lazy("opened the report"),
    "add_scan": gettext_lazy("added a scan"),
    "delete_scan": gettext_lazy("deleted a scan"),
    "delete_case": gettext_lazy("deleted the case"),
    "compare_own": gettext_lazy("compared two scans"),
    "compare_similar": gettext_lazy("compared the scan with a similar one"),
    "search_similar_upload": gettext_lazy("looked for similar scans"),
    "search_similar_region": gettext_lazy("looked for similar scans"),
    "search_similar_api": gettext_lazy("looked for similar scans"),
    "view_reference_picture": gettext_lazy("saw the small picture among similar scans"),
    "confirm_finding": gettext_lazy("confirmed a finding"),
    "withdraw_confirmation": gettext_lazy("took a confirmation back"),
    "open_review": gettext_lazy("opened the form for a review"),
    "view_reviews": gettext_lazy("read doctors' reviews"),
    "list_reviews": gettext_lazy("saw a list of reviews"),
    "draft_review": gettext_lazy("wrote a draft of a review"),
    "discard_review_draft": gettext_lazy("threw a draft of a review away"),
    "sign_review": gettext_lazy("signed a review"),
    "amend_review": gettext_lazy("changed a signed review"),
    "ask_second_reader": gettext_lazy("asked a second doctor to read a scan"),
    "list_disagreements": gettext_lazy("saw the scan in the list of differing reviews"),
    "make_share_link": gettext_lazy("made a share link"),
    "revoke_share_link": gettext_lazy("took a share link back"),
    "open_share_link": gettext_lazy("opened the case with the link and its PIN"),
    "view_shared_reading": gettext_lazy("read the result"),
    "view_shared_picture": gettext_lazy("looked at the pictures"),
    "view_shared_heatmap": gettext_lazy("looked at where the program looked"),
    "download_shared_report": gettext_lazy("opened the report"),
    "grant_access": gettext_lazy("let a doctor look"),
    "revoke_access": gettext_lazy("stopped sharing with a doctor"),
    "open_emergency_access": gettext_lazy("opened your cases in an emergency"),
    "try_emergency_access": gettext_lazy("looked for a patient in an emergency"),
    "end_emergency_access": gettext_lazy("ended an emergency access"),
    "invite_doctor": gettext_lazy("invited a doctor"),
    "cancel_invitation": gettext_lazy("took an invitation back"),
    "accept_invitation": gettext_lazy("accepted an invitation to look"),
    "decline_invitation": gettext_lazy("declined an invitation to look"),
    "request_access": gettext_lazy("asked a patient for access"),
    "decline_request": gettext_lazy("said no to a doctor"),
    "give_access_back": gettext_lazy("gave the access back"),
    "give_consent": gettext_lazy("agreed to a use of the scans"),
    "revoke_consent": gettext_lazy("took a consent back"),
    "used_for_training": gettext_lazy("copied a signed scan to teach the program, as agreed"),
    "read_again": gettext_lazy("had a failed reading done again"),
    "request_export": gettext_lazy("asked for a copy of everything"),
    "download_export": gettext_lazy("downloaded a copy of everything"),
    "erase_account": gettext_lazy("asked to erase the account"),
    "verify_licence": gettext_lazy("checked a licence"),
    "decline_licence": gettext_lazy("could not verify a licence"),
    "correct_licence": gettext_lazy("corrected a licence"),
    "reset_second_factor": gettext_lazy("took the second step off an account"),
    "withdraw_licence": gettext_lazy("withdrew a licence"),
}


def phrase(actions: Iterable[str]) -> str:
    """Several actions as one sentence without repeats, in the order of the table above."""
    done = set(actions)
    words = list(dict.fromkeys(str(text) for action, text in ACTION_TEXTS.items() if action in done))
    if done - ACTION_TEXTS.keys():
        words.append(_("did something else with your data"))
    return ", ".join(words)
