"""`quadpred convert-paper-model`: models of the paper's repository as model files of quadpred."""

from pathlib import Path
from typing import Annotated

import typer

from quadpred.cli.console import print_line, print_message

__all__ = ["convert_paper_model"]


def convert_paper_model(
    checkout: Annotated[
        Path,
        typer.Argument(metavar="CHECKOUT", help="The paper's repository, with its weights."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write the models.")
    ],
    speech: Annotated[
        str, typer.Option("-s", "--speech", help="Language of the speech of the models.")
    ] = "english",
    music: Annotated[
        str, typer.Option("-m", "--music", help="Language of the music of the models.")
    ] = "english",
) -> None:
    """Convert the Keras models of the paper's repository to ONNX, and check them on its example."""
    from quadpred.registry import language
    from quadpred.train.paper_model import WARNING, convert_paper_models

    languages = {"speech": language(speech), "music": language(music)}
    for model in convert_paper_models(checkout, output, **languages):
        size = f"{model.parameters / 1e6:.2f} million weights"
        if model.difference is None:
            print_line(f"{model.path}: {size}; the example is of another model")
            continue
        print_line(f"{model.path}: {size}; largest difference {model.difference:.4f}")
        if model.difference > WARNING:
            print_message(f"warning: {model.path}: differs from the example by more than {WARNING}")
