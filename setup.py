"""Packaging of h2s_keras; static settings of the tools live in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"', (HERE / "h2s_keras" / "version.py").read_text(), re.M
).group(1)

setup(
    name="h2s_keras",
    version=VERSION,
    description="Hidden Two-Stream action recognition as modular Keras 3 layers and models",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["h2s_keras", "h2s_keras.*"]),
    # The trained networks that work offline; h2s_keras/models/presets.py.
    package_data={"h2s_keras.models": ["weights/*.npz", "weights/index.json"]},
    # The command is a module of its own so that `h2s --help` need not import Keras.
    py_modules=["h2s_keras_command"],
    install_requires=[
        "keras>=3.15,<4",
        "tensorflow>=2.16,<2.22",
        "numpy>=1.26",
        "absl-py>=2.0",
        "av>=14",
    ],
    extras_require={
        "cv": ["keras-cv>=0.9,<0.10"],
        "io": ["tensorflow-io>=0.37,<0.38", "tensorflow>=2.16,<2.17"],
        "beam": ["apache-beam>=2.60"],
        # Peers of `h2s benchmark`; each is named in the result where it is missing.
        "benchmark": [
            "ai-edge-litert>=2.0",
            "kornia>=0.8",
            "opencv-contrib-python-headless>=4.10,<5",
            "openvino>=2025.0",
            "torch>=2.4",
        ],
        "flow": ["opencv-contrib-python-headless>=4.10,<5"],
        "litert": ["ai-edge-litert>=2.0"],
        "onnx": ["tf2onnx>=1.17", "onnx>=1.16", "onnxruntime>=1.20"],
        "openvino": ["openvino>=2025.0"],
        "serving": ["tensorflow-serving-api>=2.16,<2.22", "grpcio>=1.60"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "pillow>=10",
            "scikit-learn>=1.4",
            "scipy>=1.12",
            "tensorflow-serving-api>=2.16,<2.22",
        ],
    },
    entry_points={"console_scripts": ["h2s = h2s_keras_command:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
