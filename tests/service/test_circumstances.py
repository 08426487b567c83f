"""Circumstances name the commit, the day and the machine that a figure comes from."""

import datetime as dt
import os
import re
import subprocess
from importlib.metadata import version

import pytest

from service import circumstances
from service.circumstances import Circumstances, read_circumstances


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed words


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit, which the module takes for its own."""
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    monkeypatch.setattr(circumstances, "__file__", str(tmp_path / "file"))
    return tmp_path


def test_they_read_as_one_line():
    found = Circumstances(commit="abc1234", date="2024-05-17", hardware="a computer")
    assert str(found) == "2024-05-17, commit abc1234, a computer"


def test_day_and_machine_are_those_of_this_process():
    before = dt.datetime.now(dt.UTC).date().isoformat()
    found = read_circumstances()
    assert before <= found.date <= dt.datetime.now(dt.UTC).date().isoformat()
    assert re.search(rf"\S.*, {len(os.sched_getaffinity(0))} cores, Python 3\.\d+", found.hardware)


def test_a_clean_tree_is_named_by_its_commit_and_a_changed_one_with_a_plus(repository):
    clean = read_circumstances().commit
    assert re.fullmatch("[0-9a-f]{4,}", clean)
    (repository / "file").write_text("two")
    assert read_circumstances().commit == f"{clean}+"


def test_without_a_repository_the_version_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(circumstances, "__file__", str(tmp_path / "nowhere" / "file"))
    assert read_circumstances().commit == version("polyhash")


def test_without_git_the_version_stands_in(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert read_circumstances().commit == version("polyhash")
