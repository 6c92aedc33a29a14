"""Manifests, splits and data sets."""
