"""The curators' desk: forms, admin classes and pages behind `/admin/resources/`."""
