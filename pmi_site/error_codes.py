"""Every code of an error, with what it means: the words beside a code are for people and in their language.

A `UserError` with a code that is not here fails a test. What only pages say is apart, so that programs are
told of what can reach them.
"""

# What REST framework says by itself, and what a request can be refused with before any view is asked.
OF_REQUESTS = {
    "authentication_failed": "The key or the session is not valid, or not any more.",
    "bad_request": "The request cannot be read: a host that is not this site's, or too many fields.",
    "csrf_failed": "A session writes without its CSRF token. Programs use a key instead.",
    "error": "Something else was refused; the words say what.",
    "invalid": "Fields are wrong; `errors` says which and why.",
    "length_required": "The body comes without a Content-Length.",
    "method_not_allowed": "This address does not take this method.",
    "no_slash": "The address lacks the slash at its end, so nothing was saved.",
    "not_acceptable": "The answer does not come in any form that `Accept` names.",
    "not_authenticated": "This needs a key or a session.",
    "not_found": "Not there, not for this account, or no such page of a list.",
    "null_character": "The address holds a NUL character.",
    "parse_error": "The body is not what its Content-Type says.",
    "permission_denied": "This account may not do this.",
    "server_error": "Something broke on this side. Try again in a few minutes.",
    "throttled": "Too often; `Retry-After` says when to come back.",
    "too_large": "The body is larger than is taken here.",
    "unsupported_media_type": "This address does not take this Content-Type.",
}

OF_THE_API = {
    "already_signed": "Another review of this scan is signed already; `review` is its id.",
    "amended_meanwhile": "The review was replaced by a newer version; `review` is its id.",
    "asked_already": "A request to this address is still waiting.",
    "bad_code": "The code is wrong, used, too old or taken back.",
    "bad_credentials": "The address and the password do not open an account.",
    "bad_cursor": "There is no such page of the worklist. Start from the first.",
    "bad_date": "The day is not from today on, or more than five years ahead.",
    "bad_days": "Access lasts from 1 day to 10 years.",
    "bad_filter": "A filter in the address has a value that means nothing.",
    "bad_level": "This is no danger level.",
    "bad_page_size": "`page_size` is no number from 1 on, or too large.",
    "bad_region": "The region is not four numbers, or lies outside the picture.",
    "bad_seat": "The seat is `first` or `second`.",
    "bad_symptoms": "A symptom is not known or takes another answer; see `/api/v1/symptoms/`.",
    "bad_verdict": "A verdict is `agree`, `disagree` or `unsure`.",
    "being_prepared": "The known cases are being prepared for a new version of the model. Try later.",
    "care_withdrawn": "The patient took back the consent to keep and read scans.",
    "case_deleted": "The case was deleted while files were on their way.",
    "code_required": "The account has a second step: send its `code`, too.",
    "declined": "The answer was no. Wait some weeks before asking again.",
    "doctor_first": "Doctors look at readings first here, so patients cannot search with pictures.",
    "edit_conflict": "The draft was saved elsewhere meanwhile; `edit_no` is the one to send.",
    "empty_atlas": "There are no known cases to compare with yet.",
    "ended_by_patient": "The patient ended this emergency access. It cannot be opened again for some hours.",
    "incomplete": "The review cannot be signed yet; the words say what is missing. The draft is kept.",
    "invited_already": "An invitation to this address is still waiting.",
    "model_broken": "The search is out of order. Try later.",
    "model_changed": "The model was changed since. Search again.",
    "no_file": "There is no file in the part `files`.",
    "no_picture": "There is nothing in the file to search for.",
    "no_reason": "A reason is missing or too short.",
    "no_such_case": "There is no such case of this patient.",
    "no_such_patient": "No patient has exactly this address.",
    "not_amendable": "Only a signed review of this scan can be replaced.",
    "not_asked": "Nobody asked this doctor to be the second reader.",
    "not_read": "There is no finished reading yet.",
    "nothing_asked": "Send either the id of an analysis or files.",
    "open_already": "The patient lets this doctor read all cases already.",
    "other_anatomy": "The reading is of another kind than `anatomy` says.",
    "own_address": "This is the address of the account itself.",
    "retired_space": "The reading is by an earlier version of the model and cannot be compared yet.",
    "running_already": "An emergency access to this patient is running.",
    "same_reader": "The first and the second reader are two different doctors.",
    "second_factor_missing": "The account needs a second step and has none. It is set up on the site.",
    "several": "Search for one picture or one series at a time.",
    "signed": "What is signed cannot be thrown away.",
    "small_region": "The region is too small to search with.",
    "superseded": "There is a newer reading of the scan than the one named.",
    "too_long": "A text is too long.",
    "too_many": "Asked too often within a minute, or as many are open as there can be.",
    "too_many_codes": "Too many wrong codes. Wait a quarter of an hour.",
    "too_many_emergencies": "Too many emergency accesses were tried within an hour.",
    "too_many_files": "More files than are taken at once.",
    "too_many_invitations": "Too many are waiting or were sent within a day.",
    "too_many_tokens": "The account holds as many tokens as it can.",
    "too_many_tries": "Too many wrong passwords. Wait some minutes.",
    "try_again": "Something else changed at the same moment. Send it again.",
    "upload_broken": "The upload broke off on the way.",
}

OF_PAGES = {
    "admin_account": "An administrator's account is removed by another administrator.",
    "bad_share": "A link works for 1 to 90 days and 1 to 1000 views.",
    "changed": "The doctor has corrected the licence meanwhile.",
    "changed_meanwhile": "Another model version reads than the one that was on the page.",
    "checks_missing": "Not every check of a licence is ticked.",
    "conflict": "The published text has changed since the draft was begun.",
    "csv": "The file is not CSV.",
    "decided": "Somebody else has decided on this licence.",
    "empty": "The file has no rows.",
    "encoding": "The file is not UTF-8 text.",
    "gone": "The entry is gone.",
    "json": "The file is not JSON of the form that is read.",
    "long": "The file has too many rows.",
    "moved_on": "Somebody has dealt with this draft already.",
    "name_taken": "There is a saved view of this name.",
    "no_shadow": "This model version cannot run beside another.",
    "no_text": "A reminder has no text.",
    "not_a_doctor": "The account has no doctor's licence.",
    "not_allowed": "Only an administrator, or another one, can do this.",
    "not_failed": "The reading has not failed, or was tried again since.",
    "not_possible": "This doctor cannot be the second reader.",
    "not_ready": "The rules cannot be put in force yet.",
    "not_verified": "The account has no verified licence.",
    "not_yours": "A doctor set this reminder.",
    "note_missing": "What has to change is not said.",
    "nothing_before": "There is no earlier model version to go back to.",
    "original_changed": "The English text has changed since the translation was saved.",
    "own_text": "Somebody else has to publish what one has written.",
    "reason_missing": "Why a licence is declined is not said.",
    "second_exists": "The scan has a second reader already.",
    "stale": "Somebody has saved this since it was opened.",
    "taken": "Another entry has this name or address.",
    "too_many_links": "The case has as many links as it can.",
    "too_many_views": "There are as many saved views as there can be.",
    "tried_often": "The scan has failed too often within a day.",
    "uncovered": "The knowledge base does not explain all that a model version can report.",
}
MEANINGS = {**OF_REQUESTS, **OF_THE_API, **OF_PAGES}


def as_text() -> str:
    """For the description of the schema: the codes that programs can meet, and what holds at any address."""
    rows = [f"- `{code}`: {meaning}" for code, meaning in sorted({**OF_REQUESTS, **OF_THE_API}.items())]
    return "\n".join(("## Errors", "", _ANYWHERE, "", *rows))


_ANYWHERE = """\
Every refusal is JSON with `detail` (for people, in the language asked for) and `code` (for programs). Any
address can answer 400 (what cannot be read), 404 `no_slash`, 405, 406, 411, 413, 415 and 500; each operation
names the others that it has. Codes of a file that was refused, and of a reading or a search that came to
nothing, are in their answers and not here."""
