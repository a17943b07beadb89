"""Run in a process of its own, because importing VLMEvalKit changes the process; prints what was found as JSON.

Arguments: a folder to work in, and those of a run to go on with. The environment names the data and the item lists.
"""

from __future__ import annotations

import functools
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any


def main(work: Path, former_run: list[str]) -> None:
    found: dict[str, Any] = {}

    from sepm_eval import cli, demo  # noqa: F401
    from sepm_eval.hosts import vlmevalkit

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

    from sepm_eval.hosts.vlmevalkit_dataset import EmotionMCQ

    found["registered"] = DATASET_CLASSES.count(EmotionMCQ)
    found["others"] = sorted({name for c in DATASET_CLASSES if c is not EmotionMCQ for name in c.supported_datasets()})
    found["models_of_others"] = [name for name in supported_VLM if name not in vlmevalkit.model_entries()]
    found["model_entries"] = sorted(vlmevalkit.model_entries())

    found["reuse_problems"] = vlmevalkit.run([*former_run, "--reuse"])

    # The table that prepare wrote, without the release; then with another item list asked for.
    abstract = build_dataset("Abstract")
    shown = abstract.build_prompt(0)
    found["table"] = {
        "index": list(abstract.data["index"]),
        "pictures": [Path(abstract.build_prompt(i)[0]["value"]).read_bytes().hex() for i in range(len(abstract))],
        "question": shown[1]["value"],
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
    found["server_accuracy"] = load(str(work / "out/server/server_EmotionDemo_acc.csv")).to_dict("records")

    config = work / "config.json"
    config.write_text(
        json.dumps(
            {
                "model": {
                    "mine": {
                        "class": "SepmEvalModel",
                        "backbone": "llava",
                        "pretrained": "demo",
                        "method": "sepm",
                        "beta": 0.4,
                        "journal": str(work / "journal.jsonl"),
                    }
                },
                "data": {"EmotionDemo": {"class": "EmotionMCQ", "dataset": "EmotionDemo"}},
            }
        )
    )
    found["config_problems"] = vlmevalkit.run(
        ["--config", str(config), "--work-dir", str(work / "out"), "--mode", "infer"]
    )

    found["refused"] = []
    for arguments in (
        ["--data", "EmoSet", "--model", "sepm_llava_v1.5_70b"],
        ["--data", "EmoSet", "--model", "sepm_demo", "--api-mode"],
        ["--model", "sepm_demo"],
    ):
        try:
            vlmevalkit.run(arguments)
        except vlmevalkit.BadArguments as error:
            found["refused"].append(str(error))
    try:
        EmotionMCQ("Emoset")
    except ValueError as error:
        found["refused"].append(str(error))

    mine = supported_VLM["zero_shot_demo"](journal=str(work / "other.jsonl"))
    picture = str(next(demo.PICTURES.glob("seen/*.jpg")))
    found["other_question"] = mine.generate([picture, "What is this?"], dataset="MMStar")
    message = [{"type": "image", "value": "nowhere.jpg"}, {"type": "text", "value": prompts[0][1], "doc_id": 3}]
    found["missing_picture"] = mine.generate(message, dataset="EmotionDemo")
    (work / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
