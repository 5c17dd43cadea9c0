"""Entry of the `h2s` command: parsing, logging, and errors as one clear line."""

import os
import sys
import warnings

from absl import app, logging
from absl.flags import argparse_flags

from h2s_keras.errors import UserError
from h2s_keras.version import __version__

USAGE, INTERRUPTED = 2, 130


def build_parser():
    """The parser of all commands; importing it imports neither Keras nor TensorFlow."""
    from h2s_keras.cli import flow, predict, quickstart, train

    parser = argparse_flags.ArgumentParser(
        prog="h2s",
        description="Hidden Two-Stream action recognition: learn motion from raw video "
        "and recognise actions.",
        epilog="Example: h2s quickstart",
    )
    parser.add_argument("--version", action="version", version=f"h2s_keras {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (quickstart, train, predict, flow):
        name = module.__name__.rsplit(".", 1)[-1]
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"Example: {module.EXAMPLE}",
        )
        command.add_argument(
            "--debug", action="store_true", help="show the traceback of an error"
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def run(argv=None):
    """Runs the command line and exits with 0, or 2 after a user's mistake."""
    parser = build_parser()

    def parse(arguments):
        return parser.parse_args(arguments[1:])

    app.run(_main, argv=argv, flags_parser=parse)


def _main(arguments):
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    warnings.showwarning = _show_warning
    try:
        _import_keras()
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("h2s: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as in `h2s predict ... | head`.
        sys.stderr.close()
        return 0
    except (UserError, OSError, MemoryError) as error:
        if arguments.debug:
            raise
        print(f"h2s: {_one_line(error)}", file=sys.stderr)
        return USAGE


def _import_keras():
    """Imports Keras without the notes that TensorFlow's C++ prints before it can log."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        import keras  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def _one_line(error):
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, MemoryError):
        return "not enough memory; use smaller clips or a smaller batch_size"
    return " ".join(str(error).split())


def _show_warning(message, category, filename, lineno, file=None, line=None):
    from h2s_keras.errors import BrokenVideoWarning

    if issubclass(category, BrokenVideoWarning):
        print(f"h2s: warning: {message}", file=sys.stderr)
