"""Penstock: answers questions from Kafka with any DSPy program."""

from importlib.metadata import version

__version__ = version("penstock")
