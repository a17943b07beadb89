"""A plan's folder holds what its plan names, made today: nothing of other models, weights, items or settings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ORACLES
from miniature import emoset_release, picture
from safetensors.torch import load_file, save_file

from sepm_eval import demo
from sepm_eval.datasets import LISTS_VARIABLE
from sepm_eval.hosts.lmms_eval.folder import begin, parts
from sepm_eval.hosts.lmms_eval.run import run_plan
from sepm_eval.hosts.lmms_eval.variants import stock_identity
from sepm_eval.model_wrappers import _memory
from sepm_eval.runs import disk_space
from sepm_eval.runs.identity import answering
from sepm_eval.runs.journal import read_journal
from sepm_eval.runs.plan import Plan
from sepm_eval.runs.results import read_runs


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A miniature EmoSet and a list of four of its items."""
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    monkeypatch.setenv(LISTS_VARIABLE, f"emoset={tmp_path / 'list.csv'}")
    write_list(tmp_path, {})
    yield emoset_release(tmp_path)
    answering.start(None)


def write_list(folder, labels):
    items = [f"{label}_00000" for label in ("amusement", "anger", "awe", "fear")]
    rows = [f"{item},{labels.get(item, item.partition('_')[0])}" for item in items]
    (folder / "list.csv").write_text("id,label\n" + "\n".join(rows) + "\n")


def plan(*models, methods=("zero_shot",), **more) -> Plan:
    entries = [{"model": "sepm_llava", "args": {"device": "cpu", **args}, "batch_size": 4} for args in models]
    return Plan.model_validate({"tasks": ["emoset"], "methods": methods, "models": entries, **more})


def done(outcome):
    assert not outcome.missing, outcome.missing
    return {(run.model, run.variant): run for run in outcome.done}


def copy_of_demo(place):
    shutil.copytree(demo.MODEL, place)
    return str(place)


def change_weights(folder):
    path = f"{folder}/model.safetensors"
    weights = {key: one * 1.01 if "layers.0.mlp" in key else one.clone() for key, one in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def test_models_that_share_entry_and_last_part_are_all_run(tmp_path):
    """Only the first was run, and its figures stood for all."""
    folders = [copy_of_demo(tmp_path / name / "final") for name in ("a", "b")]
    change_weights(folders[1])
    models = [{"pretrained": folder} for folder in folders]
    models += [{"pretrained": "demo"}, {"pretrained": "demo", "image_aspect_ratio": "crop"}]
    models += [{"pretrained": "demo", "dtype": "bfloat16"}, {"pretrained": "demo", "polarity": "awe:negative"}]
    found = done(run_plan(plan(*models), tmp_path / "out"))
    assert len(found) == 6
    assert len({run.identity.digest for run in found.values()}) == 6
    assert len({run.source for run in found.values()}) == 6
    assert len(read_runs([tmp_path / "out"])) == 6


@pytest.mark.parametrize(
    ("models", "methods", "message"),
    [
        ([{"pretrained": "demo"}, {"pretrained": "demo", "device": "cuda"}], ["zero_shot"], "are named twice"),
        ([{"pretrained": "demo"}], ["sepm", "sepm,beta=0.2"], "a method is named twice"),
        ([{"pretrained": "demo"}], ["sepm,alpha=0.10", "sepm,alpha=0.1"], "a method is named twice"),
    ],
)
def test_the_same_thing_twice_is_no_plan(models, methods, message):
    with pytest.raises(ValueError, match=message):
        plan(*models, methods=methods)


def test_options_that_are_none_are_run_and_read(tmp_path):
    found = done(run_plan(plan({"pretrained": "demo"}, methods=["zero_shot,preset=None", "sepm,beta=None"]), tmp_path))
    assert {variant for _, variant in found} == {"zero_shot", "sepm"}


def test_a_comma_in_a_path_is_no_boundary(tmp_path):
    folder = copy_of_demo(tmp_path / "a,b=c" / "final, 2")
    ((_, run),) = done(run_plan(plan({"pretrained": folder}), tmp_path / "o,u=t")).items()
    assert run.identity.checkpoint == folder
    assert all(outcome.record is not None for outcome in read_runs([tmp_path / "o,u=t"])[0].outcomes)


def test_weights_that_changed_are_not_gone_on_with(tmp_path):
    """Old and new weights stood in one table, with p-values."""
    folder = copy_of_demo(tmp_path / "model")
    run_plan(plan({"pretrained": folder}), tmp_path / "out")
    change_weights(folder)
    with pytest.raises(ValueError, match=r"was begun with another environment \(.*weights files-.*, now files-"):
        run_plan(plan({"pretrained": folder}), tmp_path / "out")


def test_what_differs_of_a_plan_is_named(tmp_path):
    run_plan(plan({"pretrained": "demo"}, limit=2), tmp_path / "out")
    with pytest.raises(ValueError, match=r"another plan \(limit: 2, now none\): name another folder .*delete this one"):
        run_plan(plan({"pretrained": "demo"}), tmp_path / "out")
    with pytest.raises(ValueError, match=r"\(model sepm_llava \{pretrained: demo\} is no longer in it; ") as told:
        run_plan(plan({"pretrained": "demo", "dtype": "bfloat16"}, limit=2), tmp_path / "out")
    assert "model sepm_llava {dtype: bfloat16, pretrained: demo} is new in it)" in str(told.value)
    with pytest.raises(ValueError, match=r"methods of sepm_llava \{pretrained: demo\}: \[zero_shot\], now \[zero"):
        run_plan(plan({"pretrained": "demo"}, methods=["zero_shot", "sepm,beta=0.1"], limit=2), tmp_path / "out")


def test_a_folder_without_answers_is_begun_anew(tmp_path):
    """A mistake in a plan that stopped it before the first answer made its folder useless."""
    out = tmp_path / "out"
    wrong = plan({"pretrained": str(tmp_path / "nowhere")}, tasks=["emotion6", "emoset"])
    assert not run_plan(wrong, out).done
    done(run_plan(plan({"pretrained": "demo"}), out))
    assert "nowhere" not in (out / "plan.yaml").read_text() + (out / "environment.json").read_text()
    with pytest.raises(ValueError, match="another plan"):
        run_plan(wrong, out)


@pytest.mark.parametrize("change", ["label", "picture", "list"])
def test_parts_that_were_asked_other_items_are_done_again(tmp_path, data, change, capsys):
    """After a label, a picture or the list changed, old answers stood beside new ones."""
    wanted = plan({"pretrained": "demo"}, methods=["zero_shot", "sepm"])
    out = tmp_path / "out"
    before = done(run_plan(wanted, out))
    if change == "label":
        write_list(tmp_path, {"anger_00000": "fear"})
    elif change == "picture":
        picture(data / "image" / "anger" / "anger_00000.jpg", 77)
    else:
        (tmp_path / "list.csv").write_text("id\nfear_00000\nawe_00000\nanger_00001\n")
    after = done(run_plan(wanted, out))
    assert "set aside (it was asked other items, labels, pictures or questions" in capsys.readouterr().err or (
        change == "list"
    )
    assert {run.exam for run in after.values()}.isdisjoint({run.exam for run in before.values()})
    assert len({run.exam for run in after.values()}) == 1
    assert {run.exam for run in read_runs([out])} == {run.exam for run in after.values()}
    (journal,) = (out / "journals").glob("*zero_shot.jsonl")
    asked_anew = {"label": 0, "picture": 1, "list": 1}[change]
    assert len({record["key"] for record in read_journal(journal)}) == 4 + asked_anew


def test_a_part_of_another_model_is_not_taken_over(tmp_path):
    """Results that were copied into a part's folder."""
    wanted = plan({"pretrained": "demo"}, {"pretrained": "demo", "image_aspect_ratio": "crop"})
    pad, crop = (run for _, run in sorted(done(run_plan(wanted, tmp_path / "out")).items(), reverse=True))
    assert (pad.identity.model["image_aspect_ratio"], crop.identity.model["image_aspect_ratio"]) == ("pad", "crop")
    shutil.rmtree(crop.source.parent)
    shutil.copytree(pad.source.parent, crop.source.parent)
    again = done(run_plan(wanted, tmp_path / "out"))
    assert {run.identity.digest for run in again.values()} == {pad.identity.digest, crop.identity.digest}


@pytest.mark.parametrize("pattern", ["*_results.json", "*_samples_*.jsonl"])
def test_damaged_results_are_set_aside_and_made_again(tmp_path, pattern, capsys):
    ((_, before),) = done(run_plan(plan({"pretrained": "demo"}), tmp_path / "out")).items()
    (path,) = (tmp_path / "out").rglob(pattern)
    path.write_bytes(path.read_bytes()[:-20])
    ((_, after),) = done(run_plan(plan({"pretrained": "demo"}), tmp_path / "out")).items()
    assert "results from before are set aside (" in capsys.readouterr().err
    assert [one.output for one in after.outcomes] == [one.output for one in before.outcomes]
    assert len(list((tmp_path / "out").rglob("*.superseded"))) == 2


def test_what_cannot_be_run_is_known_before_a_model_is_loaded(tmp_path, monkeypatch, capsys):
    from sepm_eval.hosts.lmms_eval import run as lmms_eval_run

    loaded = []
    real = lmms_eval_run.load
    monkeypatch.setattr(lmms_eval_run, "load", lambda model, *more: (loaded.append(model), real(model, *more))[1])
    wanted = plan({"pretrained": str(tmp_path / "nowhere")}, {"pretrained": "demo"}, tasks=["emotion6", "emoset"])
    outcome = run_plan(wanted, tmp_path / "out")
    told = capsys.readouterr().err
    assert told.index("emotion6: no folder") < told.index("no checkpoint")
    assert [model.args["pretrained"] for model in loaded] == ["demo"]
    assert len(outcome.done) == 1
    assert len(outcome.missing) == 3


def test_no_secret_of_a_plan_is_written_down_or_decides(tmp_path):
    args = {"pretrained": "a/b", "api_key": "hush-1", "hf_token": "hush-2", "max_new_tokens": 9}
    content = {"tasks": ["emoset"], "models": [{"model": "openai", "args": args}]}
    wanted = Plan.model_validate(content)
    (tmp_path / "out").mkdir()
    begin(wanted, tmp_path / "out", {}, {})
    told = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "hush" not in told
    assert "max_new_tokens: 9" in told
    (part,) = parts(wanted, wanted.models[0], ["emoset"], tmp_path)["emoset"]
    assert "hush" not in f"{part} {part.arguments} {stock_identity(wanted.models[0], '').as_json()}"
    args["api_key"] = "hush-3"
    begin(Plan.model_validate(content), tmp_path / "out", {}, {})  # the same plan, with another key


def test_a_model_that_does_not_fit_is_not_loaded(tmp_path, monkeypatch, capsys):
    """The kernel would end the process in the middle of loading, without a word."""
    monkeypatch.setattr(_memory, "free_memory", lambda device: 1_000_000)
    outcome = run_plan(plan({"pretrained": "demo", "dtype": "float32"}), tmp_path / "out")
    assert "its weights need 0.0 GiB of memory on cpu, where 0.0 GiB are free" in capsys.readouterr().err
    ((part, why),) = outcome.missing
    assert "dtype=bfloat16 needs 0.0 GiB, load_in_4bit=True needs a quarter" in why
    assert part.task == "emoset"


def test_a_model_that_cannot_run_here_is_not_loaded(tmp_path, capsys):
    outcome = run_plan(plan({"pretrained": "demo", "attn_implementation": "flash_attention_2"}), tmp_path / "out")
    ((_, why),) = outcome.missing
    assert "attn_implementation=flash_attention_2 needs a CUDA GPU" in why


def test_results_that_do_not_fit_are_not_begun(tmp_path, monkeypatch):
    full = SimpleNamespace(free=10_000)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda place: full)
    with pytest.raises(ValueError, match=r"4 answers need about .* of disk, and 0\.0 GiB are free"):
        run_plan(plan({"pretrained": "demo"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_method_that_cannot_be_used_is_refused_alone(tmp_path, capsys):
    """It stopped every method of the model, and its reason stood on all their rows."""
    place = str(ORACLES / "hf_families" / "qwen3_vl")
    content = {
        "tasks": ["emoset"],
        "methods": ["zero_shot", "fastervlm", f"cdpruner,clip={tmp_path}/absent", "uniform"],
        "models": [{"model": "sepm_hf", "args": {"pretrained": place, "device": "cpu"}, "batch_size": 4}],
    }
    result = run_plan(Plan.model_validate(content), tmp_path / "out")
    assert {run.method for run in result.done} == {"zero_shot", "uniform"}
    assert [(part.method.partition(",")[0], why.partition(" (")[0]) for part, why in result.missing] == [
        ("fastervlm", "fastervlm needs a model that supports class_token"),
        ("cdpruner", f"cdpruner,clip={tmp_path}/absent needs a model that supports tower"),
    ]
    assert not result.continues
    told = capsys.readouterr().err
    assert told.count("fastervlm needs") == 1
    assert "zero_shot" not in told


def test_a_method_whose_weights_are_absent_is_refused_alone(tmp_path):
    gone = f"cdpruner,clip={tmp_path}/absent"
    wanted = plan({"pretrained": "demo"}, methods=[gone, "zero_shot"])
    result = run_plan(wanted, tmp_path / "out")
    assert [run.method for run in result.done] == ["zero_shot"]
    ((part, why),) = result.missing
    assert part.method == gone
    assert why.startswith(f"{gone}: clip={tmp_path}/absent: no checkpoint")
    only = run_plan(plan({"pretrained": "demo"}, methods=[gone]), tmp_path / "alone")
    assert (only.done, len(only.missing)) == ([], 1)


def test_a_second_run_into_the_folder_stops_before_it_loads_a_model(tmp_path, monkeypatch):
    """It loaded the model, and ended with an empty table and the same sentence for every part."""
    from sepm_eval.hosts.lmms_eval import run as lmms_eval_run

    out = tmp_path / "out"
    code = f"import pathlib, sepm_eval.files as f\nwith f.locked(pathlib.Path({str(out / 'run')!r})): "
    out.mkdir()
    command = [sys.executable, "-c", code + "print('held', flush=True); input()"]
    # A process of its own, because lmms-eval lets one process take a lock twice.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        monkeypatch.setattr(lmms_eval_run, "load", lambda *_: pytest.fail("loaded"))
        said = rf"^another run is writing into {out}: wait until it ends, or name another folder with --out$"
        with pytest.raises(ValueError, match=said):
            run_plan(plan({"pretrained": "demo"}), out)
        assert [path.name for path in out.iterdir()] == ["run.lock"]
        first.communicate("end\n")
    monkeypatch.undo()
    monkeypatch.setenv("SEPM_EVAL_DATA", str(tmp_path))
    done(run_plan(plan({"pretrained": "demo"}, limit=1), out))
