"""Run in a process of its own, because importing VLMEvalKit changes the process; prints what was found as JSON.

Arguments: a folder to work in, and those of a run to go on with. The environment names the data and the item lists.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(work: Path, former_run: list[str]) -> None:
    # long because: what is wanted of one expensive process, one thing after the other
    found: dict[str, Any] = {}

    from sepm_eval import cli, demo  # noqa: F401
    from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit

    found["imported_unasked"] = [name for name in sys.modules if name.split(".")[0] == "vlmeval"]
    verified = ssl._create_default_https_context
    vlmevalkit.register()
    vlmevalkit.register()
    found["tls_verified"] = ssl._create_default_https_context is verified

    from vlmeval.api.base import BaseAPI
    from vlmeval.config import supported_VLM
    from vlmeval.dataset import DATASET_CLASSES, build_dataset
    from vlmeval.smp import load
    from vlmeval.vlm.base import BaseModel

    from sepm_eval.hosts.vlmevalkit.dataset import EmotionMCQ

    found["registered"] = DATASET_CLASSES.count(EmotionMCQ)
    found["others"] = sorted({name for c in DATASET_CLASSES if c is not EmotionMCQ for name in c.supported_datasets()})
    found["models_of_others"] = [name for name in supported_VLM if name not in vlmevalkit.model_entries()]
    found["model_entries"] = sorted(vlmevalkit.model_entries())

    found["reuse_problems"] = vlmevalkit.run([*former_run, "--reuse"])

    status = json.loads((work / "out/sepm_demo/status.json").read_text())
    found["status"] = {name: entry["sepm_eval"] for name, entry in status["datasets"].items()}
    found["about"] = json.loads((work / "out/sepm_demo/sepm_demo_EmoSet_sepm_eval.json").read_text())

    # The table that prepare wrote, without the release; then with another item list asked for.
    abstract = build_dataset("Abstract")
    shown = abstract.build_prompt(0)
    found["table"] = {
        "index": list(abstract.data["index"]),
        "pictures": [Path(abstract.build_prompt(i)[0]["value"]).read_bytes().hex() for i in range(len(abstract))],
        "question": shown[1]["value"],
        "exam": abstract.questions().exam.digest,
        "stock_columns": list(load(os.environ["SEPM_EVAL_DATA"] + "/prepared/abstract/Abstract.tsv").columns),
    }
    os.environ["SEPM_EVAL_LISTS"] += ",abstract=unique"
    try:
        build_dataset("Abstract")
    except ValueError as error:
        found["other_list"] = str(error)

    prompts: list[list[str]] = []

    class Stock(BaseModel):
        """As VLMEvalKit's own models are: no notion of us. Its answers come round in this order."""

        answers = ("B", "I cannot determine", "Failed to obtain answer via API.", "The answer is: A", "")

        def generate_inner(self, message, dataset=None):
            prompts.append([part["value"] for part in message])
            return self.answers[(len(prompts) - 1) % 5]

    supported_VLM["stock"] = Stock
    os.environ["VERBOSE"] = "1"
    found["stock_problems"] = vlmevalkit.run(
        ["--data", "EmotionDemo", "ArtPhoto", "--model", "stock", "--work-dir", str(work / "out")]
    )
    found["verbose_unset"] = "VERBOSE" not in os.environ
    found["stock_prompt"] = prompts[0]
    found["stock_rows"] = load(str(work / "out/stock/stock_EmotionDemo_exact_matching_result.xlsx"))[
        ["index", "category", "status"]
    ].to_dict("records")
    found["stock_accuracy"] = load(str(work / "out/stock/stock_EmotionDemo_acc.csv")).to_dict("records")

    class Server(BaseAPI):
        """As VLMEvalKit's models behind an API are; it answers B to everything."""

        def generate_inner(self, inputs, **settings):
            return 0, "B", ""

    supported_VLM["server"] = functools.partial(Server, retry=1)
    found["server_problems"] = vlmevalkit.run(
        ["--data", "EmotionDemo", "--model", "server", "--api-mode", "--work-dir", str(work / "out")]
    )
    (about,) = (work / "out/server").glob("*/server_EmotionDemo_sepm_eval.json")
    found["server_about"] = json.loads(about.read_text())
    found["server_accuracy"] = load(str(work / "out/server/server_EmotionDemo_acc.csv")).to_dict("records")

    def configured(name: str, data: str = "EmotionDemo", **arguments: Any) -> list[str]:
        model = {"class": "SepmEvalModel", "backbone": "llava", "pretrained": "demo", "method": "sepm", **arguments}
        config = work / "config.json"
        config.write_text(
            json.dumps({"model": {name: model}, "data": {data: {"class": "EmotionMCQ", "dataset": data}}})
        )
        return ["--config", str(config), "--work-dir", str(work / "out"), "--mode", "infer"]

    found["config_problems"] = vlmevalkit.run(configured("mine", beta=0.4, journal=str(work / "journal.jsonl")))
    found["other_answers"] = other_answers(work, configured)
    found["nothing_left"] = nothing_left(work)
    found["too_many"] = vlmevalkit.run(configured("many", method="dan", k=9))
    found["dead"] = dead(configured)

    found["refused"] = []
    for arguments in (
        ["--data", "EmoSet", "--model", "sepm_llava_v1.5_70b"],
        ["--data", "EmoSet", "--model", "sepm_demo", "--api-mode"],
        ["--model", "sepm_demo"],
        ["--data", "EmoSett", "--model", "sepm_demo"],
        ["--data", "EmoSet", "--model", "sepm_demo", "--limit", "-1"],
    ):
        try:
            vlmevalkit.run(arguments)
        except vlmevalkit.BadArguments as error:
            found["refused"].append(str(error))
    try:
        EmotionMCQ("Emoset")
    except ValueError as error:
        found["refused"].append(str(error))

    from sepm_eval.hosts.vlmevalkit.model import before_loading

    mine = supported_VLM["zero_shot_demo"](journal=str(work / "other.jsonl"))
    before, _ = before_loading(vlmevalkit.model_entries()["zero_shot_demo"], find=True)
    found["identities"] = [before.as_json(), mine._runner.identity.as_json()]
    picture = str(next(demo.PICTURES.glob("seen/*.jpg")))
    found["other_question"] = mine.generate([picture, "What is this?"], dataset="MMStar")
    message = [{"type": "image", "value": "nowhere.jpg"}, {"type": "text", "value": prompts[0][1], "doc_id": 3}]
    found["missing_picture"] = mine.generate(message, dataset="EmotionDemo")
    asked: list[Any] = []
    mine._runner.answer = lambda questions, **_: asked.extend(questions) or ["A"]
    for prompt, name in ((EmotionMCQ("EmotionDemo").build_prompt(0), "EmotionDemo"), ([picture, "Who?"], "MMStar")):
        mine.generate(prompt, dataset=name)
    found["offered"] = [one.options and dict(zip(one.options.labels, one.options.names, strict=True)) for one in asked]
    found["new_problems"] = vlmevalkit.run(
        ["--data", "LAI-GAI-6", "VECBench-FI-2-way", "--model", "stock", "--work-dir", str(work / "new")]
    )
    found["new"] = {
        name: load(str(next((work / "new").rglob(f"stock_{name}_acc.csv")))).to_dict("records")[0]
        for name in ("LAI-GAI-6", "VECBench-FI-2-way")
    }
    (work / "found.json").write_text(json.dumps(found))


def other_answers(work: Path, configured: Callable[..., list[str]]) -> dict[str, str | None]:
    """What is said where answers of a former run would be taken over by another; None if they are."""
    from sepm_eval import demo
    from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit
    from sepm_eval.hosts.vlmevalkit.dataset import EmotionMCQ

    def said(arguments: list[str]) -> str | None:
        try:
            assert vlmevalkit.run(arguments) == []
        except vlmevalkit.BadArguments as error:
            return str(error)
        return None

    def stock(*more: str) -> list[str]:
        return ["--data", "EmotionDemo", "--model", "stock", "--work-dir", str(work / "out"), *more]

    weights = work / "weights"
    shutil.copytree(demo.MODEL, weights)
    of_weights = configured("weights", pretrained=str(weights), method="zero_shot")
    found = {"first": said(of_weights)}
    found["same"] = said(of_weights)
    found["dtype"] = said(configured("weights", pretrained=str(weights), method="zero_shot", dtype="float64"))
    of_weights = configured("weights", pretrained=str(weights), method="zero_shot")
    with (weights / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    found["weights"] = said(of_weights)
    found["method"] = said(configured("mine", beta=0.5))
    os.environ["SEPM_EVAL_LISTS"], former = "emotion_demo=test", os.environ["SEPM_EVAL_LISTS"]
    found["list"] = said(configured("mine", beta=0.4))
    found["stock_list"] = said(stock())
    found["stock_eval"] = said(stock("--mode", "eval"))
    try:
        EmotionMCQ("EmotionDemo").evaluate(str(work / "out/stock/stock_EmotionDemo.xlsx"))
    except ValueError as error:
        found["evaluate"] = str(error)
    os.environ["SEPM_EVAL_LISTS"] = former
    about = work / "out/stock/stock_EmotionDemo_sepm_eval.json"
    about.unlink()
    found["unknown"] = said(stock("--reuse"))
    EmotionMCQ("EmotionDemo").evaluate(str(work / "out/stock/stock_EmotionDemo.xlsx"))  # as by another launcher
    assert not about.exists()
    return found


def dead(configured: Callable[..., list[str]]) -> list[str]:
    """What is said of an adapter that drops nothing although it is to."""
    from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit
    from sepm_eval.methods.fastv import AfterLayer, FastV

    cut, drops = FastV.cut, FastV.drops
    FastV.cut, FastV.drops = property(lambda self: AfterLayer(2, 576, None)), True
    try:
        return vlmevalkit.run(configured("dead", method="fastv"))
    finally:
        FastV.cut, FastV.drops = cut, drops


def nothing_left(work: Path) -> list[str]:
    """What a run says whose data, or checkpoint, are not there; its VLMEvalKit must not even begin."""
    import vlmeval.run as host

    from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit

    main, host.main = host.main, None
    (work / "absent.json").write_text(
        json.dumps(
            {
                "model": {"absent": {"class": "SepmEvalModel", "pretrained": str(work / "absent")}},
                "data": {"EmotionDemo": {"class": "EmotionMCQ", "dataset": "EmotionDemo"}},
            }
        )
    )
    try:
        return [
            *vlmevalkit.run(["--data", "ArtPhoto", "--model", "sepm_demo", "--work-dir", str(work / "out")]),
            *vlmevalkit.run(["--config", str(work / "absent.json"), "--work-dir", str(work / "out")]),
        ]
    finally:
        host.main = main


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
