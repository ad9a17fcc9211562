"""The command line in this process, which has imported PyTorch already."""

from click.testing import Result
from typer.testing import CliRunner

from quadpred.cli.app import app


def quadpred(*arguments: object, code: int = 0) -> Result:
    """Run a command and check its exit code."""
    result = CliRunner().invoke(app, list(map(str, arguments)), prog_name="quadpred")
    assert result.exit_code == code, result.output
    return result
