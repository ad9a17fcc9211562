"""Build the package and use it in empty environments, also with the lowest versions it allows.

    pip install uv
    python tools/check_package.py --python 3.11 --python 3.12 --python 3.13

Builds a wheel and a source distribution, and installs each alone in a new environment of every
Python. There it predicts an example with the command line, from a folder without the source. Prints
the size of the core installation. Then installs the lowest versions that pyproject.toml allows of
every direct dependency, and runs the tests of prediction and of libraries.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "q4_lullaby.ogg"
EXTRAS = ("parquet", "tags", "web")
TESTS = ("tests/batch/test_ledger.py", "tests/batch/test_run.py", "tests/batch/test_workers.py",
         "tests/unit/test_formats.py", "tests/unit/test_predictor.py")  # fmt: skip
TESTED_WITH = ("pytest", "onnx", "soundfile")
LEFT_OUT = ("pip", "setuptools")  # not installed for us
MEGABYTE = 1_000_000


def uv(*arguments: str, folder: Path | None = None) -> None:
    """Run uv quietly."""
    subprocess.run(["uv", *arguments, "--quiet"], check=True, cwd=folder)


def environment(folder: Path, python: str, *packages: str) -> Path:
    """Make an environment with packages; return its programs' folder."""
    uv("venv", "--python", python, str(folder))
    uv("pip", "install", "--python", str(folder / "bin/python"), *packages)
    return folder / "bin"


def predict(programs: Path, folder: Path) -> str:
    """Predict the example with an installation; return what it says of it."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(programs / "quadpred"), "predict", str(EXAMPLE), "-o", "out", "--json", "-"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=folder, env=variables)
    names = {path.suffix for path in (folder / "out").iterdir()}
    assert names == {".json", ".npy", ".png"}, names
    prediction = json.loads(done.stdout)
    return f"{prediction['winner']}, {len(prediction['times'])} seconds"


def installed_size(programs: Path) -> int:
    """Return the bytes of all installed packages, with their bytecode."""
    (packages,) = (programs.parent / "lib").glob("python3.*/site-packages")
    roots = [path for path in packages.iterdir() if not path.name.startswith(LEFT_OUT)]
    files = [path for root in roots for path in [root, *root.rglob("*")] if path.is_file()]
    return sum(path.stat().st_size for path in files)


def check_lowest(folder: Path, python: str, wheel: Path) -> None:
    """Run tests with the lowest versions of the direct dependencies."""
    pins = folder / "lowest.txt"
    extras = [part for extra in EXTRAS for part in ("--extra", extra)]
    source = [str(ROOT / "pyproject.toml"), *extras, "--python-version", python]
    uv("pip", "compile", *source, "--resolution=lowest-direct", "-o", str(pins))
    names = [*TESTED_WITH, "-c", str(pins), "-r", str(pins), str(wheel)]
    programs = environment(folder / "lowest", python, *names)
    print(f"lowest versions on Python {python}: {predict(programs, folder)}")
    # The tests' own settings name packages that are not here.
    options = ["-q", "-c", os.devnull, "-o", f"pythonpath={ROOT / 'tests'}", f"--rootdir={ROOT}"]
    options += ["-p", "no:cacheprovider"]
    tests = [str(ROOT / test) for test in TESTS]
    subprocess.run([str(programs / "pytest"), *options, *tests], check=True, cwd=folder)


def main() -> None:
    """Build, install, predict and test."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", action="append", help="a version; repeatable")
    options = parser.parse_args()
    pythons = options.python or ["3.11", "3.12", "3.13"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uv("build", "--out-dir", str(folder / "dist"), str(ROOT))
        (wheel,), (source,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
        for package in wheel, source:
            print(f"{package.name}: {package.stat().st_size / MEGABYTE:.1f} MB")
        for python in pythons:
            for package in wheel, source:
                work = folder / python / package.suffix[1:]
                work.mkdir(parents=True)
                programs = environment(work / "environment", python, str(package))
                size = installed_size(programs) / MEGABYTE
                verdict = predict(programs, work)
                print(f"Python {python}, {package.name}: {verdict}; {size:.0f} MB installed")
        check_lowest(folder, pythons[0], wheel)


if __name__ == "__main__":
    main()
