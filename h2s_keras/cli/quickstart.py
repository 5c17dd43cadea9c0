"""`h2s quickstart`: the whole method on synthetic clips, with a report to look at."""

import json

from h2s_keras.cli.train import check_resume, default_folder, run_training

HELP = "learn motion, train both streams, fuse them: the whole method in minutes"
EXAMPLE = "h2s quickstart --out quickstart --seed 1"


def add_arguments(parser):
    parser.add_argument("--out", metavar="DIR", help="new folder for everything it makes")
    parser.add_argument("--seed", type=int, help="seed of all random numbers (default 1)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out where it was cut"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a few steps only, to try the installation"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(arguments):
    from h2s_keras.recipes.quickstart import get_config

    config = None
    if arguments.resume:
        check_resume(arguments.out, arguments.smoke, arguments.seed is not None)
    else:
        config = get_config(smoke=arguments.smoke)
        if arguments.seed is not None:
            config.seed = config.data.seed = arguments.seed
    out = arguments.out or default_folder("quickstart")
    done = run_training(config, out, arguments.resume, command="quickstart")

    from h2s_keras.evaluation.quickstart_report import (
        CEILINGS,
        flow_row,
        result_rows,
        write_quickstart_report,
    )
    from h2s_keras.evaluation.statistics import table_lines
    from h2s_keras.training.run_report import next_commands

    report = write_quickstart_report(done)
    results = done["results"]
    if arguments.json:
        print(json.dumps(results, indent=2))
        return 0
    header, rows = result_rows(results)
    print("\n".join(table_lines(header, rows)))
    print(f"\nMotion: {flow_row(results)}")
    print(f"\n{CEILINGS}\n")
    print(f"Measured on {results['test']}.")
    print(f"Report:  {report}")
    print(f"Model:   {done['run'].file('model.keras')}")
    for what, command in next_commands(done["run"].path):
        print(f"  {command:60} # {what}")
    return 0
