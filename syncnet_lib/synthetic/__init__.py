"""Talking heads of exactly known synchrony."""
