"""One annotation, hand-made, as the programs of the field write it."""

import numpy as np

from h2s_keras.ethogram import FrameLabels, FrameTimes

# 20 frames at 10 fps: groom [2, 7) [12, 13) [16, 20), rear [6, 9).
BOUTS = [("groom", 2, 7), ("rear", 6, 9), ("groom", 12, 13), ("groom", 16, 20)]


def truth(video="clip.mp4"):
    return FrameLabels.from_bouts(
        video, ("groom", "rear"), BOUTS, 20, FrameTimes(20, rate=10)
    )


BORIS_OLD = """Observation id,obs1
,
Media file(s)
Player #1,/home/me/clip.mp4
,
Observation date,2018-01-01 10:00:00
,
Description,
,
Time offset (s),0.0
,
Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
0.2,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,START
0.6,/home/me/clip.mp4,2.0,10.0,mouse,rear,,,START
0.699,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,STOP
0.9,/home/me/clip.mp4,2.0,10.0,mouse,rear,,,STOP
1.2,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,START
1.3,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,STOP
1.5,/home/me/clip.mp4,2.0,10.0,mouse,peck,,,POINT
1.6,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,START
2.0,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,STOP
"""

# Frames, as older versions write; the last number is the count of frames.
BENTO_FRAMES = """Bento annotation file
Movie file(s): clip.mp4

Stimulus name:
Annotation start frame: 1
Annotation stop frame: 20
Annotation framerate: 10

List of channels:
Ch1

List of annotations:
groom
rear
sleep

Ch1----------
>groom
Start\tStop\tDuration
3\t7\t5
13\t13\t1
17\t20\t4

>rear
Start\tStop\tDuration
7\t9\t3
"""

OBSERVER = (
    '"Time_Relative_hms";"Time_Relative_sf";"Observation";"Subject";"Behavior";"Event_Type"\n'
    '"";"0,2";"obs1";"mouse";"groom";"State start"\n'
    '"";"0,6";"obs1";"mouse";"rear";"State start"\n'
    '"";"0,7";"obs1";"mouse";"groom";"State stop"\n'
    '"";"0,9";"obs1";"mouse";"rear";"State stop"\n'
    '"";"1,2";"obs1";"mouse";"groom";"State start"\n'
    '"";"1,3";"obs1";"mouse";"groom";"State stop"\n'
    '"";"1,5";"obs1";"mouse";"peck";"Point"\n'
    '"";"1,6";"obs1";"mouse";"groom";"State start"\n'
    '"";"2,0";"obs1";"mouse";"groom";"State stop"\n'
)


def boris_project(events, fps=10.0, length=2.0, offset=0.0, videos=("clip.mp4",)):
    """A small BORIS project with state events groom and rear and the point event peck."""
    kinds = (("groom", "State event"), ("rear", "State event"), ("peck", "Point event"))
    return {
        "behaviors_conf": {
            str(number): {"code": name, "type": kind}
            for number, (name, kind) in enumerate(kinds)
        },
        "observations": {
            "obs1": {
                "type": "MEDIA",
                "file": {"1": list(videos), "2": []},
                "time offset": offset,
                "events": events,
                "media_info": {
                    "fps": {video: fps for video in videos},
                    "length": {video: length for video in videos},
                },
            }
        },
    }


def boris_events(bouts=BOUTS, rate=10, subject="", offset=0.0):
    events = [
        [frame / rate + offset, subject, name, "", "", "NA"]
        for name, *edges in bouts
        for frame in edges
    ]
    return sorted(events, key=lambda event: event[0])


def same(labels, wanted):
    """Whether two labels name the same behaviours and agree in every frame."""
    return labels.behaviors == wanted.behaviors and np.array_equal(
        labels.matrix, wanted.matrix
    )
