"""The command line all jobs share: a preset, dotted overrides, `--check`, and exit code 2 for a wrong configuration."""

import argparse
import sys
from collections.abc import Callable
from typing import TypeVar

from raybind.config.base import Config, load_config
from raybind.errors import ConfigError, RayBindError

C = TypeVar("C", bound=Config)


def run_job(
    description: str,
    config_class: type[C],
    run: Callable[[C], None],
    check: Callable[[C], None],
    argv: list[str] | None = None,
    examples: str = "",
    preset: str | None = None,
    prog: str | None = None,
) -> int:
    """Parse the command line, check the configuration and its surroundings, then run the job.

    Args:
        check: raises ConfigError when the configuration cannot work here; must take no cluster resources.
        run: the job itself; called only after `check` passed and not at all with `--check`.
        preset: what the help calls a preset that must be there, as first argument; None makes it `--config`.
        prog: what the help calls the command; None calls it as its script.
    Returns: the process exit code: 0, 1 for a failure while running, 2 for a wrong configuration, 130 for Ctrl+C.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=f"{describe_keys(config_class)}\n\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if preset:
        parser.add_argument("config", metavar=preset, help="YAML file to start from")
    else:
        parser.add_argument("--config", metavar="PRESET.yaml", help="preset to start from")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="dotted overrides, values in YAML")
    parser.add_argument("--check", action="store_true", help="check the configuration and what it names, then stop")
    arguments = parser.parse_intermixed_args(argv)
    try:
        config = load_config(config_class, arguments.config, arguments.overrides)
        check(config)
        if arguments.check:
            print("The configuration is valid.")
            return 0
        run(config)
    except ConfigError as error:
        print(f"configuration error:\n{_indent(str(error))}", file=sys.stderr)
        return 2
    except RayBindError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def describe_keys(config_class: type[Config]) -> str:
    """Every dotted key with its default and meaning, for `--help`."""
    lines = ["configuration keys:"]

    def visit(prefix: str, model: type[Config]) -> None:
        for name, field in model.model_fields.items():
            key = f"{prefix}{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
                visit(f"{key}.", field.annotation)
                continue
            default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)}"
            lines.append(f"  {key}  ({default})\n      {field.description or ''}")

    visit("", config_class)
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
