"""Packed records: writing, reading, verifying, object stores, the tf.data service."""
