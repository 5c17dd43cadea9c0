import keras


class NamedShapes(dict):
    """Shapes of a network's outputs by name.

    Keras' wrappers, as TimeDistributed, know one output alone and ask for its axis 0 or 1:
    they get an answer in words.
    """

    def __missing__(self, name):
        known = ", ".join(repr(key) for key in self)
        if isinstance(name, str):
            raise KeyError(f"There is no output {name!r}; there are {known}.")
        raise ValueError(
            f"This network answers with a dict of {known}, and the wrapper takes models of "
            "one output: choose one, keras.Model(clips, network(clips)['...']) with "
            "clips = keras.Input((frames, height, width, 3))."
        )

    def spec(self, dtype: str) -> dict[str, keras.KerasTensor]:
        """The same as a plain dict of KerasTensors."""
        return {name: keras.KerasTensor(shape, dtype) for name, shape in self.items()}
