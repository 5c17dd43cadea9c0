from training.conftest import small_config

__all__ = ["small_config"]
