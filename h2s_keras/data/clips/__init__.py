"""From frames to clips: sampling, crops, augmentation, datasets of clips, cached flow."""
