"""Recipes: one Python file each, whose `get_config(smoke=False)` returns `RunOptions`."""

if __name__ != "h2s_keras.recipes":
    # The link `recipes` at the root of a checkout would make second, unequal modules.
    raise ImportError(
        f"This folder is h2s_keras.recipes; it was imported as {__name__!r}. "
        "Write `from h2s_keras import recipes`."
    )
