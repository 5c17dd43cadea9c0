"""Weights of published Caffe models, as networks of this package."""
