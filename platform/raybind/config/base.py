"""Frozen, strict configuration models and how they are filled from a preset and dotted overrides.

A preset is a YAML mapping; an override is `section.key=value` with a YAML value. Command line, sweeps and
checkpoints all go through `load_config`, so one set of rules decides what a valid run is.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from raybind.errors import ConfigError

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """Base of all configuration models: unknown keys are errors, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def load_config(cls: type[C], preset: str | Path | None = None, overrides: Iterable[str] = ()) -> C:
    """Read a preset, apply dotted overrides, validate.

    Args:
        cls: the configuration model to build.
        preset: path of a YAML mapping; None starts from the defaults.
        overrides: `dotted.key=value` strings, values in YAML (`[1, 2]`, `true`, `0.5`, `text`).
    Raises:
        ConfigError: unreadable preset, malformed override, unknown key or invalid value; lists every problem.
    """
    values = read_preset(preset) if preset is not None else {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"override {override!r} is not of the form section.key=value")
        set_dotted(values, key, _parse_value(override, text))
    return validate(cls, values)


def validate(cls: type[C], values: Mapping[str, Any]) -> C:
    """Build `cls` from nested values; every problem is named at once. Raises: ConfigError."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_describe(cls, problem) for problem in error.errors())) from None


def set_dotted(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `values["a"]["b"]` for the key `a.b`, making the sections on the way."""
    *sections, last = key.split(".")
    for section in sections:
        child = values.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigError(f"{key}: {section!r} holds the value {child!r}, so it has no keys below it")
        values = child
    values[last] = value


def flatten(config: Config) -> dict[str, Any]:
    """The configuration as dotted keys, the form shown in MLflow and used by sweeps."""
    flat: dict[str, Any] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, child in value.items():
                visit(f"{prefix}.{key}" if prefix else key, child)
        else:
            flat[prefix] = value

    visit("", config.model_dump(mode="json"))
    return flat


def read_preset(path: str | Path) -> dict[str, Any]:
    """The nested values of a YAML file. Raises: ConfigError: it cannot be read, or is not a mapping."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"preset {path}: {error.strerror}; give the path of a YAML file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"preset {path} is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"preset {path} must be a mapping of sections, it is a {type(values).__name__}")
    return values


def _parse_value(override: str, text: str) -> Any:
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise ConfigError(f"override {override!r}: the value is not valid YAML") from None


def _describe(cls: type[Config], problem: Any) -> str:
    location = problem["loc"]
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        known = _fields_at(cls, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key{hint} Known keys here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{key}: required, but not set; add it to the preset or pass {key}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return message
    return f"{key}={problem['input']!r}: {message}"


def _fields_at(cls: type[Config], location: tuple[Any, ...]) -> list[str]:
    model: Any = cls
    for part in location:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)
