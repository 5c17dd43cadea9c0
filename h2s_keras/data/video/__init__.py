"""Frames of video files, folders of frames and images: decoding, seeking, time stamps."""
