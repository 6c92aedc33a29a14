"""Decoding, de-identifying and canonicalising medical images: plain Python and numpy, no Django."""
