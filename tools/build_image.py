"""Build the Dockerfile without Docker, and run the README's own commands with the image.

    sudo python tools/build_image.py --python /usr/local

Needs Debian, root, and the packages `buildah` and `mmdebstrap`. The base image is a stand-in for
the official one: a minimal Debian with a CPython 3.12, whose prefix `--python` names, under
/usr/local, and the shared libraries that it needs. Everything is kept in one folder (`--folder`),
which can be removed afterwards.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
BASE = "docker.io/library/python:3.12-slim"
USER = 1000
PORT = 8000
PATIENCE = 120.0  # seconds until the server must answer
MEGABYTE = 1_000_000
LEFT_OUT = ("__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "*.a", "_tkinter*")


def buildah(folder: Path) -> list[str]:
    """Return the beginning of every command, with storage in the folder."""
    return [
        "buildah",
        "--storage-driver=vfs",
        f"--root={folder}/storage",
        f"--runroot={folder}/run",
    ]


def output(*command: str) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


# The base image


def libraries(prefix: Path) -> set[str]:
    """Return the Debian packages of the shared libraries that a CPython needs, without Tk."""
    binaries = [*prefix.glob("bin/python3.*[0-9]"), *prefix.glob("lib/python3.*/lib-dynload/*.so")]
    binaries = [path for path in binaries if "_tkinter" not in path.name]
    linked = subprocess.run(["ldd", *map(str, binaries)], stdout=subprocess.PIPE, text=True).stdout
    packages: set[str] = set()
    for name in set(re.findall(r"=> (/\S+)", linked)):
        if not name.startswith(str(prefix)):
            candidates = {name, os.path.realpath(name), f"/usr{name}"}
            owners = subprocess.run(
                ["dpkg", "-S", *candidates],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ).stdout
            packages.update(line.partition(":")[0] for line in owners.splitlines())
    return packages


def make_base(folder: Path, prefix: Path) -> None:
    """Make the stand-in for the base image."""
    target = folder / "base"
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    packages = sorted({"ca-certificates", "netbase", "tzdata", *libraries(prefix)})
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"),
            *(release["VERSION_CODENAME"], str(target), "http://deb.debian.org/debian"),
        ],
        check=True,
    )
    for part in "bin", "include", "lib":
        shutil.copytree(
            prefix / part,
            target / "usr/local" / part,
            symlinks=True,
            ignore=shutil.ignore_patterns(*LEFT_OUT),
            dirs_exist_ok=True,
        )
    (installed,) = (target / "usr/local/lib").glob("python3.*/site-packages")
    for path in installed.iterdir():
        if not path.name.startswith("pip"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for script in (target / "usr/local/bin").iterdir():
        if not script.is_symlink() and script.read_bytes().startswith(f"#!{prefix}".encode()):
            script.write_text(script.read_text().replace(str(prefix), "/usr/local", 1))
    for settings in "etc/ssl/certs/ca-certificates.crt", "etc/pip.conf":  # of a network of its own
        if (Path("/") / settings).is_file():
            shutil.copy(Path("/") / settings, target / settings)
    subprocess.run(["chroot", str(target), "ldconfig"], check=True)
    container = output(*buildah(folder), "from", "scratch")
    subprocess.run([*buildah(folder), "copy", "--quiet", container, str(target), "/"], check=True)
    search = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    options = ["--env", search, "--env", "LANG=C.UTF-8", "--cmd", "python3"]
    subprocess.run([*buildah(folder), "config", *options, container], check=True)
    subprocess.run([*buildah(folder), "commit", "--quiet", "--rm", container, BASE], check=True)
    shutil.rmtree(target)


# What `docker` does in the README


def docker(folder: Path, arguments: list[str]) -> int:
    """Do with buildah what a `docker build` or `docker run` says; return the exit code."""
    verb, *rest = arguments
    if verb == "build":
        options = ["--isolation=chroot", "--pull-never", *rest]
        return subprocess.run([*buildah(folder), "build", *options]).returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs what is in `finally`
    options = []
    while rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-v", "--user", "-e"):
            options += ["--env" if option == "-e" else option, rest.pop(0)]
        elif option == "-p":
            rest.pop(0)  # the network is the machine's
        elif option not in ("--rm", "--init"):
            raise SystemExit(f"docker run: {option} is not known here")
    image, *rest = rest
    container = output(*buildah(folder), "from", "--pull-never", image)
    try:
        described = json.loads(output(*buildah(folder), "inspect", "--type=image", image))
        config = described["OCIv1"]["config"]
        command = [*config["Entrypoint"], *(rest or config["Cmd"])]
        run = [*buildah(folder), "run", "--isolation=chroot", *options, container, "--", *command]
        return subprocess.run(run).returncode
    finally:
        subprocess.run([*buildah(folder), "rm", container], check=True, stdout=subprocess.DEVNULL)


def readme_commands() -> list[str]:
    """Return the README's commands with docker: build, predict and serve."""
    blocks = re.findall(r"```\n(docker build.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = blocks
    return re.sub(r"\\\n", " ", block).strip().splitlines()


@contextmanager
def checkout(folder: Path) -> Iterator[Path]:
    """Yield a copy of the tracked files with a song, and `docker` and `id` for a shell in it.

    `id` says that the user is not root.
    """
    copy, programs = folder / "checkout", folder / "programs"
    shutil.rmtree(copy, ignore_errors=True)
    for name in output("git", "-C", str(ROOT), "ls-files").splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    samples, rate = soundfile.read(next(iter(sorted((ROOT / "examples").glob("*.ogg")))))
    soundfile.write(copy / "song.mp3", samples, rate)
    programs.mkdir(exist_ok=True)
    call = shlex.join([sys.executable, str(Path(__file__).absolute()), "--folder", str(folder)])
    for name, script in ("docker", f'exec {call} --docker "$@"'), ("id", f"echo {USER}"):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    yield copy


def try_commands(folder: Path) -> None:
    """Run the README's commands and check what they made."""
    build, predict, serve = readme_commands()
    environment = {**os.environ, "PATH": f"{folder}/programs:{os.environ['PATH']}"}
    with checkout(folder) as copy:
        started = time.monotonic()
        subprocess.run(build, shell=True, check=True, cwd=copy, env=environment)
        print(f"built in {time.monotonic() - started:.0f} s")
        os.chown(copy / "out", USER, USER)  # the user's own, had they not been root
        subprocess.run(predict, shell=True, check=True, cwd=copy, env=environment)
        outputs = sorted(path.name for path in (copy / "out").iterdir())
        rows = next((copy / "out").glob("*.npy"))
        assert np.load(rows).shape[1] == 4, outputs
        assert rows.stat().st_uid == USER, rows.stat()
        print(f"predicted as user {USER}: {', '.join(outputs)}")
        server = subprocess.Popen(
            serve, shell=True, cwd=copy, env=environment, start_new_session=True
        )
        try:
            print(f"served: {ask_server(copy / 'song.mp3')}")
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def ask_server(song: Path) -> str:
    """Wait for the server, fetch its page and predict a song; return what it answers."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    address = f"http://127.0.0.1:{PORT}"
    with urllib.request.urlopen(address) as answer:
        assert b"<html" in answer.read().lower()
    border = "border"
    start = (
        f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="song.mp3"\r\n\r\n'
    )
    body = start.encode() + song.read_bytes() + f"\r\n--{border}--\r\n".encode()
    kind = f"multipart/form-data; boundary={border}"
    headers = {"Content-Type": kind, "Prefer": "wait=120"}
    request = urllib.request.Request(f"{address}/v1/predictions", body, headers)
    with urllib.request.urlopen(request) as answer:
        job = json.load(answer)
    return f"the page, and a prediction of {job['result']['winner']}"


# Sizes


def size(folder: Path, image: str) -> int:
    """Return the bytes of all files of an image."""
    container = output(*buildah(folder), "from", "--pull-never", image)
    try:
        mounted = Path(output(*buildah(folder), "mount", container))
        files = (path.lstat() for path in mounted.rglob("*"))
        return sum({status.st_ino: status.st_size for status in files}.values())
    finally:
        subprocess.run([*buildah(folder), "rm", container], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Build, try and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", type=Path, help="prefix of a CPython 3.12")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/quadpred-image"))
    parser.add_argument("--most", type=int, default=450, help="megabytes over the base image")
    parser.add_argument("--docker", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder.absolute()
    if options.docker:
        sys.exit(docker(folder, options.docker))
    folder.mkdir(parents=True, exist_ok=True)
    if BASE not in output(*buildah(folder), "images", "--format", "{{.Name}}:{{.Tag}}").split():
        if options.python is None:
            parser.error("--python is needed to make the base image")
        make_base(folder, options.python.absolute())
    try_commands(folder)
    base, whole = (size(folder, image) / MEGABYTE for image in (BASE, "quadpred"))
    print(f"base {base:.0f} MB, image {whole:.0f} MB, {whole - base:.0f} MB over the base")
    sys.exit(whole - base > options.most)


if __name__ == "__main__":
    main()
