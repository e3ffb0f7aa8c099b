"""Measurement over HTTP."""
