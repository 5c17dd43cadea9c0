"""`h2s ethogram refine`: the temporal head and the rules anew, after labels changed."""

from h2s_keras.cli.ethogram_train import (
    add_common_arguments,
    check_source,
    names_of,
    print_results,
    report_interruption,
)

HELP = (
    "train the temporal part of a run again on changed or further labels, in a minute; the "
    "features of its videos are taken from the run"
)
EXAMPLE = "h2s ethogram refine videos.csv --model runs/mice --out runs/mice2"


def add_arguments(parser):
    add_common_arguments(parser)
    parser.add_argument(
        "--model", required=True, metavar="RUN", help="run to begin with; it stays as it is"
    )


def run(arguments):
    from h2s_keras.ethogram.scorer import read_record

    check_source(arguments.source)
    read_record(arguments.model)
    from h2s_keras.cli.quiet import import_keras

    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.ethogram.train import refine_ethogram

    with report_interruption():
        results = refine_ethogram(
            arguments.source,
            arguments.model,
            arguments.out,
            names_of(arguments),
            Progress(),
        )
    print_results(results, arguments)
    return 0
