"""RayBind: train, sweep, evaluate and review LanguageBind-style multi-modal encoders on Ray.

`raybind.LanguageBind` embeds media and texts with trained encoders; it is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raybind.inference.language_bind import LanguageBind

__version__ = "0.1.0"
__all__ = ["LanguageBind", "__version__"]


def __getattr__(name: str) -> Any:
    if name != "LanguageBind":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # torch takes seconds to import, which whoever only asks for the version must not wait for.
    from raybind.inference.language_bind import LanguageBind

    return LanguageBind
