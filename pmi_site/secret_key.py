"""The development machine's secret key: made once, readable by its owner only."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def load_or_create(path: Path) -> str:
    """The key in `path`; a missing file is made with mode 0600. Safe when several processes start at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key())
        try:
            # link() fails where another process was first, and never shows a half-written file.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
