"""Embedding media and texts with trained encoders.

language_bind  `raybind.LanguageBind`: from a directory or a hub id to unit vectors
media          reading and transforming media ahead of the encoder
"""
