"""Benchmarks, run from a clone: ratios against peers, measured in turns on one machine.

Importing this package imports neither Keras nor any peer; the suites do when they run.
"""

import importlib

# In the order of the list; each a module of `suites` with run(settings, figures), and
# add_arguments(parser) where it takes more than the options that all have.
SUITES = {
    "warp": "backward warp and its gradients against grid_sample, map_coordinates, others",
    "warp_kernel": "on a GPU: the warp and its gradient against a kernel written in Pallas",
    "loss": "the whole unsupervised loss with gradients beside MotionNet's own step",
    "loss_gradients": "share of each term of the loss in the gradient, on two frames",
    "motion": "MotionNet's inference as a share of the float32 matrix-product rate",
    "flow_baselines": "MotionNet and OpenCV's flow on the same pairs: errors and seconds",
    "training": "time and memory of a training step of every stage against plain PyTorch",
    "full_size_step": "a full-size training step: shares of its parts, peak memory",
    "first_step": "processor time until the first training step is done",
    "plateau": "steps until MotionNet leaves zero flow, by the way it starts",
    "headline": "frames to scores: MotionNet against TV-L1, Farneback and DIS",
    "predict": "`h2s predict` on a minute of 320x240 video: its parts; sliding windows",
    "startup": "`h2s --help`, a wrong name, and `import h2s_keras` beyond `import keras`",
    "growth": "cost of the tiny MotionNet against frames, resolution, clips, replicas",
    "data_pipeline": "clips per second from videos against plain decoding loops; memory",
    "record_pipeline": "clips per second from packed records against the same videos",
    "serving_latency": "an export's serving_default against the compiled Keras model",
    "formats": "accuracy, size and time of every exported file on the quickstart's clips",
    "accelerator": "on a GPU: clips per second, shares of its matrix rate and bandwidth",
    "accelerator_training": "on a GPU: full-size training steps in bfloat16; time, memory",
    "accelerator_profile": "on a GPU: MotionNet's kernels by what they do",
}
# These measure processes of their own, and need no Keras beside them.
WITHOUT_KERAS = ("startup",)

# Ablations of `studies`, which `variants` trains; they take --out, --set and --resume.
STUDIES = {
    "ablation": "the paper's ablations at toy size, on synthetic clips",
    "ablation_flow": "what each option of the unsupervised loss buys, on synthetic clips",
    "ablation_video": "the paper's ablations on real video, each group left out in turn",
}


def suite(name):
    """The module of a suite."""
    return importlib.import_module(f"{__name__}.suites.{name}")


def study(name):
    """The module of an ablation."""
    return importlib.import_module(f"{__name__}.studies.{name}")
