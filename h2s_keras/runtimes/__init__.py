"""The runtimes that compute a trained network, and whether one can work here."""

from h2s_keras.errors import UserError

# Name: (package to import, extra that installs it); None is Keras itself.
_PACKAGES = {
    "keras": None,
    "openvino": ("openvino", "openvino"),
    "litert": ("ai_edge_litert", "litert"),
    "litert_8bit": ("ai_edge_litert", "litert"),
}
RUNTIMES = tuple(_PACKAGES)


def check_runtime(runtime):
    """Raises UserError for a runtime that is unknown or not installed."""
    if runtime not in RUNTIMES:
        raise UserError(
            f"runtime must be one of {', '.join(RUNTIMES)}; received {runtime!r}"
        )
    if runtime != "keras":
        package, extra = _PACKAGES[runtime]
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"runtime {runtime!r} needs the package {package.replace('_', '-')}; "
                f"pip install 'h2s_keras[{extra}]'"
            ) from error
