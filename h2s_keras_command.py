"""The `h2s` command.

A module of its own beside the package: `h2s --help` and wrong arguments answer at once,
since h2s_keras sees this module loaded and puts off importing Keras.
"""

import os
import sys


def main():
    # TensorFlow's start-up notes say nothing to a user of the command line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # As `python -m h2s_keras_command` this module has another name.
    sys.modules.setdefault("h2s_keras_command", sys.modules[__name__])
    from h2s_keras.cli.main import complete, run

    if "_ARGCOMPLETE" in os.environ:
        complete()
    run()


if __name__ == "__main__":
    main()
