from typing import Any

from h2s_keras.ops.clip_range import looked_at, warn_unit_range


class ChecksClips:
    """For keras.Model: looks at the clips of calls on arrays, before they are compiled."""

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.fit")
        with looked_at():
            return super().fit(x, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.evaluate")
        with looked_at():
            return super().evaluate(x, *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.predict")
        with looked_at():
            return super().predict(x, *args, **kwargs)  # type: ignore[misc]

    def predict_on_batch(self, x: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.predict")
        with looked_at():
            return super().predict_on_batch(x)  # type: ignore[misc]
