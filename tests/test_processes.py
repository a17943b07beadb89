"""Several processes: accelerate and torchrun, one machine or two, and one process that fails."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.results import read_runs

ITEMS = 9
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "ACCELERATE_USE_CPU": "true",  # `accelerate launch --cpu` starts one process only; --multi_gpu starts all
}
PLAN = """
tasks: [emotion_demo]
methods: [zero_shot, sepm]
models: [{model: sepm_llava, args: {pretrained: demo, device: cpu}, batch_size: 2}]
limit: 9
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run(command, folder):
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder, timeout=300)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - begin


def test_lmms_eval_under_accelerate_equals_one_process(tmp_path):
    answers = {}
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", free_port(), "-m"]
    for name, launcher in (("one", [sys.executable, "-m"]), ("two", launch)):
        arguments = f"pretrained=demo,device=cpu,method=sepm,journal={name}/journal.jsonl"
        command = [
            *launcher,
            "lmms_eval",
            "--model",
            "sepm_llava",
            "--model_args",
            arguments,
            "--tasks",
            "emotion_demo",
        ]
        command += ["--limit", str(ITEMS), "--batch_size", "2", "--output_path", name, "--log_samples"]
        code, output, _ = run(command, tmp_path)
        (found,) = read_runs([tmp_path / name])
        assert [outcome.doc_id for outcome in found.outcomes] == list(range(ITEMS)), output
        assert all(outcome.record is not None for outcome in found.outcomes)
        results = json.loads(found.source.read_text())["results"]["emotion_demo"]
        numbers = {key: value for key, value in results.items() if isinstance(value, float)}
        answers[name] = ([(o.item, o.output, o.score) for o in found.outcomes], numbers)
        assert code == 0
    (given, numbers), (alone, expected) = answers["two"], answers["one"]
    assert given == alone
    assert numbers == pytest.approx(expected, rel=1e-12)  # lmms-eval adds up by process, so the last bit may differ
    shards = sorted((tmp_path / "two").glob("journal.rank*.jsonl"))
    assert [len(read_journal(path)) for path in shards] == [5, 4]


def test_two_machines_equal_one(tmp_path):
    """Two torchruns that find each other, as on two nodes with a shared folder."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    code, output, _ = run([sys.executable, "-m", "sepm_eval", "run", "plan.yaml", "--out", "one"], tmp_path)
    assert code == 0, output
    port = free_port()
    nodes = []
    for rank in range(2):
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(rank)]
        command += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
        command += ["-m", "sepm_eval", "run", "plan.yaml", "--out", "two"]
        stdout = (tmp_path / f"node{rank}.log").open("w")
        nodes.append(subprocess.Popen(command, stdout=stdout, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=tmp_path))
    codes = [node.wait(300) for node in nodes]
    assert codes == [0, 0], [(tmp_path / f"node{rank}.log").read_text() for rank in range(2)]
    together, alone = (
        {r.variant: [(o.item, o.output) for o in r.outcomes] for r in read_runs([tmp_path / name])}
        for name in ("two", "one")
    )
    assert together == alone


FAILING = """
import os
from sepm_eval.cli import main
from sepm_eval.runs.runner import Runner

if os.environ["RANK"] == "1":
    def fail(self, batch):
        raise RuntimeError("the second process has had enough")
    Runner._answers = fail
main()
"""


def test_one_process_that_fails_ends_all(tmp_path):
    """With its reason on the screen and a status that is not 0, long before anybody's patience ends."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "failing.py").write_text(FAILING)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
    code, output, seconds = run([*command, "failing.py", "run", "plan.yaml", "--out", "out"], tmp_path)
    assert code != 0
    assert "the second process has had enough" in output
    assert seconds < 120
    assert "complete" not in output
