"""Runtimes that compute a trained network: which ones work here, and OpenVINO's call."""

from h2s_keras.errors import UserError, require_extra

# Name: (package to import, extra that installs it); None is Keras itself.
_PACKAGES = {
    "keras": None,
    "openvino": ("openvino", "openvino"),
    "litert": ("ai_edge_litert", "litert"),
    "litert_8bit": ("ai_edge_litert", "litert"),
}
RUNTIMES = tuple(_PACKAGES)


def openvino_function(core, network):
    """What computes an OpenVINO network on the CPU in float32.

    Args:
        core: `openvino.Core`.
        network: path of a file, or `openvino.Model`.

    Returns:
        Function from a NumPy array of clips to a dict of NumPy arrays by the names that the
        Keras model gave its outputs.
    """
    import numpy as np

    # Left alone, it computes in bfloat16 where the processor can.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(network, "CPU", options)
    # Each output's other names are paths inside the graph.
    ports = {min(port.get_names(), key=len): port for port in compiled.outputs}

    def run(clips):
        results = compiled(clips)
        return {name: np.array(results[port]) for name, port in ports.items()}

    return run


def check_runtime(runtime):
    """Raises UserError for a runtime that is unknown or not installed."""
    if runtime not in RUNTIMES:
        raise UserError(
            f"runtime must be one of {', '.join(RUNTIMES)}; received {runtime!r}"
        )
    if runtime != "keras":
        package, extra = _PACKAGES[runtime]
        require_extra(f"runtime {runtime!r}", extra, package)
