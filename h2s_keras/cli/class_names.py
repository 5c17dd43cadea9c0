"""Files of class names that a command is given."""

from h2s_keras.errors import FileError


def read_class_names(path):
    """Names of a text file, one a line; empty lines and a byte order mark are passed over.

    Raises:
        FileError: it is no text in UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError as error:
        raise FileError(
            path, "is no text file in UTF-8; give class names, one a line"
        ) from error
