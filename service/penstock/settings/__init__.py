"""The only reader of the environment: one typed tree of settings.

Flags come before the environment, then `.env`, then `penstock.toml`, then the defaults of `tree`.
Environment names are `PENSTOCK_` plus the path, joined by `__`: `PENSTOCK_POOL__SLOTS=128`.
"""

from penstock.settings.reading import Resolution, load, of_project, resolve
from penstock.settings.tree import (
    GatewaySettings,
    IntakeSettings,
    JwtSettings,
    KafkaSettings,
    ModelSettings,
    PoolSettings,
    ProgramSettings,
    Settings,
    TelemetrySettings,
    TopicSettings,
)

__all__ = [
    "GatewaySettings",
    "IntakeSettings",
    "JwtSettings",
    "KafkaSettings",
    "ModelSettings",
    "PoolSettings",
    "ProgramSettings",
    "Resolution",
    "Settings",
    "TelemetrySettings",
    "TopicSettings",
    "load",
    "of_project",
    "resolve",
]
