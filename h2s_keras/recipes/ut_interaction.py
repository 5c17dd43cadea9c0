"""UT-Interaction set 1, segmented: six interactions, one sequence left out of training.

Reproduces: the protocol of the set (leave one sequence out), not a published figure.
    The shape and length of the segments depend on the class, so training and testing
    look at one fixed shape and window: whole frames squeezed into a square, one second.
Command: h2s train ut_interaction --set data.root=ut_interaction --out runs/ut
    (class folders with files like 17_3_0.avi; the second number is the sequence)
Hardware: 2 cores, 4 GiB; ten runs of about four minutes.
Expected: docs/results.md, measured with this file.
"""

from h2s_keras.recipes import videos


def get_config(smoke=False):
    config = videos.get_config(smoke)
    config.name = "ut_interaction"
    if not smoke:
        config.data.group_pattern, config.data.test_group = r"^\d+_(\d+)_", "each"
    return config
