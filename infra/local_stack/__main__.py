"""Command line of the local stack: up, status, down. See the package's docstring."""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from pydantic import BaseModel

from infra.local_stack import processes, services
from infra.local_stack.processes import RunningService, ServiceFailedError
from infra.local_stack.services import Settings

PROJECT_ROOT = Path(__file__).resolve().parents[2]


class StackState(BaseModel):
    """What `up` remembers for `status` and `down`."""

    ray_temp_dir: Path
    services: list[RunningService] = []


def main() -> int:
    """Run one command. Returns: 0; 1 where the stack could not start, or does not run whole."""
    parser = argparse.ArgumentParser(prog="infra.local_stack", description="S3 endpoint, MLflow and Ray on loopback.")
    parser.add_argument("command", choices=("up", "status", "down"))
    parser.add_argument(
        "--state-dir", type=Path, default=PROJECT_ROOT / ".local", help="where logs, process ids and env.sh lie"
    )
    arguments = parser.parse_args()
    return {"up": up, "status": status, "down": down}[arguments.command](arguments.state_dir.resolve())


def up(state_dir: Path) -> int:
    """Start what the stack consists of, unless it runs; leave nothing behind where a part cannot start."""
    if state := _read_state(state_dir):
        if all(service.is_alive() for service in state.services):
            print("The local stack is already running.")
        return status(state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    settings = services.choose_settings(state_dir, Path(tempfile.mkdtemp(prefix="raybind-ray-")))
    try:
        _start_all(settings)
    except BaseException as error:
        down(state_dir)
        if not isinstance(error, ServiceFailedError):
            raise
        print(error, file=sys.stderr)
        return 1
    print(f"The local stack is up, after {time.monotonic() - started:.0f} s.")
    return status(state_dir)


def status(state_dir: Path) -> int:
    """Print what runs where, and the lines to copy."""
    state = _read_state(state_dir)
    if state is None:
        print("The local stack is not running; `make up` starts it.")
        return 1
    for service in state.services:
        print(f"  {service.name:<14} {service.address:<24} {'running' if service.is_alive() else 'ENDED'}")
    if not all(service.is_alive() for service in state.services):
        print(
            f"A part has ended; its log is in {state_dir / 'logs'}. Run `make down`, then `make up`.", file=sys.stderr
        )
        return 1
    _print_next_steps(state_dir)
    return 0


def down(state_dir: Path) -> int:
    """End the processes that `up` started, and no others."""
    state = _read_state(state_dir)
    if state is None:
        print("The local stack is not running.")
        return 0
    started = time.monotonic()
    processes.end(state.services)
    shutil.rmtree(state.ray_temp_dir, ignore_errors=True)
    _state_path(state_dir).unlink()
    (state_dir / "env.sh").unlink(missing_ok=True)
    print(f"The local stack is down, after {time.monotonic() - started:.0f} s.")
    return 0


def _start_all(settings: Settings) -> None:
    services.ensure_token(settings)
    env = services.server_env(settings)
    logs = settings.state_dir / "logs"
    state = StackState(ray_temp_dir=settings.ray_temp_dir)
    _write_state(settings.state_dir, state)
    parts = (
        ("S3 endpoint", settings.s3_url, services.s3_command, services.s3_answers),
        ("MLflow", settings.mlflow_url, services.mlflow_command, services.mlflow_answers),
        ("Ray dashboard", settings.dashboard_url, services.ray_command, services.ray_answers),
    )
    for name, address, command, _ in parts:
        log = logs / f"{name.lower().replace(' ', '_')}.log"
        state.services.append(processes.start(name, address, command(settings), env, log))
        _write_state(settings.state_dir, state)
    for service, (_, _, _, answers) in zip(state.services, parts, strict=True):
        processes.wait_until(service, lambda answers=answers: answers(settings))
    services.create_bucket(settings)
    _write_env(settings)


def _write_env(settings: Settings) -> None:
    lines = ["# Settings of the local stack: source this file in a shell."]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in services.client_env(settings).items()]
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    (settings.state_dir / "env.sh").write_text("\n".join(lines) + "\n")


def _print_next_steps(state_dir: Path) -> None:
    env_file = state_dir / "env.sh"
    shown = env_file.relative_to(Path.cwd()) if env_file.is_relative_to(Path.cwd()) else env_file
    print(
        f"The bucket s3://{services.BUCKET} is there; its objects are in memory and gone after `make down`.\n"
        f"MLflow's runs and artifacts stay in {state_dir / 'mlflow'}.\n"
        f"The Ray dashboard asks for the token in {state_dir / 'ray_token'}.\n"
        "Lines to copy:\n"
        f"  source {shlex.quote(str(shown))}\n"
        "  ray job submit --working-dir . -- python jobs/train.py --help"
    )


def _state_path(state_dir: Path) -> Path:
    return state_dir / "stack.json"


def _read_state(state_dir: Path) -> StackState | None:
    path = _state_path(state_dir)
    return StackState.model_validate_json(path.read_text()) if path.exists() else None


def _write_state(state_dir: Path, state: StackState) -> None:
    _state_path(state_dir).write_text(state.model_dump_json(indent=2))


if __name__ == "__main__":
    sys.exit(main())
