"""Settings whose predictor fails as a recording's name demands. Workers import it too."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from quadpred.batch.recording import Settings
from quadpred.predictor import Predictor


class _Unreliable(Predictor):
    def stream(self, path, **options):
        name = Path(path).stem
        if name == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "kill_once":
            mark = Path(path).with_suffix(".killed")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if name == "exit":
            os._exit(3)
        if name.startswith("hang"):
            time.sleep(600)
        if name == "fault":
            raise RuntimeError("a fault")
        if name == "threads":
            raise RuntimeError(os.environ["OPENBLAS_NUM_THREADS"])
        if name.startswith("slow"):
            time.sleep(1.5 if name == "slower" else 0.2)
        return super().stream(path, **options)


@dataclass(frozen=True)
class Unreliable(Settings):
    def predictor(self):
        return _Unreliable(self.model)


@dataclass(frozen=True)
class NeverStarts(Settings):
    def predictor(self):
        os._exit(9)
