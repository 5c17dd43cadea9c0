"""Names of a package that are imported when they are asked for (PEP 562)."""

import importlib


def lazy_names(package, homes):
    """What a package assigns to `__getattr__` and `__dir__`.

    Args:
        package: its `__name__`.
        homes: dict from a public name to the module of the package that has it.

    Returns:
        The two functions.
    """

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return get, lambda: sorted(homes)
