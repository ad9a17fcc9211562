"""Send recordings with damaged headers to a server of our own, and keep what harms it.

    python tools/fuzz_audio.py --minutes 10 --output fuzz/

An upload may be predicted or refused. It may not crash a decoder, hang, take too much memory, meet
a bug, or leave a file, a descriptor or a process behind.
"""

import argparse
import asyncio
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import soundfile

RATE = 24_000
HEADER = 600  # bytes at the start, where most damage goes
WORKERS = 2
BATCH = 400  # uploads between two looks at the server's processes
LEAK = 8  # descriptors or threads more than at first
HANG = 60  # seconds
GROWTH = 150_000_000  # bytes of memory more than at first
HARM = re.compile("crashed|took longer|too much memory|a bug")
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

BY_SOUNDFILE = {
    "pcm16.wav": {},
    "pcm24.wav": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
    "adpcm.wav": {"subtype": "IMA_ADPCM"},
    "gsm.wav": {"subtype": "GSM610"},
    "a.flac": {},
    "vorbis.ogg": {},
    "opus.ogg": {"subtype": "OPUS"},
    "a.mp3": {},
    "a.aiff": {},
    "a.au": {},
    "a.caf": {},
    "alac.caf": {"subtype": "ALAC_16"},
    "a.w64": {},
}
BY_FFMPEG = {
    "aac.m4a": ["-c:a", "aac"],
    "alac.m4a": ["-c:a", "alac"],
    "front.m4a": ["-c:a", "aac", "-movflags", "faststart"],
    "tags.mp3": ["-b:a", "64k", "-metadata", "title=A"],
    "vbr.mp3": ["-q:a", "5", "-write_xing", "0"],
    "a.opus": ["-c:a", "libopus"],
    "a.wma": ["-c:a", "wmav2"],
    "a.mka": ["-c:a", "aac"],
    "a.webm": ["-c:a", "libopus"],
    "a.mp2": [],
    "a.aac": ["-c:a", "aac"],
    "a.avi": ["-c:a", "pcm_s16le"],
}


def recordings(folder: Path) -> dict[str, bytes]:
    """Make a short recording in every format."""
    time_ = np.arange(int(1.3 * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 440 * time_) + 0.01 * np.random.default_rng(0).normal(
        size=len(time_)
    )
    made = {}
    for name, options in BY_SOUNDFILE.items():
        soundfile.write(folder / name, sound, RATE, **options)
        made[name] = (folder / name).read_bytes()
    for name, options in BY_FFMPEG.items():
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(folder / "pcm16.wav"), *options]
        subprocess.run([*command, str(folder / name)], check=True)
        made[name] = (folder / name).read_bytes()
    return made


def damaged(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Change a few things, most of them in the header."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        reach = len(data) if chance.random() < 0.2 else min(HEADER, len(data))
        at = chance.randrange(max(reach, 1))
        match chance.randrange(7):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
            case 2:
                size, order = chance.choice([1, 2, 4]), chance.choice(["little", "big"])
                value = chance.choice(INTERESTING) & ((1 << 8 * size) - 1)
                data[at : at + size] = value.to_bytes(size, order)
            case 3:
                del data[at : at + chance.choice([1, 2, 4, 16])]
            case 4:
                data[at:at] = data[at : at + chance.choice([1, 4, 16, 64])]
            case 5:
                del data[chance.randrange(len(data) + 1) :]
            case 6:
                other = chance.choice(others)
                data[:at] = other[:at]
    return bytes(data) or b"\0"


def processes(parent: int) -> Iterator[int]:
    """Yield the ids of a process's children, and of theirs."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in map(int, listed):
        yield child
        yield from processes(child)


def use(process: int) -> tuple[int, int, int]:
    """Return descriptors, threads and bytes of memory of a process."""
    folder = Path(f"/proc/{process}")
    status = (folder / "status").read_text()
    threads, memory = (
        int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("Threads", "VmRSS")
    )
    return len(os.listdir(folder / "fd")), threads, 1000 * memory


class Fuzzer:
    """Sends, counts, and keeps what harms."""

    def __init__(self, seed: int, output: Path, sounds: dict[str, bytes]):
        self.chance = random.Random(seed)
        self.output = output
        self.sounds = sounds
        self.counts: Counter[str] = Counter()
        self.findings = 0
        self.slowest = 0.0

    def find(self, what: str, name: str, content: bytes) -> None:
        """Keep a recording that did harm."""
        self.findings += 1
        kept = self.output / f"{self.findings:04}-{name}"
        kept.write_bytes(content)
        line = {"what": what, "file": kept.name}
        print("FOUND", line, flush=True)
        with (self.output / "findings.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def send(self, client: httpx.AsyncClient) -> None:
        """Upload one recording and look at what comes back."""
        name = self.chance.choice(list(self.sounds))
        content = damaged(self.sounds[name], list(self.sounds.values()), self.chance)
        began = time.monotonic()
        try:
            answer = await client.post(
                "/v1/predictions", files={"file": (name, content)}, headers={"Prefer": "wait=120"}
            )
        except httpx.HTTPError as error:
            self.find(f"no answer: {type(error).__name__}", name, content)
            return
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        told = answer.json()
        if answer.status_code == 200:
            self.counts["predicted"] += 1
            rows = told["result"]["quadrant"]["rows"]
            if not all(math.isclose(sum(row), 1, abs_tol=1e-4) for row in rows):
                self.find("rows that are no probabilities", name, content)
        elif answer.status_code in (413, 422) and not HARM.search(told["detail"]):
            self.counts[re.sub(r"\d+", "N", told["detail"])] += 1
        else:
            self.find(f"{answer.status_code}: {told.get('detail')}", name, content)
        if took > HANG:
            self.find(f"took {took:.0f} s", name, content)

    async def run(self, minutes: float, server: subprocess.Popen[str], address: str) -> None:
        """Upload for so many minutes; look now and then at what the server has in use."""
        end = time.monotonic() + 60 * minutes
        first: dict[int, tuple[int, int, int]] = {}
        async with httpx.AsyncClient(base_url=address, timeout=180) as client:
            while time.monotonic() < end:
                for _ in range(BATCH // WORKERS):
                    await asyncio.gather(*(self.send(client) for _ in range(WORKERS)))
                now = {process: use(process) for process in [server.pid, *processes(server.pid)]}
                if len(now) > 1 + WORKERS:
                    self.find(f"{len(now)} processes are left", "none", b"")
                for process, used in now.items():
                    then = first.setdefault(process, used)
                    if any(n > t + LEAK for n, t in zip(used[:2], then[:2], strict=True)):
                        self.find(f"descriptors, threads, bytes: {then} then {used}", "none", b"")
                    if used[2] > then[2] + GROWTH:
                        self.find(f"memory: {then[2]} then {used[2]}", "none", b"")
                        first[process] = used
                print(sum(self.counts.values()), dict(self.counts.most_common(4)), now, flush=True)


def main() -> None:
    """Start a server, harm it, end it, and say what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder for what is found")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sounds = recordings(Path(folder))
        uploads = Path(folder) / "uploads"
        uploads.mkdir()
        command = [sys.executable, "-m", "quadpred", "serve", "--port", "0"]
        command += ["--workers", str(WORKERS), "--max-minutes", "10"]
        environment = {**os.environ, "TMPDIR": str(uploads)}
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            address = re.search(r"http://\S+", server.stdout.readline())[0]
            wait_for(address)
            fuzzer = Fuzzer(arguments.seed, arguments.output, sounds)
            asyncio.run(fuzzer.run(arguments.minutes, server, address))
            left = [path for path in uploads.rglob("*") if path.is_file()]
            if left:
                fuzzer.find(f"files are left: {left}", "none", b"")
        finally:
            server.terminate()
            server.wait()
        if any(uploads.iterdir()):
            fuzzer.find(f"left: {list(uploads.rglob('*'))}", "none", b"")
        shutil.rmtree(uploads)
    total = sum(fuzzer.counts.values())
    print(f"{total} uploads, {fuzzer.findings} findings, the slowest took {fuzzer.slowest:.1f} s")
    for detail, count in fuzzer.counts.most_common():
        print(f"{count:8} {detail}")
    sys.exit(fuzzer.findings > 0)


def wait_for(address: str) -> None:
    """Wait until the server answers."""
    for _ in range(100):
        try:
            httpx.get(f"{address}healthz")
            return
        except httpx.TransportError:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
