"""`h2s fuse`: late fusion of saved scores, with a search for the weights."""

import json

from h2s_keras.errors import UserError
from h2s_keras.files import new_file

HELP = "fuse the scores of several networks, or search for the best weights"
EXAMPLE = "h2s fuse scores.npz:spatial scores.npz:temporal --weights 1 1.5"


def add_arguments(parser):
    parser.add_argument(
        "scores",
        nargs="+",
        metavar="A",
        help="two score files or more: .npz, .npy or .mat; FILE:STREAM takes the stream "
        "spatial, temporal or fused of an .npz; FILE1,FILE2,... are several splits",
    )
    parser.add_argument(
        "--weights",
        type=float,
        nargs="+",
        metavar="W",
        help="weight of each score file (default 1)",
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="search for the weights; the accuracy is cross-validated",
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=5,
        metavar="N",
        help="number of folds of the cross-validation (default 5)",
    )
    parser.add_argument(
        "--labels",
        metavar="L",
        help="file of labels: .npz, .npy, .mat, or lines ending in a label; one per split, "
        "joined by commas (default: those in the first score file)",
    )
    parser.add_argument(
        "--normalize",
        choices=("l1", "softmax", "none"),
        default=None,
        help="l1: negatives to 0, rows to sum 1, the published rule (default, and softmax "
        "where no score is positive)",
    )
    parser.add_argument(
        "--out", metavar="FILE.npz", help="file to write the fused scores to"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments):
    from h2s_keras.evaluation.statistics import table_lines

    splits = _splits(arguments)
    rule = arguments.normalize or _default_rule(splits)
    results = [_one_split(arguments, rule, *split) for split in splits]
    fused = sum(result["fused"] for result in results) / len(results)
    alone = [
        sum(result["alone"][index] for result in results) / len(results)
        for index in range(len(arguments.scores))
    ]
    summary = {
        "normalize": rule,
        "splits": results,
        "mean_alone": alone,
        "mean_fused": fused,
    }
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return 0
    columns = list(arguments.scores)
    if len(results) > 1 or max(map(len, columns)) > 30:
        # Long lists of files would make a table that no screen holds.
        columns = [chr(ord("A") + number) for number in range(len(columns))]
        for column, files in zip(columns, arguments.scores, strict=True):
            print(f"{column}: {files.replace(',', ', ')}")
    header = ["split", *columns, "fused", "weights"]
    rows = []
    for number, result in enumerate(results, start=1):
        shares = [f"{100 * value:.2f} %" for value in result["alone"]]
        weights = " ".join(f"{weight:g}" for weight in result["weights"])
        rows.append((str(number), *shares, f"{100 * result['fused']:.2f} %", weights))
    if len(results) > 1:
        shares = [f"{100 * value:.2f} %" for value in alone]
        rows.append(("mean", *shares, f"{100 * fused:.2f} %", ""))
    print("\n".join(table_lines(header, rows)))
    how = f"normalised by {rule}"
    if arguments.search:
        how += (
            f"; fused accuracy cross-validated over {arguments.folds} folds (with the "
            "printed weights, fitted to all videos: "
            + ", ".join(f"{100 * result['fitted']:.2f} %" for result in results)
            + ")"
        )
    print(f"top-1 accuracy; {how}")
    if arguments.out:
        print(f"scores: {arguments.out}")
    return 0


def _splits(arguments):
    """A tuple (VideoScores of the first file, matrices, labels) for every split."""
    from h2s_keras.evaluation.scores import align, align_classes, load_labels, load_stream

    if arguments.weights and arguments.search:
        raise UserError("give --weights or --search, not both")
    if arguments.search and arguments.folds < 2:
        raise UserError("--folds takes a number from 2")
    if arguments.weights and len(arguments.weights) != len(arguments.scores):
        raise UserError(
            f"{len(arguments.scores)} score files need as many weights; received "
            f"{len(arguments.weights)}"
        )
    files = [text.split(",") for text in arguments.scores]
    count = len(files[0])
    labels = arguments.labels.split(",") if arguments.labels else [None] * count
    if any(len(one) != count for one in [*files, labels]):
        raise UserError(
            "every score argument and --labels need as many comma-separated files as there "
            f"are splits; received {[len(one) for one in [*files, labels]]}"
        )
    if arguments.out and count > 1:
        raise UserError("--out writes the scores of one split; fuse the splits one by one")
    if arguments.out:
        new_file(arguments.out, ".npz")
    splits = []
    for number in range(count):
        loaded = [load_stream(one[number]) for one in files]
        first = loaded[0][0]
        matrices = []
        for text, (scores, matrix) in zip(files, loaded, strict=True):
            rows = align(text[number], scores, first)
            columns = align_classes(text[number], scores, first)
            matrices.append(matrix[rows][:, columns])
        if labels[number] is not None:
            truth = load_labels(labels[number], matrices[0].shape[1])
        elif first.labels is not None:
            truth = first.labels
        else:
            raise UserError(f"{files[0][number]}: has no labels; give them by --labels")
        if len(truth) != len(matrices[0]):
            raise UserError(f"{len(truth)} labels, but {len(matrices[0])} videos")
        if truth.ndim != 1:
            raise UserError("fusion is measured by top-1 and needs one label per video")
        splits.append((first, matrices, truth))
    return splits


def _default_rule(splits):
    """The published rule, unless a matrix is of log-probabilities, all 0 or below."""
    lost = any(matrix.max() <= 0 for _, matrices, _ in splits for matrix in matrices)
    return "softmax" if lost else "l1"


def _one_split(arguments, rule, first, matrices, labels):
    import numpy as np

    from h2s_keras.evaluation.fusion import fuse_scores, search_weights
    from h2s_keras.evaluation.scores import VideoScores
    from h2s_keras.evaluation.statistics import top_k_correct

    result = {
        "videos": len(labels),
        "alone": [float(top_k_correct(matrix, labels).mean()) for matrix in matrices],
    }
    if arguments.search:
        found = search_weights(matrices, labels, rule, arguments.folds)
        weights, result["fused"] = found["weights"], found["accuracy"]
        result["fitted"] = found["fitted_accuracy"]
        result["fold_weights"] = found["fold_weights"]
    else:
        weights = tuple(arguments.weights or [1.0] * len(matrices))
    fused = fuse_scores(matrices, weights, rule)
    if not arguments.search:
        result["fused"] = float(top_k_correct(fused, labels).mean())
    result["weights"] = list(weights)
    if arguments.out:
        if rule != "none":
            # Rows of probabilities again, as whoever reads the file takes them.
            total = fused.sum(axis=1, keepdims=True)
            even = np.full_like(fused, 1 / fused.shape[1])
            fused = np.divide(fused, total, out=even, where=total > 0)
        about = " + ".join(
            f"{weight:g} x {name}"
            for weight, name in zip(weights, arguments.scores, strict=True)
        )
        VideoScores(
            {"fused": fused.astype(np.float32)},
            first.names,
            labels,
            first.class_names,
            f"fusion of {about}, normalised by {rule}; {first.protocol}",
        ).save(arguments.out)
    return result
