"""What every test gets."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as where a script starts the tests with &: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Where nothing compiled is kept beside its source, each process would compile all tests and the whole package."""
    if sys.dont_write_bytecode:
        cache: pytest.Cache | None = getattr(config, "cache", None)  # None with -p no:cacheprovider
        folder = str(cache.mkdir("compiled")) if cache else tempfile.mkdtemp(prefix="onnxgs-opt-compiled-")
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        sys.dont_write_bytecode, sys.pycache_prefix = False, folder
        if not cache:
            config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_sessionstart() -> None:
    """Before anything imports what opens sessions."""
    from tests.fixtures.opened import open_once

    open_once()


def pytest_collection_finish() -> None:
    """Graphs and expressions are many small objects; the collector would walk all that was imported again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or leaves measurements in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def objects(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what compilers make of sources, for all processes of a run and of later ones."""
    if cache := getattr(pytestconfig, "cache", None):
        return Path(cache.mkdir("objects"))
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "objects"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def recognised_once() -> Iterator[None]:
    """A run of a model that another test has run before does not look for its sites again."""
    from onnxgs_opt import api
    from onnxgs_opt.recognition import find
    from tests.fixtures.recognised import canonical_once, remembering, sharing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "canonical", canonical_once(api.canonical))
        patch.setattr(api, "surveyed", remembering(api.surveyed))
        patch.setattr(find, "Proofs", sharing())
        yield


@pytest.fixture
def recognised_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the recogniser's work, or with a recogniser that they change."""
    from onnxgs_opt import api
    from onnxgs_opt.recognition import find, known_proofs

    monkeypatch.setattr(api, "canonical", find.canonical)
    monkeypatch.setattr(api, "surveyed", find.surveyed)
    monkeypatch.setattr(find, "Proofs", known_proofs.Proofs)
