"""Draws clips of moving layers with their flow into a file, for `learn_pairs.py`.

python benchmarks/draw_pool.py --filmed 0.6 --count 8192 --out pool.npz
"""

import argparse

import numpy as np

from h2s_keras.data import MovingLayerClips


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--split", default="train", choices=("train", "test"))
    parser.add_argument("--filmed", type=float, default=0.6)
    parser.add_argument("--max_displacement", type=float, default=12.0)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    stream = MovingLayerClips(
        2,
        (options.side, options.side),
        options.seed,
        options.split,
        options.max_displacement,
        filmed=options.filmed,
    )
    clips, flows = [], []
    for batch in stream.dataset(64, options.count, with_flow=True).as_numpy_iterator():
        clips.append(batch["clip"])
        flows.append(batch["flow"].astype("float16"))
        print(f"{sum(map(len, clips))} of {options.count}", flush=True)
    np.savez(options.out, clip=np.concatenate(clips), flow=np.concatenate(flows))


if __name__ == "__main__":
    main()
