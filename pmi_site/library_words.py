"""Words of Django, REST framework and allauth on PMI's pages for which these have no good Hindi.

Nothing runs here: `make messages` collects from this file what it would not find otherwise, and PMI's
catalogues come before those of the libraries.
"""

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy, npgettext_lazy

WORDS = (
    # allauth: forms
    _("Email"),
    _("Email address"),
    _("Password"),
    _("Password (again)"),
    _("Remember Me"),
    _("Forgot your password?"),
    _("Current Password"),
    _("New Password"),
    _("New Password (again)"),
    _("Code"),
    _("Authenticator code"),
    _("Use your password"),
    _("Use authenticator app or code"),
    _("Use a security key"),
    # allauth: what is wrong
    _("You must type the same password each time."),
    _("The email address and/or password you specified are not correct."),
    _("Too many failed login attempts. Try again later."),
    _("Be patient, you are sending too many requests."),
    _("This account is currently inactive."),
    _("A user is already registered with this email address."),
    _("This email address is already associated with this account."),
    _("The email address is not assigned to any user account."),
    _("Your primary email address must be verified."),
    _("You cannot remove your primary email address."),
    _("Please type your current password."),
    _("The new value must be different from the current one."),
    _("Incorrect password."),
    _("Incorrect code."),
    _("Invalid or expired key."),
    _("The password reset token was invalid."),
    # allauth: what is done
    _("You have signed out."),
    _("Confirmation email sent to %(email)s."),
    _("You have confirmed %(email)s."),
    _("Unable to confirm %(email)s because it is already confirmed by a different account."),
    _("Removed email address %(email)s."),
    _("Primary email address set."),
    _("You cannot remove your primary email address (%(email)s)."),
    _("Password successfully changed."),
    _("Password successfully set."),
    _("Signed out of all other sessions."),
    _("A new set of recovery codes has been generated."),
    # Django: passwords
    _("The password is too similar to the %(verbose_name)s."),
    _("Your password can’t be too similar to your other personal information."),
    _("This password is too common."),
    _("Your password can’t be a commonly used password."),
    _("This password is entirely numeric."),
    _("Your password can’t be entirely numeric."),
    # REST framework
    _("Not found."),
    _("Authentication credentials were not provided."),
    _("Invalid token."),
    _("You do not have permission to perform this action."),
    _("Request was throttled."),
    _('Method "{method}" not allowed.'),
    _("This field is required."),
    _("This field may not be blank."),
    _("This field may not be null."),
    # Django: sizes of files
    _("%s KB"),
    _("%s MB"),
    _("%s GB"),
    # Django: forms
    _("Enter a valid email address."),
    _("Select a valid choice. %(value)s is not one of the available choices."),
    # Django: months that its Hindi writes wrongly
    _("September"),
    _("November"),
    _("December"),
    # Django: how long ago
    _("now"),
    _("%(delta)s ago"),
)
PLURALS = (
    _("Null characters are not allowed."),
    ngettext_lazy(
        "This password is too short. It must contain at least %d character.",
        "This password is too short. It must contain at least %d characters.",
    ),
    ngettext_lazy(
        "Your password must contain at least %(min_length)d character.",
        "Your password must contain at least %(min_length)d characters.",
    ),
    ngettext_lazy(
        "Ensure this value has at least %(limit_value)d character (it has %(show_value)d).",
        "Ensure this value has at least %(limit_value)d characters (it has %(show_value)d).",
    ),
    ngettext_lazy(
        "Ensure this value has at most %(limit_value)d character (it has %(show_value)d).",
        "Ensure this value has at most %(limit_value)d characters (it has %(show_value)d).",
    ),
    ngettext_lazy("a second ago", "%(count)s seconds ago"),
    ngettext_lazy("a minute ago", "%(count)s minutes ago"),
    ngettext_lazy("an hour ago", "%(count)s hours ago"),
    npgettext_lazy("naturaltime-past", "%(num)d year", "%(num)d years"),
    npgettext_lazy("naturaltime-past", "%(num)d month", "%(num)d months"),
    npgettext_lazy("naturaltime-past", "%(num)d week", "%(num)d weeks"),
    npgettext_lazy("naturaltime-past", "%(num)d day", "%(num)d days"),
    npgettext_lazy("naturaltime-past", "%(num)d hour", "%(num)d hours"),
    npgettext_lazy("naturaltime-past", "%(num)d minute", "%(num)d minutes"),
)
