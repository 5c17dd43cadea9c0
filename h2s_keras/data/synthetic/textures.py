"""Random textures with the statistics of natural images: 1/f noise and patches of it."""

import numpy as np


def texture_bank(count, size, seed):
    """Periodic colour textures.

    Half are 1/f noise alone, half a mosaic of regions with sharp outlines and noise on
    top: photographs have both, and flow needs both to learn from.

    Args:
        count: of textures.
        size: side in pixels.
        seed: int; the same seed gives the same bytes on every machine with one NumPy.

    Returns:
        uint8 (count, size, size, 3), RGB.

    Example:

    ```python
    texture_bank(4, 64, seed=1).shape       # (4, 64, 64, 3)
    ```

    Source: amplitude 1/f of natural images, Field 1987.
    """
    generator = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size) * size] * 2))
    frequency[0, 0] = 1.0

    def noise(exponent):
        """A field of mean 0 and deviation 1."""
        white = np.fft.fft2(generator.normal(size=(size, size)))
        field = np.fft.ifft2(white / frequency**exponent).real
        return (field - field.mean()) / field.std()

    textures = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        light = noise(generator.uniform(0.8, 1.4))
        tint = noise(generator.uniform(1.0, 1.6))
        direction = generator.normal(size=3)
        direction -= direction.mean()
        direction /= np.linalg.norm(direction)
        colour = light[..., None] + 0.7 * tint[..., None] * direction
        if number % 2:
            colour = 0.35 * colour + _mosaic(noise(generator.uniform(1.3, 1.9)), generator)
        deviation = generator.uniform(25.0, 60.0)
        colour = 128.0 + deviation * colour / colour.std()
        textures[number] = np.clip(np.rint(colour), 0, 255)
    return textures


def _mosaic(field, generator):
    """Regions between level lines of a field, each of one colour."""
    regions = int(generator.integers(3, 9))
    borders = np.quantile(field, np.sort(generator.uniform(0.05, 0.95, regions - 1)))
    return generator.normal(size=(regions, 3))[np.digitize(field, borders)]
