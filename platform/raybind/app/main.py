"""The `raybind` command: what needs no cluster."""

import importlib
import sys

from raybind import __version__

COMMANDS = {
    "embed": "media and texts to unit vectors in a Parquet file",
    "export": "a trained encoder as a directory that stands alone",
}

USAGE = "usage: raybind COMMAND [--help] ...\n\ncommands:\n" + "\n".join(
    f"  {name:8} {meaning}" for name, meaning in COMMANDS.items()
)


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns: its exit code, 2 for a command that is not one."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if arguments[0] == "--version":
        print(f"raybind {__version__}")
        return 0
    command, *rest = arguments
    if command not in COMMANDS:
        print(f"raybind: {command!r} is not a command\n\n{USAGE}", file=sys.stderr)
        return 2
    return importlib.import_module(f"raybind.app.{command}").main(rest, prog=f"raybind {command}")
