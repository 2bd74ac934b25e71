"""Traces: what a question went through, as spans of OpenTelemetry, where it is installed and asked
for. No other room imports it.
"""
