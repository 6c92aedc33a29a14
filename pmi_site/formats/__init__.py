"""How days and times are written in languages for which Django's own formats cannot be used."""
