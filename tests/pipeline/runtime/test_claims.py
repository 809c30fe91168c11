"""Claims: of many rivals one gets a task; what a worker died with is taken over, and given up after three deaths."""

import errno
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.runtime import claims as module
from pipeline.runtime.claims import Claims, ClaimsRefused, Identity

NAMES = ["000000", "000001", "000002"]
IDENTITY = Identity(stage="spectra", key="k", versions={"numpy": "2.0"}, machinery="m", commit="c")


def elsewhere(claims, monkeypatch):
    """A worker on another machine, whose process cannot be seen from here."""
    other = Claims(claims.folder, NAMES, expires_s=claims.expires_s)
    other.me = module.Worker(**{**vars(other.me), "name": f"elsewhere-{id(other)}", "machine": "another"})
    return other


@pytest.fixture
def gone_while_read(monkeypatch):
    """From its call on, files of a suffix are removed on another machine after they were opened, as NFS shows it."""
    opening = Path.open

    def begin(suffix, then=lambda: None):
        class Stale(io.TextIOWrapper):
            def read(self, size=-1):
                then()
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

        def opened(path, mode="r", *arguments, **options):
            stale = path.suffix == suffix and mode == "r"
            return Stale(opening(path, "rb")) if stale else opening(path, mode, *arguments, **options)

        monkeypatch.setattr(Path, "open", opened)

    begin.end = lambda: monkeypatch.setattr(Path, "open", opening)
    return begin


@pytest.fixture
def claims(tmp_path):
    return Claims(tmp_path, NAMES, expires_s=60.0)


def claimed(claims, name="000000"):
    state = claims.look()
    return claims.claim(name, state.tasks[name], state.workers)


def test_of_two_workers_one_gets_a_task(claims, tmp_path):
    rival = Claims(tmp_path, NAMES)
    with claims.present(), rival.present():
        stale = rival.look()
        assert claimed(claims) == 0
        assert claimed(rival) is None
        assert rival.claim("000000", stale.tasks["000000"], stale.workers) is None, "it was free when it looked"
        assert claimed(rival, "000001") == 0


def test_what_was_made_between_the_look_and_the_claim_is_left_alone(claims, tmp_path):
    with claims.present():
        before = claims.look()
        (tmp_path / "000000.task").write_bytes(b"made")
        assert claims.claim("000000", before.tasks["000000"], before.workers) is None
        assert not list(tmp_path.glob("*.claim"))
        assert claims.look().left() == ["000001", "000002"]


def test_what_is_given_back_counts_no_death(claims, tmp_path):
    rival = Claims(tmp_path, NAMES)
    with rival.present():
        assert claimed(rival) == 0
        before = rival.look()
        rival.release("000000", 0)
    with claims.present():
        assert claims.claim("000000", before.tasks["000000"], {}) is None, "the claim of the look is gone"
        assert claimed(claims) == 0


def test_a_claim_given_back_while_it_is_read_is_held_by_nobody_yet(claims, tmp_path, gone_while_read):
    rival = Claims(tmp_path, NAMES)
    with rival.present(), claims.present():
        assert claimed(rival) == 0
        state = claims.look()
        gone_while_read(".claim")
        assert claims.claim("000000", state.tasks["000000"], {}) is None
        assert claims.holder_of("000000", state.tasks["000000"]) == ""


def test_a_worker_that_ends_while_its_file_is_read_does_not_live(claims, tmp_path, gone_while_read):
    with Claims(tmp_path, NAMES).present():
        gone_while_read(".json")
        assert claims.look().workers == {}


def test_what_is_made_here_is_read_again_when_it_is_replaced_meanwhile(claims, tmp_path, gone_while_read):
    claims.agree(IDENTITY)
    gone_while_read(".json", then=gone_while_read.end)
    assert Identity.read(tmp_path / "claims.json") == IDENTITY


def test_a_worker_whose_process_is_gone_is_dead_at_once(claims, tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from pipeline.runtime.claims import Claims; "
        f"c = Claims(Path({str(tmp_path)!r}), {NAMES!r}); p = c.present(); p.__enter__(); s = c.look(); "
        "print(c.claim('000000', s.tasks['000000'], s.workers), flush=True); os._exit(9)"
    )
    with claims.present():
        for death in range(3):
            reply = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
            assert reply.stdout.strip() == str(death), reply.stderr
        assert claimed(claims) is None
        assert "3 workers died in a row" in claims.failures()["000000"]
        assert claims.look().left() == ["000001", "000002"]
        claims.retry()
        assert claimed(claims) == 0


def test_a_worker_elsewhere_is_dead_when_its_file_did_not_change_while_it_was_watched(claims, monkeypatch):
    other = elsewhere(claims, monkeypatch)
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with claims.present(), other.present():
        assert claimed(other) == 0
        file = claims.folder / "workers" / f"{other.me.name}.json"
        for _ in range(3):  # whatever the clocks say: hours of difference, in both directions
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 7200 * 10**9))
            assert claimed(claims) is None
            now[0] += 50
        assert claims.certainly_lives(claims.living()[other.me.name])
        assert claimed(claims) is None, "50 s after its last change"
        now[0] += 11
        assert claimed(claims) is None, "half of the minute counted of the 50 s without a look"
        now[0] += 20
        assert claimed(claims) == 1


def test_a_worker_elsewhere_lives_on_after_hours_in_which_nobody_could_look(claims, monkeypatch):
    other = elsewhere(claims, monkeypatch)
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with claims.present(), other.present():
        assert claimed(other) == 0
        assert claimed(claims) is None
        now[0] += 7200  # the file server is away: whoever looks waits for it
        assert claimed(claims) is None, "the other could not show that it lives either"
        now[0] += 20
        os.utime(claims.folder / "workers" / f"{other.me.name}.json")
        assert claimed(claims) is None
        now[0] += 25
        assert claimed(claims) is None


def test_a_claim_without_a_name_yet_is_held(claims, monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    (tmp_path / "000000.0.claim").touch()
    with claims.present():
        for _ in range(2):
            assert claimed(claims) is None
            now[0] += 30
        assert claimed(claims) == 1


def test_signs_of_life_are_renewed(tmp_path):
    claims = Claims(tmp_path, NAMES, expires_s=0.3)
    with claims.present():
        (file,) = (tmp_path / "workers").iterdir()
        before = file.stat().st_mtime_ns
        end = time.monotonic() + 10
        while file.stat().st_mtime_ns == before:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert not file.exists()


@pytest.mark.parametrize(
    "change", [{"machinery": "n"}, {"key": "l"}, {"stage": "textures"}, {"versions": {"numpy": "2.1"}}]
)
def test_while_workers_live_another_version_is_refused_and_both_are_named(claims, change):
    other, rival = Identity(**{**vars(IDENTITY), "commit": "d", **change}), Claims(claims.folder, NAMES)
    claims.agree(IDENTITY)
    with claims.present():
        claims.agree(IDENTITY)
        rival.agree(Identity(**{**vars(IDENTITY), "commit": "edited comments"}))
        with pytest.raises(ClaimsRefused, match=r"1 workers of another version \(.*commit c\), expected .*commit d\)"):
            rival.agree(other)
    rival.agree(other)
    with rival.present(), pytest.raises(ClaimsRefused, match=r"\(.*commit d\), expected .*commit c\)"):
        claims.agree(IDENTITY)


def test_what_a_version_with_other_fields_wrote_is_another_version(claims, tmp_path):
    (tmp_path / "claims.json").write_text(json.dumps({"stage": "spectra", "key": "k", "versions": {"numpy": "2"}}))
    with Claims(tmp_path, NAMES).present(), pytest.raises(ClaimsRefused, match="1 workers of another version"):
        claims.agree(IDENTITY)
    claims.agree(IDENTITY)
    assert Identity.read(tmp_path / "claims.json") == IDENTITY


def test_a_folder_that_is_not_shared_is_noticed(claims, monkeypatch):
    monkeypatch.setattr(module, "APPEARS_WITHIN_S", 0.1)
    with pytest.raises(ClaimsRefused, match=r"no claims\.json.*one folder that all machines see.*LATENTLAW_SCRATCH"):
        claims.agree(IDENTITY, prepared=True)
    assert not (claims.folder / "claims.json").exists()


def test_clearing_keeps_results(claims, tmp_path):
    claims.agree(IDENTITY)
    (tmp_path / "000001.task").write_bytes(b"made")
    with claims.present():
        claimed(claims)
        claims.fail("000002", "no")
        claims.clear()
        assert {file.name for file in tmp_path.iterdir()} == {"000001.task", "claims.json", "workers"}
    assert json.dumps(claims.failures()) == "{}"


def test_a_process_number_that_was_given_anew_is_another_process(claims, monkeypatch):
    with claims.present():
        me = claims.living()[claims.me.name]
        assert me.process_runs()
        older = module.Worker(**{**vars(me), "process": (me.process[0], me.process[1] - 100)})
        assert older.process_runs() is False
        assert psutil.pid_exists(me.process[0])
