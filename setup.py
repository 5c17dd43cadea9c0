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
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["h2s_keras", "h2s_keras.*"]),
    # The trained networks that work offline, h2s_keras/models/presets.py; and the pages of
    # h2s_keras/export/web.py and h2s_keras/ethogram/review.py.
    package_data={
        "h2s_keras": ["py.typed"],
        "h2s_keras.models": ["weights/*.npz", "weights/index.json"],
        "h2s_keras.export": ["web_page/*"],
        "h2s_keras.ethogram": ["review.html"],
    },
    # The command is a module of its own so that `h2s --help` need not import Keras.
    py_modules=["h2s_keras_command"],
    # Lower bounds are releases: `tox -e oldest` installs exactly these. Why each package is
    # needed and what is tested stands in docs/dependencies.md, which a test compares.
    install_requires=[
        "absl-py>=2.0.0,<3",
        "av>=18.0.0,<20",
        "keras>=3.15.0,<4",
        "matplotlib>=3.8.0,<4",
        "numpy>=1.26.0,<3",
        "protobuf>=4.25.0,<8",
        "h5py>=3.10.0,<4",
        "pillow>=10.1.0,<14",
        "rich>=14.3.0,<16",
        "tensorflow>=2.16.1,<2.22",
    ],
    extras_require={
        # Accelerators: NVIDIA's libraries for TensorFlow, and the JAX backend.
        "gpu": ["tensorflow[and-cuda]>=2.16.1,<2.22"],
        "jax": ["jax>=0.10.0,<0.11"],
        "completion": ["argcomplete>=3.1.0,<4"],
        "cv": ["keras-cv>=0.9.0,<0.10"],
        "io": ["tensorflow-io>=0.37.0,<0.38", "tensorflow>=2.16.1,<2.17"],
        "beam": ["apache-beam>=2.60.0,<3"],
        "flow": ["opencv-contrib-python-headless>=4.10,<5"],
        "litert": ["ai-edge-litert>=2.0.0,<3"],
        "onnx": ["tf2onnx>=1.17.0,<2", "onnx>=1.16.0,<2", "onnxruntime>=1.20.0,<2"],
        "openvino": ["openvino>=2025.0.0,<2027"],
        "serving": ["tensorflow-serving-api>=2.16.1,<2.22", "grpcio>=1.60.0,<2"],
        "test": [
            "pytest>=8.0.0,<10",
            "pytest-xdist>=3.5.0,<4",
            "hypothesis>=6.100.0,<7",
            "scikit-learn>=1.4.0,<2",
            "scipy>=1.15.0,<2",
            "tensorflow-serving-api>=2.16.1,<2.22",
        ],
    },
    entry_points={"console_scripts": ["h2s = h2s_keras_command:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
