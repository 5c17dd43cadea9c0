import numpy as np
import pytest

from h2s_keras.evaluation.confusion_picture import confusion_picture

BLUE, WHITE = (0, 114, 178), (255, 255, 255)


def test_shades():
    picture = confusion_picture([[7, 0], [0, 0]], ["walk", "run"])
    cells = picture[-52:-4, -52:-4]
    assert tuple(cells[1, 1]) == BLUE and tuple(cells[1, 30]) == WHITE
    assert tuple(cells[30, 30]) == WHITE
    # White ink on a dark cell: the 7.
    assert (cells[:23, :23] == 255).all(axis=-1).any()


@pytest.mark.parametrize("count", [1, 30, 31, 101])
def test_any_number_of_classes(count):
    matrix = np.eye(count, dtype=int) * 12345
    picture = confusion_picture(
        matrix, [f"a long name of class {n}" * 3 for n in range(count)]
    )
    assert picture.dtype == np.uint8 and max(picture.shape) < 1600


def test_shape():
    with pytest.raises(ValueError, match="2x2"):
        confusion_picture([[1, 2]], ["a", "b"])
