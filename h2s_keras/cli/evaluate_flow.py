"""`h2s evaluate --flow_data`: flow of a MotionNet against the truth of benchmarks."""

import json

from h2s_keras.cli.quiet import import_keras, print_device


def run_flow(arguments):
    """Measures flow and prints or writes what the command line asks for."""
    from h2s_keras.evaluation.flow_pairs import find_flow_pairs

    pairs = find_flow_pairs(arguments.flow_data)
    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.evaluation.flow_results import flow_results, flow_rows, pair_flow
    from h2s_keras.evaluation.report_pages import write_flow_report
    from h2s_keras.evaluation.score_videos import model_checksum
    from h2s_keras.evaluation.text_table import table_lines
    from h2s_keras.models.flow_network import load_flow_network

    motion_net = load_flow_network(arguments.model)

    def estimator(frames):
        return pair_flow(motion_net, frames)

    progress = Progress()
    print_device(progress.message)
    with progress.count("pairs", len(pairs)) as counter:
        results = flow_results(pairs, estimator, counter.update)
    about = (
        f"{len(pairs)} pairs at full resolution; a network of {motion_net.num_frames} "
        "frames that sees the pair, its second frame repeated; unknown pixels left out"
    )
    if motion_net.num_frames == 2:
        about = f"{len(pairs)} pairs at full resolution; unknown pixels left out"
    results["protocol"] = about
    results["model_sha256"] = model_checksum(arguments.model)
    if arguments.json:
        print(json.dumps(results, indent=2), flush=True)
    else:
        print(about)
        print("\n".join(table_lines(*flow_rows(results))), flush=True)
    if arguments.report:
        write_flow_report(arguments.report, results, pairs, estimator, about)
    if not arguments.json:
        tell_files(arguments)
    return 0


def tell_files(arguments):
    """Names the files that were written."""
    for name in ("scores", "confusion", "report"):
        if getattr(arguments, name):
            print(f"{name}: {getattr(arguments, name)}")
