import numpy as np

from h2s_keras.evaluation.bitmap_text import LETTER_HEIGHT, LETTER_WIDTH, text_mask

_INK, _SHADE = np.array([30, 30, 30]), np.array([0, 114, 178])
_NAME_LETTERS = 28


def confusion_picture(matrix, class_names):
    """A confusion matrix as a picture: rows the true classes, columns the predicted ones.

    A cell's blue is its share of the row. Up to 30 classes its count is written in it and
    the columns are named; with more, cells are small squares and only rows are named.

    Args:
        matrix: int (classes, classes), counts.
        class_names: names in order; long ones are cut.

    Returns:
        uint8 (height, width, 3) RGB.

    Raises:
        ValueError: if the matrix is not square over the classes.

    Example:
        >>> write_png("confusion.png", confusion_picture([[8, 2], [1, 9]], ["a", "b"]))
    """
    matrix = np.asarray(matrix)
    count = len(class_names)
    if matrix.shape != (count, count):
        raise ValueError(
            f"A confusion matrix over {count} classes is {count}x{count}; received "
            f"{matrix.shape}."
        )
    large = count <= 30
    digits = len(str(int(matrix.max()))) if count else 1
    cell = max(24, (digits + 1) * LETTER_WIDTH) if large else LETTER_HEIGHT + 2
    names = [str(name)[:_NAME_LETTERS] for name in class_names]
    side = max(len(name) for name in names) * LETTER_WIDTH + 8
    top = side if large else 4
    picture = np.full((top + cell * count + 4, side + cell * count + 4, 3), 255, np.uint8)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row, name in enumerate(names):
        down = top + row * cell
        mask = text_mask(name, 1)
        _ink(picture, mask, down + (cell - LETTER_HEIGHT) // 2, side - mask.shape[1] - 4)
        if large:
            # Names of columns are read from below to above.
            mask = np.rot90(mask)
            left = side + row * cell + (cell - LETTER_HEIGHT) // 2
            _ink(picture, mask, top - mask.shape[0] - 4, left)
        for column in range(count):
            left = side + column * cell
            color = 255 + (_SHADE - 255) * share[row, column]
            picture[down : down + cell - 1, left : left + cell - 1] = np.rint(color)
            if large and matrix[row, column]:
                mask = text_mask(str(int(matrix[row, column])), 1)
                ink = _INK if share[row, column] < 0.6 else np.array([255, 255, 255])
                above = down + (cell - LETTER_HEIGHT) // 2
                _ink(picture, mask, above, left + (cell - mask.shape[1]) // 2, ink)
    return picture


def _ink(picture, mask, top, left, color=_INK):
    part = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    part[mask[: part.shape[0], : part.shape[1]]] = color
