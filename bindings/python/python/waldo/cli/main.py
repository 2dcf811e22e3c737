"""Finds the command, runs it, and says how it went."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import waldo
from waldo.cli import append, bench, cat, doctor, stat, tail, verify
from waldo.cli.exit_codes import MEANINGS, ExitCode, of_exception
from waldo.cli.output import note


class Command(Protocol):
    """A module with a command. The first line of its documentation is its help."""

    def declare(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, options: argparse.Namespace) -> ExitCode: ...


COMMANDS: dict[str, Command] = {
    "doctor": doctor,
    "stat": stat,
    "cat": cat,
    "tail": tail,
    "append": append,
    "verify": verify,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns its exit status."""
    if sys.stdout is None:
        note("standard output is closed")
        return ExitCode.FAILURE
    code = _guarded(lambda: _run(arguments))
    # Now, while an error can still be told.
    return _guarded(sys.stdout.flush) or code


def _run(arguments: Sequence[str] | None) -> ExitCode:
    options = _parser().parse_args(arguments)
    return COMMANDS[options.command].run(options)


def _guarded(step: Callable[[], ExitCode | None]) -> ExitCode:
    """Does something, and says what goes wrong."""
    try:
        return step() or ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return ExitCode.BROKEN_PIPE
    except (waldo.WaldoError, OSError) as error:
        note(_words(error))
        return of_exception(error)


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        prog="waldo",
        description="Looks into stores of Waldo, and at what the system makes of them.",
        epilog=f"exit status:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"waldo {waldo.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        documentation = command.__doc__ or ""
        child = commands.add_parser(
            name,
            help=documentation.splitlines()[0],
            description=documentation,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.declare(child)
    return parser


def _words(error: waldo.WaldoError | OSError) -> str:
    """What went wrong, for people."""
    if isinstance(error, waldo.StoreNotFoundError):
        return f"there is no store in {error.filename}"
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _discard_output() -> None:
    """Nobody reads it: keeps the interpreter from trying again, and complaining, at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
