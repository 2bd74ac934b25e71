"""Which program is meant by a name, or by none?"""

from penstock.errors import ConfigurationError
from penstock.settings.tree import ProgramSettings, Settings


def default_program(settings: Settings) -> str:
    """That answers whoever names none."""
    return settings.default_program or next(iter(settings.programs))


def program_named(settings: Settings, wanted: str) -> tuple[str, ProgramSettings]:
    """One of PROGRAMS by its name, or one that nobody has set: a signature, or
    `package.module:attribute`.

    Raises:
        ConfigurationError: there is no such program.
    """
    if "->" in wanted or ":" in wanted:
        name = wanted.replace(" ", "") if "->" in wanted else wanted
        return name, ProgramSettings(entry=wanted)
    if wanted not in settings.programs:
        raise ConfigurationError(
            f"program {wanted!r} is none of PROGRAMS ({', '.join(settings.programs)}), "
            "nor a signature such as 'question -> answer', nor 'package.module:attribute'"
        )
    return wanted, settings.programs[wanted]
