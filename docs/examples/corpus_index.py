"""Index the words of a folder of text in a pool of processes, and check the result against a serial run.

Usage: ``python corpus_index.py [FOLDER] [--workers N]``

FOLDER is by default the standard library of the running Python: some two thousand files.  The same program runs three
times: in one process, on the standard library's ``multiprocessing``, and on ``procession``.  In the parallel runs

* a ``Pool`` reads the files and counts their words, a batch of files at a time,
* a ``Queue`` takes the line of each file to a writer process, which writes the index,
* a ``Value`` under a ``Lock`` holds the number of words so far, which the progress bar shows,
* a ``Pipe`` brings the writer's report back.

It prints a table of the times, and ends with status 0 only if all runs agree to the last word.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import procession

WORD = re.compile(r"[^\W\d_]\w*")
SUFFIXES = {".py", ".txt", ".rst", ".md", ".cfg", ".toml", ".ini", ".c", ".h"}
SKIPPED = {"__pycache__", "site-packages", "dist-packages", "node_modules"}
BATCHES = 128


@dataclass
class Totals:
    """What a run has found. Two runs agree if these are equal."""

    files: int
    lines: int
    words: int
    vocabulary: Counter[str]
    index: str  # digest of the index's sorted lines


# ---- what is done with one file --------------------------------------------------------------------


def text_files(folder: Path) -> list[str]:
    """Return the text files under *folder*, biggest first, so that no worker ends alone with a big one."""
    found = []
    for directory, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if name not in SKIPPED)
        found += [os.path.join(directory, name) for name in names if Path(name).suffix in SUFFIXES]
    return sorted(found, key=lambda path: (-os.path.getsize(path), path))


def count_words(path: str) -> tuple[str, int, int, Counter[str]]:
    """Return the file's line of the index, its number of lines and of words, and how often each word stands in it."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    counts = Counter(WORD.findall(text))
    lines, words = text.count("\n"), counts.total()
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]
    names = " ".join(f"{word}:{number}" for word, number in frequent)
    return f"{path}\t{lines}\t{words}\t{names}\n", lines, words, counts


def write_index(lines: Iterable[str], target: str) -> tuple[int, str]:
    """Write the lines of the index; return their number and a digest that does not depend on their order."""
    written = []
    with open(target, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            written.append(line)
    return len(written), hashlib.sha256("".join(sorted(written)).encode()).hexdigest()


# ---- the processes ---------------------------------------------------------------------------------

shared: dict[str, Any] = {}


def start_worker(queue: Any, total: Any, lock: Any) -> None:
    """Initialize a worker of the pool: these objects are inherited, not sent with each task."""
    shared.update(queue=queue, total=total, lock=lock)


def work(batch: list[str]) -> tuple[int, int, Counter[str]]:
    """Count a batch of files in a worker: lines of the index to the writer, words to the total, the rest returned."""
    lines, vocabulary = 0, Counter[str]()
    for path in batch:
        line, its_lines, its_words, counts = count_words(path)
        shared["queue"].put(line)
        with shared["lock"]:
            shared["total"].value += its_words
        lines += its_lines
        vocabulary.update(counts)
    return len(batch), lines, vocabulary


def writer(queue: Any, answer: Any, target: str) -> None:
    """Be the writer process: write until None comes, then report."""
    answer.send(write_index(iter(queue.get, None), target))
    answer.close()


class Progress:
    """A bar on the terminal; where there is no terminal, a line at the end."""

    def __init__(self, title: str, size: int) -> None:
        self.title, self.size, self.done, self.shown = title, size, 0, -1

    def step(self, files: int, words: int) -> None:
        """Show that *files* more are done, and the number of *words* so far."""
        self.done += files
        percent = 100 * self.done // self.size
        live = sys.stderr.isatty()
        if percent == self.shown or (percent < 100 and not live):
            return
        self.shown = percent
        text = f"{self.title:16} [{'#' * (percent * 30 // 100):30}] {percent:3}%  {words:>10,} words"
        end = "" if percent < 100 else "\n"
        print(f"\r{text}" if live else text, end=end, file=sys.stderr, flush=True)


# ---- the runs --------------------------------------------------------------------------------------


def run_serially(files: list[str], target: str) -> Totals:
    """Do everything in this process."""
    progress = Progress("serial", len(files))
    lines, words, vocabulary = 0, 0, Counter[str]()

    def counted() -> Iterator[str]:
        nonlocal lines, words
        for path in files:
            line, its_lines, its_words, counts = count_words(path)
            lines, words = lines + its_lines, words + its_words
            vocabulary.update(counts)
            progress.step(1, words)
            yield line

    number, digest = write_index(counted(), target)
    return Totals(number, lines, words, vocabulary, digest)


def run_parallel(mp: Any, files: list[str], workers: int, target: str) -> Totals:
    """Do it with *mp*, which is ``multiprocessing`` or ``procession``: the code is the same."""
    progress = Progress(mp.__name__, len(files))
    queue, lock, total = mp.Queue(), mp.Lock(), mp.Value("Q", 0, lock=False)
    receives, sends = mp.Pipe(duplex=False)
    writing = mp.Process(target=writer, args=(queue, sends, target), name="writer")
    writing.start()
    sends.close()
    lines, vocabulary = 0, Counter[str]()
    batches = [files[start::BATCHES] for start in range(min(BATCHES, len(files)))]
    with mp.Pool(workers, start_worker, (queue, total, lock)) as pool:
        for done, its_lines, counts in pool.imap_unordered(work, batches):
            lines += its_lines
            vocabulary.update(counts)
            progress.step(done, total.value)
        pool.close()
        pool.join()  # a worker that has ended has handed over all that it put on the queue
    queue.put(None)
    number, digest = receives.recv()
    writing.join()
    return Totals(number, lines, total.value, vocabulary, digest)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Index the words of a folder of text in a pool of processes.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--workers", type=int, default=None, help="processes in the pool (default: one for each CPU)")
    options = parser.parse_args()
    workers = options.workers or os.cpu_count() or 1
    files = text_files(options.folder)
    if not files:
        print(f"{options.folder} has no text files", file=sys.stderr)
        return 2
    size = sum(map(os.path.getsize, files))
    print(f"{len(files)} files, {size / 1e6:.1f} MB, under {options.folder}; {workers} workers")
    for path in files:  # so that the first run does not pay for the disk
        Path(path).read_bytes()

    results: dict[str, tuple[float, Totals]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in ("serial", "multiprocessing", "procession"):
            target = os.path.join(directory, f"{name}.index")
            begun = time.perf_counter()
            if name == "serial":
                totals = run_serially(files, target)
            else:
                mp = {"multiprocessing": multiprocessing, "procession": procession}[name]
                totals = run_parallel(mp, files, workers, target)
            results[name] = time.perf_counter() - begun, totals

    serial_seconds, expected = results["serial"]
    print(f"\n{'run':16} {'seconds':>8} {'speed-up':>9} {'files':>7} {'words':>12} {'vocabulary':>11}  agrees")
    for name, (seconds, totals) in results.items():
        print(
            f"{name:16} {seconds:8.2f} {serial_seconds / seconds:8.2f}x {totals.files:7,} {totals.words:12,}"
            f" {len(totals.vocabulary):11,}  {'yes' if totals == expected else 'NO'}"
        )
    common = ", ".join(f"{word} ({number:,})" for word, number in expected.vocabulary.most_common(5))
    print(f"\nmost frequent: {common}")
    return 0 if all(totals == expected for _, totals in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
