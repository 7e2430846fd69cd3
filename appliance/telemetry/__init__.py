"""Telemetry: metrics, log lines, sensors."""
