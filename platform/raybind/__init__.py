"""RayBind: train, sweep, evaluate and review LanguageBind-style multi-modal encoders on Ray."""

__version__ = "0.1.0"
