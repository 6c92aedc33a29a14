"""Cases and scans: intake, private storage, access decisions, pages and API."""
