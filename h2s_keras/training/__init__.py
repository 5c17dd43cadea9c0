"""Training: stages, schedules, states that can be resumed."""

from h2s_keras.training.run import train, train_each_group
from h2s_keras.training.schedule import StageSchedule
from h2s_keras.training.stage_model import StageModel

__all__ = ["StageModel", "StageSchedule", "train", "train_each_group"]
