"""Encoders: a modality's vision transformer, the language encoder, and the base both start from."""
