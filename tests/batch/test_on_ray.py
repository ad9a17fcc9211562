"""A Ray cluster of two nodes on this machine, one of which dies."""

import os
import sys
import threading
import time

import pytest

from helpers.libraries import ledger_lines, predict, record, run, settings_of, table
from helpers.unreliable import Unreliable
from quadpred.batch.discovery import discover
from quadpred.batch.on_ray import Cluster

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.data", reason="Ray Data is not installed")

pytestmark = pytest.mark.slow
CLIPS = 24


def test_the_same_rows_though_a_node_dies(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster as Nodes

    for number in range(CLIPS):
        record(tmp_path / f"music/slow_{number}.wav", seed=number)
    (tmp_path / "music/broken.mp3").write_text("words" * 100)
    record(tmp_path / "music/kill.wav")
    predict([tmp_path / "music"], tmp_path / "alone")

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or a busy machine lets actors starve
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # actors import from here too
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0})
    dying, _ = (nodes.add_node(num_cpus=1) for _ in range(2))
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    settings = settings_of(tmp_path / "out", kind=Unreliable, formats=("json",))
    died_with = []

    def kill():
        while len(ledger_lines(tmp_path / "out")) < 4:
            time.sleep(0.01)
        nodes.remove_node(dying, allow_graceful=False)
        died_with.append(len(ledger_lines(tmp_path / "out")))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        found = discover([str(tmp_path / "music")])
        report = run(found, settings, Cluster(2, settings))
        killer.join(60)
    finally:
        ray.shutdown()
        nodes.shutdown()

    assert died_with[0] < CLIPS
    assert set(report.errors) == {"broken.mp3", "kill.wav"}
    assert "killed by SIGKILL" in report.errors["kill.wav"]
    alone = [row for row in table(tmp_path / "alone/summary.csv") if row["path"] != "kill.wav"]
    assert table(tmp_path / "out/summary.csv") == alone
    assert len(list((tmp_path / "out").glob("*.json"))) == CLIPS
