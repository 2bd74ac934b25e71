"""What may stand under `settings:` in the values of the Helm chart? What `penstock.toml` may hold.

The rest of its schema is written by hand, in the same file.
"""

import json
from pathlib import Path

from penstock.settings.schema import schema as settings_schema

VALUES = Path("deploy/helm/penstock/values.schema.json")


def values() -> str:
    """The chart's schema with the settings as they are."""
    written = json.loads(VALUES.read_text())
    settings = settings_schema()
    del settings["$schema"]
    # References name the places where both files have them.
    written["$defs"] = {"Settings": settings, **settings.pop("$defs")}
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"
