"""A worker that starts removes the folders of killed ones."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from agent.worker_folder import abandoned_boxes, black_box_of_any, worker_folder

WORKER = """
import sys
from pathlib import Path
from agent.worker_folder import worker_folder

with worker_folder(Path(sys.argv[1])) as folder:
    (folder / "calls").mkdir()
    (folder / "calls" / "7").write_text("words of a caller")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_killed_worker_is_removed_and_that_of_another_one_stays(
    tmp_path: Path,
) -> None:
    foreign = tmp_path / "patchbay-worker-older"
    foreign.mkdir()
    (tmp_path / "patchbay-worker-link").symlink_to(foreign)
    killed = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with killed:
        assert killed.stdout is not None
        folder = Path(killed.stdout.readline().strip())
        with worker_folder(tmp_path) as ours:
            assert (folder / "calls" / "7").exists()
            assert abandoned_boxes(tmp_path) == {}
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
            assert black_box_of_any("7", tmp_path) == folder / "calls" / "7"
            assert black_box_of_any("8", tmp_path) is None
            assert abandoned_boxes(tmp_path) == {"7": folder / "calls" / "7"}
            with worker_folder(tmp_path):
                assert not folder.exists()
                assert ours.exists()
        assert not ours.exists()
    assert foreign.exists()
