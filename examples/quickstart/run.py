"""``make quickstart``: train a small model, look at its errors, say what comes next.

Nothing here that ``mtt train`` does not do: this module runs it as a child process,
shows how far it is, evaluates the exported model on the three parts of the data,
measures the symmetry of the checkpoint, and purifies it. From the root of a checkout::

    python -m examples.quickstart.run
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from examples.quickstart.names import PARTS, ROWS
from metatrain_symmetry.cli.quiet import quiet
from metatrain_symmetry.progress import progress


EPOCH = re.compile(r"Epoch:\s*(\d+)")
VALIDATION = re.compile(r"validation (\S+) RMSE[^:|]*:\s*(\S+)(?: (\S+))?")
# where metatrain's request to report errors ends and the message itself begins
BEFORE_MESSAGE = "Thank you!"

FILES = """\
Files
  trained model          {run}/model.ckpt
  the same, exported     {run}/model.pt
  purified model         {run}/purified.ckpt
  what purifying costs   {run}/purified-report/tradeoff.png
  its symmetry report    {run}/symmetry-purified/index.html
  log                    {run}/train.log
"""

NEXT = """\
What to try next
  measure on more structures, or on structures of yours
      mtt symmetry {run}/model.ckpt data/xtb_molecules.xyz -o report --max-structures 20
  evaluate the model (eval.yaml: systems and targets, as for training)
      mtt eval {run}/model.pt eval.yaml
  use it in ASE
      from metatomic_ase import MetatomicCalculator
      atoms.calc = MetatomicCalculator("{run}/model.pt")
  set architecture.model.geometry_embedding.l_max in {config} and run again
"""

OPEN = """\
Open first   {run}/symmetry-report/index.html
             what is wrong with the symmetry of the trained model, and where it arises"""

THEN = """\
then         {page}
             how the model learned it, epoch by epoch"""


class Stopped(Exception):
    """The quickstart cannot go on; made of one sentence and an exit code."""


def with_absolute_paths(node: Any) -> Any:
    """Make the data paths of an options file independent of the working folder.

    metatrain writes its ``outputs`` below the folder it runs in and reads data
    relative to the same folder; we want the first in the run folder, the second here.

    :param node: (part of) an options file as plain dictionaries and lists
    :return: the same with every path under ``read_from`` or ``systems`` absolute
    """
    if isinstance(node, list):
        return [with_absolute_paths(value) for value in node]
    if not isinstance(node, dict):
        return node
    result = {key: with_absolute_paths(value) for key, value in node.items()}
    for key in ("read_from", "systems"):
        if isinstance(result.get(key), str):
            result[key] = os.path.abspath(result[key])
    return result


def prepare(config: Path, run: Path) -> tuple[Path, dict[str, Any]]:
    """Write the options that the run uses into its folder.

    :param config: metatrain options file, its paths relative to the working folder
    :param run: folder of the run, made if needed
    :return: the file written, and its content
    :raises Stopped: if the data are not split in a way that the table can show
    """
    if not config.is_file():
        raise Stopped(f"there is no options file {config}: name one with --config", 2)
    options = with_absolute_paths(OmegaConf.to_container(OmegaConf.load(config)))
    shares = [options.get(f"{part}_set") for part in PARTS[1:]]
    if not all(isinstance(share, float) and share > 0 for share in shares):
        raise Stopped(
            f"{config} must give validation_set and test_set as shares of the "
            "training set, for example 0.1",
            2,
        )
    options["final_eval"] = False  # our table is that evaluation
    run.mkdir(parents=True, exist_ok=True)
    written = run / "options.yaml"
    OmegaConf.save(OmegaConf.create(options), written)
    return written.resolve(), options


def error_message(log: str) -> str:
    """Find what metatrain has to say about its failure.

    :param log: the whole console output
    :return: one line
    """
    if BEFORE_MESSAGE in log:
        return " ".join(log.rpartition(BEFORE_MESSAGE)[2].split())
    # no message of its own: the last line, which is that of the exception
    return (log.strip().splitlines() or ["no output"])[-1]


def follow(output: Iterator[str], log: Path, epochs: int | None) -> None:
    """Keep the whole log in a file and show the progress.

    :param output: lines of the training process
    :param log: file to write them to
    :param epochs: number of epochs, if the options say it
    """
    with log.open("w") as file, progress(epochs, "training", "epoch") as bar:
        for line in output:
            file.write(line)
            file.flush()
            if epoch := EPOCH.search(line):
                bar.update(int(epoch[1]) + 1 - bar.n)
                errors = VALIDATION.findall(line)
                bar.set_postfix_str(", ".join(" ".join(e).strip() for e in errors))


def train(options: Path, log: Path, epochs: int | None) -> None:
    """Run ``mtt train`` in the folder of its options.

    :param options: absolute path of the options file
    :param log: file for its whole output
    :param epochs: number of epochs, if the options say it
    :raises Stopped: with metatrain's message
    """
    command = ["-m", "metatrain_symmetry", "train", str(options), "-o", "model.pt"]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=options.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None  # for the type checker: we asked for a pipe
    try:
        follow(process.stdout, log, epochs)
        code = process.wait()
    finally:
        # only after an interruption is there still something to stop
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code != 0:
        message = error_message(log.read_text(errors="replace"))
        # a process ended by a signal has a negative code, which exit() cannot pass on
        code = code if code > 0 else 128 - code
        raise Stopped(f"training stopped with exit code {code}: {message}", code)


def table(scores: dict[str, dict[str, float]]) -> str:
    """Lay out the errors.

    :param scores: as returned by :func:`evaluate`
    :return: one line per quantity, one column per part of the data
    """
    lines = [f"{'RMSE':28s}" + "".join(f"{p:>12s}" for p in PARTS)]
    for row in scores["test"]:
        values = "".join(f"{scores[part][row]:12.1f}" for part in PARTS)
        lines.append(f"{ROWS[row]:28s}{values}")
    return "\n".join(lines)


def run_quickstart(config: Path, run: Path) -> None:
    """Train, evaluate, measure, purify, and print where everything is.

    :param config: metatrain options file
    :param run: folder of the run
    """
    options_file, options = prepare(config, run)
    log = run / "train.log"
    print(f"1. Training with {config}; the whole log goes to {log}", flush=True)
    training = options["architecture"].get("training", {})
    train(options_file, log, training.get("num_epochs"))
    outputs = max(run.glob("outputs/*/*/"), key=lambda path: path.stat().st_mtime)
    with quiet():
        analyse(run, outputs, options)
    print(FILES.format(run=run))
    print(NEXT.format(run=run, config=config))
    print(OPEN.format(run=run))
    page = outputs / "symmetry" / "index.html"
    if page.is_file():
        print(THEN.format(page=page))


def analyse(run: Path, outputs: Path, options: dict[str, Any]) -> None:
    """Evaluate a trained model, measure its symmetry, purify it and measure again.

    :param run: folder of the run
    :param outputs: folder that metatrain wrote
    :param options: of the training
    """
    # importing torch takes seconds: not before training has started
    from examples.quickstart.before_after import measure, purify_and_compare
    from examples.quickstart.errors import evaluate

    print("\n2. Errors of the model", flush=True)
    print("\n" + table(evaluate(run, outputs)) + "\n")
    print("3. Symmetry of the model, layer by layer", flush=True)
    before = measure(run / "model.ckpt", outputs, options, run / "symmetry-report")
    print(f"spectra: {before.summary['convergence_text']}\n")
    print("4. Purifying the readout of the direct forces (mtt purify)", flush=True)
    compared = purify_and_compare(
        run / "model.ckpt", outputs, options, run / "purified.ckpt",
        run / "symmetry-purified",
    )  # fmt: skip
    print("\n" + compared)
    print("error: RMSE as given; A² of error²: the share that is asymmetry\n")


def main() -> int:
    """Run the quickstart.

    :return: exit code
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=Path("quickstart-run"))
    parser.add_argument("--config", type=Path, default=Path("configs/quickstart.yaml"))
    arguments = parser.parse_args()
    # The tensors are tiny: several OpenMP threads spend their time waiting for each
    # other, and on busy cores that made training up to thirty times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    try:
        run_quickstart(arguments.config, arguments.output_dir)
    except Stopped as error:
        message, code = error.args
        print(f"quickstart: {message}", file=sys.stderr)
        return int(code)
    except KeyboardInterrupt:
        print(f"interrupted: log and checkpoints so far are in {arguments.output_dir}")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
