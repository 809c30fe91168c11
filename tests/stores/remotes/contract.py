"""What every kind of remote has to do, with real servers: push, pull, get, import, open, refuse, break, go on.

A subclass starts its server. Bytes are counted by a proxy in front of it.
"""

import contextlib
import gc
import hashlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fsspec import AbstractFileSystem

from stores.micrographs import MICROGRAPHS
from stores.remote import open_remote
from stores.remote_check import check_remote
from stores.remote_errors import RemoteError
from tests.stores.remotes.clones import (
    REMOTE,
    STORE,
    Reply,
    clone,
    dvc,
    git,
    new_repository,
    noise,
    run,
    set_credentials,
    set_remote,
)
from tests.stores.remotes.proxy import Proxy, proxied
from tests.stores.remotes.server import Server

__all__ = ["RemoteContract", "WritableRemoteContract"]

IMAGES = noise(mb=32, n_levels=2)
ROW = 700
HALF = 1_500_000  # bytes, about half of the store
ONE_ROW_BYTES = 100_000  # of 2.9 MB; opening the store included
READ = f"""
import sys
from stores.remote import open_remote
try:
    print("sum", float(open_remote({STORE!r}, repo=sys.argv[1], rev="v1")["image"][{ROW}].sum()))
except (OSError, ValueError) as error:
    print(type(error).__name__, error)
"""


def files_of(root: Path) -> dict[str, str]:
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def forget_connections() -> None:
    """What drivers keep in their class, and what was left to the garbage collector."""
    kinds = [AbstractFileSystem]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind.clear_instance_cache()
    gc.collect()


def size_of(root: Path) -> int:
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


class Workplace(SimpleNamespace):
    """Server, proxy in front of it, and `source`: the repository that has the data, with a writer's credentials."""

    server: Server
    proxy: Proxy
    source: Path

    def clone(self, folder: Path, credentials: Mapping[str, str] | None = None) -> Path:
        made = clone(self.source, folder)
        set_credentials(made, self.server.credentials if credentials is None else credentials)
        return made

    def push(self) -> Reply:
        """Everything to the server; what only reads is filled through its folder."""
        if self.server.folder is None:
            return dvc("push", cwd=self.source)
        set_credentials(self.source, {"url": str(self.server.folder)}, name="folder")
        return dvc("push", "-r", "folder", cwd=self.source)


def read_in_a_process_of_its_own(repository: Path, environment: Mapping[str, str] = {}) -> str:
    """What READ prints: with no terminal to ask at, and with nothing kept of earlier connections."""
    return run(sys.executable, "-c", READ, str(repository), cwd=repository, environment=environment).text


# Drivers keep their connections open for the life of the process.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:(BasicAuth|The 'auth' parameter) is deprecated:DeprecationWarning")  # dvc-http
@pytest.mark.remotes
class RemoteContract:
    """Reading."""

    @staticmethod
    def serve(folder: Path) -> contextlib.AbstractContextManager[Server]:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def workplace(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
        folder = tmp_path_factory.mktemp("remote")
        source = new_repository(folder / "source", IMAGES)
        with cls.serve(folder / "server") as server, proxied(server.port) as proxy:
            set_remote(source, server.url(proxy.port), server.settings(proxy.port))
            set_credentials(source, server.credentials)
            yield Workplace(server=server, proxy=proxy, source=source, folder=folder)
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            forget_connections()

    @pytest.fixture(autouse=True)
    def sound(self, workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Each test finds everything published, and the network whole."""
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        workplace.proxy.mend()
        workplace.server.space(float("inf"))
        set_credentials(workplace.source, workplace.server.credentials)
        if not any(name.endswith(".dir") for name in workplace.server.sizes()):
            assert workplace.push().code == 0
            set_credentials(workplace.source, workplace.server.credentials)
        workplace.proxy.reset()

    def test_another_clone_pulls_the_same_bytes(self, workplace: Workplace, tmp_path: Path):
        other = workplace.clone(tmp_path / "other")
        reply = dvc("pull", cwd=other)
        assert reply.code == 0, reply.text
        assert files_of(other / STORE) == files_of(workplace.source / STORE)

    def test_a_revision_opens_in_a_clone_whose_credentials_stand_in_config_local_and_a_row_is_few_bytes(
        self, workplace: Workplace, tmp_path: Path
    ):
        other = workplace.clone(tmp_path / "other")
        workplace.proxy.reset()
        images = open_remote(STORE, repo=other, rev="v1", schema=MICROGRAPHS)
        np.testing.assert_array_equal(images["image"][ROW].values, IMAGES["image"][ROW].values)
        assert workplace.proxy.total < ONE_ROW_BYTES < sum(workplace.server.sizes().values()) / 20
        assert not list(other.rglob("*.zarr"))

    def test_a_revision_opens_through_a_remote_that_is_not_the_default_one(self, workplace: Workplace, tmp_path: Path):
        other = workplace.clone(tmp_path / "other", {"url": "/nowhere"})
        settings = {
            "url": workplace.server.url(workplace.proxy.port),
            **workplace.server.settings(workplace.proxy.port),
        }
        set_credentials(other, settings | workplace.server.credentials, name="second")
        images = open_remote(STORE, repo=other, rev="v1", remote="second")
        np.testing.assert_array_equal(images["image"][ROW].values, IMAGES["image"][ROW].values)

    def test_by_an_address_credentials_come_from_the_global_settings(self, workplace: Workplace, tmp_path: Path):
        bare = tmp_path / "bare.git"
        git("clone", "-q", "--bare", str(workplace.source), str(bare), cwd=tmp_path)
        settings = {"url": workplace.server.url(workplace.proxy.port), **workplace.server.credentials}
        own = tmp_path / "global"
        own.mkdir()
        lines = "".join(f"    {key} = {value}\n" for key, value in settings.items())
        (own / "config").write_text(f"['remote \"{REMOTE}\"']\n{lines}")
        environment = {"DVC_GLOBAL_CONFIG_DIR": str(own)}
        place = tmp_path / "place"
        place.mkdir()
        read = run(sys.executable, "-c", READ, bare.as_uri(), cwd=place, environment=environment)
        assert read.text.endswith(f"sum {float(IMAGES['image'][ROW].sum())}\n"), read.text
        got = dvc("get", bare.as_uri(), STORE, "--rev", "v1", "-o", "got.zarr", cwd=place, environment=environment)
        assert got.code == 0, got.text
        assert files_of(place / "got.zarr") == files_of(workplace.source / STORE)
        git("init", "-q", cwd=place)
        assert dvc("init", "-q", cwd=place).code == 0
        asked = ("import", bare.as_uri(), STORE, "--rev", "v1", "-o", "imported.zarr")
        imported = dvc(*asked, cwd=place, environment=environment)
        assert imported.code == 0, imported.text
        assert files_of(place / "imported.zarr") == files_of(workplace.source / STORE)

    def test_get_takes_the_credentials_of_a_clone(self, workplace: Workplace, tmp_path: Path):
        other = workplace.clone(tmp_path / "other")
        got = dvc("get", str(other), STORE, "--rev", "v1", "-o", "got.zarr", cwd=tmp_path)
        assert got.code == 0, got.text
        assert files_of(tmp_path / "got.zarr") == files_of(workplace.source / STORE)

    @pytest.mark.parametrize("credentials", ["wrong", "missing"])
    def test_a_refusal_names_the_remote_what_was_found_and_the_cure(
        self, workplace: Workplace, tmp_path: Path, credentials: str
    ):
        given = workplace.server.wrong_credentials if credentials == "wrong" else {}
        said = read_in_a_process_of_its_own(workplace.clone(tmp_path / "other", given))
        for part in (f"remote '{REMOTE}'", workplace.server.url(workplace.proxy.port), "refused", "dvc remote modify"):
            assert part in said, said

    def test_a_dead_server_is_named(self, workplace: Workplace, tmp_path: Path):
        other = workplace.clone(tmp_path / "other")
        workplace.proxy.cut_after(sent=0)
        said = read_in_a_process_of_its_own(other)
        assert f"RemoteError reading /{STORE}/zarr.json: remote '{REMOTE}'" in said, said
        assert "not reached or went away" in said

    def test_a_silent_server_is_given_up(self, workplace: Workplace, tmp_path: Path):
        other = workplace.clone(tmp_path / "other", workplace.server.credentials | workplace.server.patience)
        workplace.proxy.hush()
        said = read_in_a_process_of_its_own(other, {"AWS_MAX_ATTEMPTS": "1"})
        assert "not reached or went away" in said, said

    @pytest.mark.parametrize("content", [None, b"", b"torn"], ids=["missing", "empty", "torn"])
    def test_a_part_that_is_missing_or_damaged_is_an_error_and_never_fill_values(
        self, workplace: Workplace, tmp_path: Path, content: bytes | None
    ):
        sizes = workplace.server.sizes()
        workplace.server.put(max(sizes, key=lambda name: sizes[name]), content)
        images = open_remote(STORE, repo=workplace.clone(tmp_path / "other"), rev="v1")
        problem = "does not hold" if content is None else "holds a damaged"
        with pytest.raises(RemoteError, match=rf"remote '{REMOTE}' \(.*\) {problem} .*`dvc push`"):
            images.load()
        workplace.server.empty()  # published anew for the next test

    def test_a_pull_that_broke_off_goes_on_where_it_was(self, workplace: Workplace, tmp_path: Path):
        other = workplace.clone(tmp_path / "other")
        workplace.proxy.cut_after(received=2 * HALF // 3)
        assert dvc("pull", cwd=other).code != 0
        assert not (other / STORE).exists()
        kept = size_of(other / ".dvc" / "cache")
        workplace.proxy.mend()
        workplace.proxy.reset()
        reply = dvc("pull", cwd=other)
        assert reply.code == 0, reply.text
        assert files_of(other / STORE) == files_of(workplace.source / STORE)
        assert workplace.proxy.received < 1.1 * (sum(workplace.server.sizes().values()) - kept) + ONE_ROW_BYTES


class WritableRemoteContract(RemoteContract):
    """Writing as well."""

    def emptied(self, workplace: Workplace) -> Workplace:
        workplace.server.empty()
        workplace.proxy.reset()
        return workplace

    def nothing_is_published(self, workplace: Workplace, folder: Path) -> None:
        """A reader is told so, and gets no part of it."""
        with pytest.raises(FileNotFoundError, match="found no store; check the path, and that it was pushed"):
            open_remote(STORE, repo=workplace.clone(folder), rev="v1")

    def everything_is_published(self, workplace: Workplace, folder: Path) -> None:
        images = open_remote(STORE, repo=workplace.clone(folder), rev="v1")
        np.testing.assert_array_equal(images["image"].values, IMAGES["image"].values)

    @pytest.mark.parametrize("credentials", ["wrong", "reader"])
    def test_who_may_not_write_publishes_nothing_and_is_told_why(
        self, workplace: Workplace, tmp_path: Path, credentials: str
    ):
        self.emptied(workplace)
        given = getattr(workplace.server, f"{credentials}_credentials")
        set_credentials(workplace.source, given)
        assert dvc("push", cwd=workplace.source).code != 0
        assert workplace.server.sizes() == {}
        asked = ("-m", "pipeline.cli", "doctor", "--remote", REMOTE)
        said = run(sys.executable, *asked, cwd=workplace.source)
        assert said.code == (1 if credentials == "wrong" else 0), said.text
        assert f"remote '{REMOTE}'" in said.text and "refused" in said.text, said.text
        self.nothing_is_published(workplace, tmp_path / "other")

    def test_a_push_that_broke_off_publishes_nothing_and_goes_on_where_it_was(
        self, workplace: Workplace, tmp_path: Path
    ):
        self.emptied(workplace)
        workplace.proxy.cut_after(sent=HALF)
        assert dvc("push", cwd=workplace.source).code != 0
        workplace.proxy.mend()
        self.nothing_is_published(workplace, tmp_path / "early")
        state = check_remote(workplace.source, drop_damaged=True)  # what wsgidav kept of a file that was on its way
        assert 0 < len(state.missing) < state.n_objects, state
        arrived = sum(size for name, size in workplace.server.sizes().items() if not name.endswith(".tmp"))
        assert arrived > HALF / 3
        workplace.proxy.reset()
        reply = dvc("push", cwd=workplace.source)
        assert reply.code == 0, reply.text
        assert workplace.proxy.sent < 1.1 * (size_of(workplace.source / STORE) - arrived) + ONE_ROW_BYTES
        self.everything_is_published(workplace, tmp_path / "late")

    def test_a_full_disk_publishes_nothing_and_the_push_goes_on_when_there_is_room(
        self, workplace: Workplace, tmp_path: Path
    ):
        self.emptied(workplace)
        workplace.server.space(HALF)
        assert dvc("push", cwd=workplace.source).code != 0
        self.nothing_is_published(workplace, tmp_path / "early")
        workplace.server.space(float("inf"))
        arrived = sum(workplace.server.sizes().values())
        workplace.proxy.reset()
        reply = dvc("push", cwd=workplace.source)
        assert reply.code == 0, reply.text
        assert workplace.proxy.sent < 1.1 * (size_of(workplace.source / STORE) - arrived) + ONE_ROW_BYTES
        self.everything_is_published(workplace, tmp_path / "late")

    def test_the_doctor_finds_a_damaged_object_which_a_push_takes_for_a_good_one(self, workplace: Workplace):
        sizes = workplace.server.sizes()
        shard = max(sizes, key=lambda name: sizes[name])
        workplace.server.put(shard, b"")
        assert dvc("push", cwd=workplace.source).code == 0
        assert workplace.server.sizes()[shard] == 0
        ((size, expected),) = check_remote(workplace.source).damaged.values()
        assert (size, expected) == (0, sizes[shard])
        asked = ("-m", "pipeline.cli", "doctor", "--remote", REMOTE, "--drop-damaged")
        assert run(sys.executable, *asked, cwd=workplace.source).code == 0
        assert dvc("push", cwd=workplace.source).code == 0
        assert workplace.server.sizes() == sizes
        assert check_remote(workplace.source).damaged == {}
