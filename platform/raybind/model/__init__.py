"""Encoders: a modality's vision transformer, the language encoder, and the base both start from."""

from raybind.model.architecture import ClipArchitecture, read_architecture
from raybind.model.bound import BoundModel, Features, build_model
from raybind.model.tokenizer import Tokenizer

__all__ = ["BoundModel", "ClipArchitecture", "Features", "Tokenizer", "build_model", "read_architecture"]
