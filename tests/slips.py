"""Slips of one place each, which the tests must notice; ``mutants.py`` makes them."""

from __future__ import annotations

# File: the test files that must notice, and the pairs of a text that occurs once in the file and its replacement.
# File: the test files that must notice, and the pairs of a text that occurs once in the file and its replacement.
SLIPS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
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
            ("in sorted(self.identity.polarity.items())]", "in sorted({}.items())]"),
            ("(one.item, one.target, one.sha256)", '(one.item, one.target, "")'),
            ("not self.missing and not self.count", "not self.missing or not self.count"),
            ("self.answered_all and self.asked == self.available", "self.answered_all"),
            ("items {self.offset + 1} to", "items {self.offset} to"),
        ),
    ),
    "sepm_eval/runs/arranging.py": (
        "results identity reports_apart",
        (
            ("(run.exam, run.identity.digest), [])", "(run.task, run.identity.digest), [])"),
            ("(run.exam, run.identity.digest), [])", "(run.exam, run.identity.of_model.digest), [])"),
            ("key=lambda run: (run.answered_all, run.date,", "key=lambda run: (run.date, run.answered_all,"),
            ("*others, best = group", "best, *others = group"),
        ),
    ),
    "sepm_eval/runs/names.py": (
        "results identity reports_apart",
        (("count[entries[digest], name] > 1", "count[entries[digest], name] > 2"),),
    ),
    "sepm_eval/runs/pairs.py": (
        "results report_text identity reports_apart",
        (
            ("ours.keys() ^ theirs.keys()", "ours.keys() - theirs.keys()"),
            ('("sha256", "pictures"), ', ""),
            ('(("target", "labels"), ', "("),
            ('for what in ("task", "item_list")', 'for what in ("task",)'),
            ("all(outcome.score.status", "any(outcome.score.status"),
            ('outcome.score.status != "failed"', 'outcome.score.status == "answered"'),
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
        "evidence properties damaged_files",
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
            ("exact=True", "exact=False"),
            ("confusion.sum(-1) + square.sum(-2)", "confusion.sum(-2)[..., :labels] + square.sum(-2)"),
            ("(share >= 0.5) == np", "(share > 0.5) == np"),
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
            ('answers, "macro")', 'answers, "weighted")'),
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
        "journal no_journal",
        (
            ("identity in self._noted or ", ""),
            ("            self._file.truncate(self._end)\n            self._check", "            self._check"),
            ("if ours.st_size != self._end", "if ours.st_size < self._end"),
            ("sort_keys=True", "sort_keys=False"),
            ("rest = rest[self._file.write(rest) :]", "self._file.write(rest)\n                break"),
            ("LOCK_EX | fcntl.LOCK_NB", "LOCK_SH | fcntl.LOCK_NB"),
            ('if record["key"] != key:', 'if record["key"] == "":'),
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
        "methods own_methods method_options",
        (
            ("strict=True, extra", "strict=False, extra"),
            ("allow_inf_nan=False", "allow_inf_nan=True"),
            ("found + 0.0 if", "found if"),
            ("return str(fault.get", "continue\n            return str(fault.get"),
        ),
    ),
    "sepm_eval/methods/__init__.py": (
        "own_methods method_options",
        (
            ("if not frozen or lacks:", "if not frozen and lacks:"),
            ("    if missing:", "    if missing and False:"),
        ),
    ),
    "sepm_eval/methods/drop.py": (
        "methods tokens_read",
        (("(1 - self.beta) ** 0.5", "(1 - self.beta)"),),
    ),
    "sepm_eval/methods/random.py": (
        "methods",
        (("default_rng([seed, digest])", "default_rng([seed])"),),
    ),
    "sepm_eval/plugins.py": (
        "own_methods",
        (("if len(origins) > 1:", "if len(origins) > 2:"),),
    ),
    "sepm_eval/report/power.py": (
        "power",
        (
            ("tail, (both_sides, _) = (1 - LEVEL) / 2", "tail, (both_sides, _) = 1 - LEVEL"),
            (" + _cumulative(bound, differ, 1 - share)", ""),
            ("return next((n + 1 for n in further", "return next((n for n in further"),
        ),
    ),
    "sepm_eval/report/comparing.py": (
        "report_text reports_apart power report",
        (
            (" and one.identity.polarity == polarity]", "]"),
            ("if one.exam == run.exam)", "if one.task == run.task)"),
            ("if result.n >= result.needed", "if result.n < result.needed"),
            ("intervals = 100 * result.difference", "intervals = result.difference"),
            ("pairs = paired(base, run)", "pairs = paired(run, base)"),
        ),
    ),
    "sepm_eval/backbone/shards.py": (
        "checkpoints",
        (
            ("if 8 + length + end != size", "if 8 + length + end > size"),
            ("names is not None and tensor not in names", "tensor in ()"),
        ),
    ),
}
