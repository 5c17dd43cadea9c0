"""Three gestures of three people in one room, one person left out of training.

Reproduces: nothing published. The room is the same in every video, so a frame tells the
    person and hardly the gesture: motion is needed.
Command: h2s train gestures --set data.root=gestures --out runs/gestures
    (folders A1, A2, A3 with files like PS7A1P1T1.avi: action 1, person 1, trial 1)
Hardware: 2 cores, 4 GiB; see docs/results.md for the time.
Expected: docs/results.md, measured with this file.
"""

from h2s_keras.recipes import videos


def get_config(smoke=False):
    config = videos.get_config(smoke)
    config.name = "gestures"
    if not smoke:
        config.data.group_pattern, config.data.test_group = r"A\dP(\d)T\d", "each"
    return config
