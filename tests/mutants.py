"""Plausible slips in the core, made one at a time in a copy of the checkout: the named tests must notice each.

No part of `make test`. `make mutants` prints the mutants that survive and exits with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300  # seconds for the tests of one mutant; one that hangs is noticed too

# File: the test files that must notice, and the pairs of a text that occurs once in the file and its replacement.
MUTANTS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "sepm_eval/runs/identity.py": (
        "identity results",
        (
            ("argument not in PLACEMENT and not is_secret", "argument not in PLACEMENT or not is_secret"),
            ("_SECRET.fullmatch(argument)", "_SECRET.match(argument)"),
            ('"device_map", "journal"', '"device_map", "dtype", "journal"'),
            ("self.revision, self.model, versions=self.versions)", "self.revision, self.model)"),
            ("self.checkpoint, self.revision, self.model,", 'self.checkpoint, "", self.model,'),
            ("self.of_model.digest[:8]", "self.digest[:8]"),
            ("sort_keys=True", "sort_keys=False"),
            ("[task, item_list, items, sorted(set(questions))]", "[task, items, sorted(set(questions))]"),
            ("items, sorted(set(questions))]", "items]"),
            ("sorted(set(questions))", "list(questions)"),
            ("for table in tables}) > 1]", "for table in tables}) > 2]"),
            ('if found.digest != content["digest"]', 'if found.key != content["digest"][:8] and False'),
            ("not in self._told:", "in self._told:"),
        ),
    ),
    "sepm_eval/runs/outcomes.py": (
        "results report_text identity reports_apart",
        (
            ("sorted(self.identity.polarity.items())]\n        return", "sorted({}.items())]\n        return"),
            ("(one.item, one.target, one.sha256)", '(one.item, one.target, "")'),
            ('outcome.score.status != "failed")\n\n', 'outcome.score.status == "answered")\n\n'),
            ("not self.missing and not self.count", "not self.missing or not self.count"),
            ("self.answered_all and self.asked == self.available", "self.answered_all"),
            ("items {self.offset + 1} to", "items {self.offset} to"),
            ("(run.exam, run.identity.digest), []", "(run.task, run.identity.digest), []"),
            ("(run.exam, run.identity.digest), [])", "(run.exam, run.identity.of_model.digest), [])"),
            ("key=lambda run: (run.answered_all, run.date,", "key=lambda run: (run.date, run.answered_all,"),
            ("*others, best = group", "best, *others = group"),
            ("ours.keys() ^ theirs.keys()", "ours.keys() - theirs.keys()"),
            ('("sha256", "pictures"), ', ""),
            ('(("target", "labels"), ', "("),
            ('for what in ("task", "item_list")', 'for what in ("task",)'),
            ("all(outcome.score.status", "any(outcome.score.status"),
            ("count[entries[digest], name] > 1", "count[entries[digest], name] > 2"),
        ),
    ),
    "sepm_eval/runs/item_sets.py": (
        "item_sets",
        (
            ("sorted((key, label, picture)", "list((key, label, picture)"),
            ("(key, label, picture) for", "(key, picture) for"),
            ("(key, label, picture) for", "(key, label) for"),
        ),
    ),
    "sepm_eval/digests.py": (
        "digests",
        (
            ("< settled and", "> settled and"),
            ("{found.st_mtime_ns} ", ""),
            ("{found.st_ino} ", ""),
            ("max(found.st_mtime, found.st_ctime)", "min(found.st_mtime, found.st_ctime)"),
            ("while block := file.read(1 << 20)", "if block := file.read(1 << 20)"),
            ("readable_sha256s(paths[middle:])", "readable_sha256s(paths[middle + 1 :])"),
        ),
    ),
    "sepm_eval/runs/exams.py": (
        "exams",
        (
            ("asked=len(asked)", "asked=len(items)"),
            ("items[:limit]", "items[-limit:]"),
            ("(item.id, item.label, picture)", '(item.id, item.label, "")'),
        ),
    ),
    "sepm_eval/runs/journal_records.py": (
        "results tokens_read",
        (
            ("if text == outcome.output or", "if True or"),
            ("if outcome.doc_id != doc_id:", "if outcome.doc_id == doc_id:"),
            ("if key and key not in keys", "if key and key in keys"),
            ("type(count) is int and count >= 0", "type(count) is int"),
        ),
    ),
    "sepm_eval/methods/selection.py": (
        "evidence properties",
        (
            ("int(Fraction(str(beta)) * visual_tokens)", "round(Fraction(str(beta)) * visual_tokens)"),
            ("int(Fraction(str(beta)) * visual_tokens)", "int(beta * visual_tokens)"),
            ("argsort(stable=True)", "argsort(stable=True, descending=True)"),
            ("order[~separators", "order[separators"),
            ("len(order) - 1)", "len(order))"),
        ),
    ),
    "sepm_eval/methods/evidence.py": (
        "evidence",
        (
            (".softmax(-1)[:, ids]", "[:, ids].softmax(-1)"),
            ("1 if unbiased else 0", "0 if unbiased else 1"),
            ("confidence >= alpha if at_threshold", "confidence > alpha if at_threshold"),
            ("else confidence > alpha", "else confidence >= alpha"),
        ),
    ),
    "sepm_eval/backbone/probe.py": (
        "probe",
        (("mean(1), weights", "amax(1), weights"), ("/ rows.sum(-1, keepdim=True)", "")),
    ),
    "sepm_eval/report/statistics.py": (
        "statistics",
        (
            ("(~one & other)", "(one & ~other) * 1 + 0 * (~one & other)"),
            ("difference = (gained - lost)", "difference = (lost - gained)"),
            ("1 - (1 - LEVEL) / 2)", "LEVEL)"),
            ("math.ceil((", "math.floor(("),
            ("exact=True", "exact=False"),
            ("confusion.sum(-1) + square.sum(-2)", "confusion.sum(-2)[..., :labels] + square.sum(-2)"),
            ("(share >= 0.5) == truth", "(share > 0.5) == truth"),
            ("np.maximum(share, 1 - share)", "np.minimum(share, 1 - share)"),
            ('method="holm"', 'method="bonferroni"'),
        ),
    ),
    "sepm_eval/parsing.py": (
        "parsing reading_answers",
        (
            ("len(stated) != 1 or", "len(stated) < 1 or"),
            ("(denied | {", "({"),
            ("unknown if len(unknown) < len(names)", "unknown if len(unknown) <= len(names)"),
            ("if len(found) < 2 or", "if len(found) < 1 or"),
            ("or len(set(labels)) != len(labels)", ""),
        ),
    ),
    "sepm_eval/scoring.py": (
        "scoring",
        (
            ("_MARKS.match(output.strip())", "_MARKS.search(output.strip())"),
            ("label == target)", "label != target)"),
            ('Score("unparsed", None', 'Score("failed", None'),
            ('average="macro"', 'average="weighted"'),
        ),
    ),
    "sepm_eval/prompts.py": (
        "methods types",
        (
            ("if not 2 <= count", "if not 1 <= count"),
            (
                "*([FOCUS_ON_EMOTION] if foe else []),\n            *([AMB",
                "*([FOCUS_ON_EMOTION] if not foe else []),\n            *([AMB",
            ),
            ('"Positive"), ("B", "Negative")', '"Negative"), ("B", "Positive")'),
        ),
    ),
    "sepm_eval/types.py": (
        "types methods",
        (
            ("(label in self.positive) ==", "(label in self.positive) !="),
            ("name.strip().casefold()", "name.strip()"),
            ("token not in dropped", "token in dropped"),
            ("or label in labels]", "or label not in labels]"),
            ("<= set(self.labels)", ">= set(self.labels)"),
        ),
    ),
    "sepm_eval/backbone/memory.py": (
        "device_faults",
        (("any(text in said", "all(text in said"), (", MemoryError)", ",)")),
    ),
    "sepm_eval/files.py": (
        "files",
        (("            part.unlink()\n        raise", "            pass\n        raise"), ("{{32}}", "{{31}}")),
    ),
    "sepm_eval/runs/journal.py": (
        "journal",
        (
            ("identity in self._noted or ", ""),
            ("            self._file.truncate(self._end)\n            self._check", "            self._check"),
            ("if ours.st_size != self._end", "if ours.st_size < self._end"),
            ("sort_keys=True", "sort_keys=False"),
            ("rest = rest[self._file.write(rest) :]", "self._file.write(rest)\n                break"),
            ("LOCK_EX | fcntl.LOCK_NB", "LOCK_SH | fcntl.LOCK_NB"),
            ('if found["key"] != key:', 'if found["key"] == "":'),
        ),
    ),
    "sepm_eval/datasets/lists.py": (
        "datasets item_sets",
        (
            ("-shares[label][1])", "shares[label][1])"),
            ("sorted(group, key=_rank)[:", "group[:"),
            ("if len(items) <= count", "if len(items) < count - 1"),
            ("key=lambda one: one[:2]", "key=lambda one: one[1::-1]"),
            ("sorted(groups.get(label, ()), key=_rank)", "groups.get(label, ())"),
            ("if label not in labels:", "if label in ():"),
        ),
    ),
    "sepm_eval/datasets/emotion6.py": (
        "benchmarks datasets",
        (
            ("return max(EMOTION6", "return min(EMOTION6"),
            ("numbers[2:]]", "numbers[1:-1]]"),
            ("enumerate(lines[1:]", "enumerate(lines[2:]"),
        ),
    ),
    "sepm_eval/methods/sepm.py": (
        "methods",
        (
            ("beta=0.2, unbiased=False", "beta=0.2, unbiased=True"),
            ("pair[i, 0] >= pair[i, 1]", "pair[i, 0] < pair[i, 1]"),
            ("self.cci and bool(sure[i])", "bool(sure[i])"),
            ("ambiguous=not sure[i]", "ambiguous=bool(sure[i])"),
            ("(~keep[i]).nonzero()", "keep[i].nonzero()"),
            ("lt=0.5)", "lt=1)"),
            ("reading if self.reuse else None", "reading"),
        ),
    ),
    "sepm_eval/methods/options.py": (
        "methods own_methods",
        (
            ("strict=True, extra", "strict=False, extra"),
            ("allow_inf_nan=False", "allow_inf_nan=True"),
            ("found + 0.0 if", "found if"),
            ("return str(fault.get", "continue\n            return str(fault.get"),
        ),
    ),
    "sepm_eval/methods/__init__.py": (
        "own_methods",
        (
            ("if len(homes) > 1:", "if len(homes) > 2:"),
            ("if not frozen or lacks:", "if not frozen and lacks:"),
            ("    if missing:", "    if missing and False:"),
        ),
    ),
    "sepm_eval/methods/drop.py": (
        "methods tokens_read",
        (
            ("(1 - self.beta) ** 0.5", "(1 - self.beta)"),
            ("default_rng([self.seed, digest])", "default_rng([self.seed])"),
        ),
    ),
    "sepm_eval/report/comparing.py": (
        "report_text reports_apart statistics report",
        (
            (" and one.identity.polarity == polarity]", "]"),
            ("if one.exam == run.exam)", "if one.task == run.task)"),
            ("if result.n >= result.needed", "if result.n < result.needed"),
            ("points = 100 * result.difference", "points = result.difference"),
            ("paired(base or others[0], run)", "paired(run, base or others[0])"),
        ),
    ),
    "sepm_eval/backbone/shards.py": (
        "checkpoints",
        (
            ("if 8 + length + end != size", "if 8 + length + end > size"),
            ("if tensor not in held[shard]", "if tensor in ()"),
        ),
    ),
}


def _copy(folder: Path) -> Path:
    """A copy of the checkout in `folder` in which the two mapped folders resolve inside the copy."""
    copy = folder / "copy"
    left_out = shutil.ignore_patterns(".venv*", ".git", "__pycache__", ".*_cache", "build")
    shutil.copytree(ROOT, copy, ignore=left_out, symlinks=True)
    for name in ("tasks", "model_wrappers"):
        (copy / "sepm_eval" / name).symlink_to(Path("..") / name)
    return copy


def _run(copy: Path, names: str) -> None:
    """Run the named test files in this process on `copy`, and exit with pytest's status (9: imported elsewhere)."""
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ["PYTHONPATH"] = str(copy)
    status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *(f"tests/test_{n}.py" for n in names.split())]))
    places = [getattr(sys.modules.get(name), "__file__", None) or "" for name in ("sepm_eval", "sepm_eval.tasks")]
    os._exit(9 if not status and any(p and not p.startswith(str(copy)) for p in places) else status)


def _status(copy: Path, names: str) -> int | None:
    """pytest's status for the named test files on `copy`; None if they had to be ended."""
    child = multiprocessing.get_context("fork").Process(target=_run, args=(copy, names))
    child.start()
    child.join(LIMIT)
    if child.exitcode is None:
        child.kill()
        child.join()
        return None
    return child.exitcode


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every mutant, or those of the files that are named; the number of survivors decides the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="mutate these files only, as they are named in MUTANTS")
    chosen = parser.parse_args(arguments).files or list(MUTANTS)
    os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    for library in (
        "pytest",
        "torch",
        "transformers",
        "scipy.stats",
        "sklearn.metrics",
        "statsmodels.stats.api",
        "datasets",
        "hypothesis",
        "lmms_eval",
        "matplotlib.pyplot",
    ):
        with contextlib.suppress(ImportError):
            __import__(library)  # once, before the tests of each mutant are forked off
    tried, survivors, broken = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy(Path(folder))
        for file in chosen:
            tests, pairs = MUTANTS[file]
            path = copy / file
            original = path.read_text(encoding="utf-8")
            if status := _status(copy, tests):
                print(f"UNUSABLE {file}: its tests fail without a mutant (status {status})", flush=True)
                broken += 1
                continue
            for old, new in pairs:
                if original.count(old) != 1:
                    print(f"UNUSABLE {file}: {old!r} occurs {original.count(old)} times", flush=True)
                    broken += 1
                    continue
                path.write_text(original.replace(old, new), encoding="utf-8")
                status, tried = _status(copy, tests), tried + 1
                path.write_text(original, encoding="utf-8")
                if status == 0 or status not in (None, 1, 2):
                    survivors += 1
                    print(f"SURVIVED {file} (status {status}): {old!r} -> {new!r}", flush=True)
    print(f"{tried} mutants tried, {tried - survivors} killed, {survivors} survived, {broken} unusable", flush=True)
    return 1 if survivors or broken else 0


if __name__ == "__main__":
    sys.exit(main())
