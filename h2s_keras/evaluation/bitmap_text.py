"""Text on pictures without a font file: 5x7 letters of ASCII, drawn large enough."""

import numpy as np

# Five columns a letter, the lowest bit on top, from the space (32) to the tilde (126).
_COLUMNS = (
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 "
    "0008070300 001c224100 0041221c00 2a1c7f1c2a 08083e0808 0080703000 0808080808 "
    "0000606000 2010080402 3e5149453e 00427f4000 7249494946 2141494d33 1814127f10 "
    "2745454539 3c4a494931 4121110907 3649494936 464949291e 0000140000 0040340000 "
    "0008142241 1414141414 0041221408 0201590906 3e415d594e 7c1211127c 7f49494936 "
    "3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173 7f0808087f 00417f4100 "
    "2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e 7f09090906 "
    "3e4151215e 7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f "
    "6314081463 0304780403 6159494d43 007f414141 0204081020 004141417f 0402010204 "
    "4040404040 0003070800 2054547840 7f28444438 3844444428 384444287f 3854545418 "
    "00087e0902 18a4a49c78 7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 "
    "7c04780478 7c08040478 3844444438 fc18242418 18242418fc 7c08040408 4854545424 "
    "04043f4424 3c4040207c 1c2040201c 3c4030403c 4428102844 4c9090907c 4464544c44 "
    "0008364100 0000770000 0041360800 0201020402"
).split()
LETTER_WIDTH, LETTER_HEIGHT = 6, 9


def text_mask(text, scale=2):
    """Where the ink of a line of text lies.

    Args:
        text: str; what is not ASCII loses its accents, or shows as "?".
        scale: pixels of a dot.

    Returns:
        bool (9 * scale, 6 * scale * len(text)).

    Example:
        >>> text_mask("jump", scale=1).shape
        (9, 24)
    """
    import unicodedata

    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    mask = np.zeros((LETTER_HEIGHT, LETTER_WIDTH * len(plain)), bool)
    for place, letter in enumerate(plain):
        code = ord(letter) - 32
        code = code if 0 <= code < len(_COLUMNS) else ord("?") - 32
        columns = bytes.fromhex(_COLUMNS[code])
        bits = np.unpackbits(
            np.frombuffer(columns, np.uint8)[:, None], axis=1, bitorder="little"
        )
        mask[:8, place * LETTER_WIDTH : place * LETTER_WIDTH + 5] = bits.T
    return mask.repeat(scale, axis=0).repeat(scale, axis=1)


def draw_text(picture, text, top, left, scale=2, color=(255, 255, 255)):
    """Writes a line of text on a picture, in place, over a darkened bar.

    Args:
        picture: uint8 (height, width, 3), changed; what passes its edge is cut off.
        text: str.
        top, left: pixels, of the bar.
        scale: pixels of a dot.
        color: RGB 0..255 of the letters.

    Returns:
        Pixel row below the bar.
    """
    mask = np.pad(text_mask(text, scale), scale)
    part = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    mask = mask[: part.shape[0], : part.shape[1]]
    part[...] = part // 3
    part[mask] = color
    return top + part.shape[0]
