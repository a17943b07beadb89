"""``sepm-eval vlmeval``: runs VLMEvalKit's own command with our data sets and models added."""

from __future__ import annotations

import typer

from sepm_eval.cli._app import app, stop


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def vlmeval(context: typer.Context) -> None:
    """Run VLMEvalKit with our data sets and models added.

    All arguments are VLMEvalKit's own, such as --data EmoSet Emotion6 --model sepm_llava_v1.5_7b --reuse. Ends with
    status 1 if a model has no result on a data set, if questions failed, or if a method that is to drop visual tokens
    never did. Names and traps: docs/vlmevalkit.md.
    """
    from sepm_eval.hosts.vlmevalkit import launcher as vlmevalkit

    try:
        problems = vlmevalkit.run(context.args)
    except ModuleNotFoundError as error:
        if error.name != "vlmeval":
            raise
        stop("VLMEvalKit is not installed: pip install 'sepm-eval[vlmeval]', or a checkout of it")
    except vlmevalkit.BadArguments as error:
        stop(str(error))
    if problems:
        stop("\n".join(problems))
