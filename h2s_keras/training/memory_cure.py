"""What to do about memory that ran out while training."""

from h2s_keras.errors import UserError
from h2s_keras.out_of_memory import is_out_of_memory


def out_of_memory(error):
    """The UserError that tells of memory which ran out, or None for another exception.

    Example:

    ```python
    told = out_of_memory(error)
    if told is not None:
        raise told from error
    ```
    """
    if not is_out_of_memory(error):
        return None
    return UserError(
        "not enough memory for a step: start anew with a lower batch_size (and "
        "gradient_accumulation_steps raised in turn, for the same update), or with "
        "model.rematerialize=True, which keeps less for the backward pass"
    )
