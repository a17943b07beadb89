"""``sepm-eval view``: shows runs picture by picture in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sepm_eval.cli._app import app, console, stop


@app.command()
def view(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders that `sepm-eval run` or `lmms-eval --log_samples` wrote or writes."),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="By default one that is free.")] = 0,
) -> None:
    """Look at runs picture by picture in a browser of this machine, also while they are going on. Ctrl-C ends it."""
    from sepm_eval.view.server import HOST, PortTaken, bound, serve

    for folder in folders:
        if not folder.is_dir():
            stop(f"{folder} is no folder")
    try:
        listening = bound(port)
    except PortTaken as error:
        stop(str(error))
    console.print(f"http://{HOST}:{listening.getsockname()[1]}/", soft_wrap=True)
    console.print("Only this machine can open it. Ctrl-C ends it.")
    serve(folders, listening)
