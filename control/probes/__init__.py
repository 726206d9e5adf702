"""Probes and figures."""
