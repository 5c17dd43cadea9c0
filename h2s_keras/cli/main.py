"""Entry of the `h2s` command: parsing, logging, and errors as one clear line."""

import importlib
import os
import sys
import warnings

from absl import app, logging
from absl.flags import argparse_flags

from h2s_keras.errors import UserError, UserFacingWarning
from h2s_keras.version import __version__

USAGE, INTERRUPTED = 2, 130
# In the order of the help; each a module of this folder.
COMMANDS = (
    "quickstart",
    "train",
    "predict",
    "evaluate",
    "fuse",
    "flow",
    "data",
    "ethogram",
    "export",
    "convert",
)


class _Parser(argparse_flags.ArgumentParser):
    def __init__(self, **options):
        # A part of an option's name would be taken for the option that begins with it.
        super().__init__(**options, allow_abbrev=False)

    def error(self, message):
        self.exit(USAGE, f"h2s: {message}; '{self.prog} --help' shows the usage\n")


def build_parser():
    """The parser of all commands; importing it imports neither Keras nor TensorFlow."""
    parser = _Parser(
        prog="h2s",
        description="Hidden Two-Stream action recognition: learn motion from raw video "
        "and recognise actions.",
        epilog="Example: h2s quickstart",
    )
    parser.add_argument("--version", action="version", version=f"h2s_keras {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"h2s_keras.cli.{name}")
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


def complete():
    """Answers the shell that asks how a line goes on, and ends the process."""
    import argcomplete

    argcomplete.autocomplete(build_parser())


def run(argv=None):
    """Runs the command line and exits with 0, or 2 after a user's mistake."""
    _take_any_name()
    parser = build_parser()

    def parse(arguments):
        return parser.parse_args(arguments[1:])

    def leave(arguments):
        code = _main(arguments)
        if "tensorflow_io" in sys.modules:
            # Its s3:// library aborts the process when Python unloads it at the end.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
        return code

    app.run(leave, argv=argv, flags_parser=parse)


def _take_any_name():
    """File names that are not UTF-8 are read and printed, not refused half way."""
    # A stream that was closed before Python began is None.
    if sys.stdin is not None:
        sys.stdin.reconfigure(errors="surrogateescape")
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")


def _main(arguments):
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    warnings.showwarning = _show_warning
    try:
        code = arguments.run(arguments)
        if sys.stdout is not None:
            # What fails must fail here, not while Python shuts down.
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("h2s: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as in `h2s predict ... | head`. What is left
        # in the buffer would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError, MemoryError) as error:
        if arguments.debug:
            raise
        print(f"h2s: {_one_line(error)}", file=sys.stderr)
        return USAGE


def _one_line(error):
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, MemoryError):
        return "not enough memory; use smaller clips or a smaller batch_size"
    return " ".join(str(error).split())


def _show_warning(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, UserFacingWarning):
        print(f"h2s: warning: {message}", file=sys.stderr)
