"""The smoke study, run once in a copy of the repository."""

import pytest
from project import ROOT, Project, with_corpus
from scaling.benchmark.study import copy_checkout


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "smoke" in item.fixturenames:
            item.add_marker("smoke")


@pytest.fixture
def bare(tmp_path):
    """A project in which nothing has been made, and no wheel can be found."""
    copy_checkout(ROOT, tmp_path / "project")
    return Project(tmp_path / "project", tmp_path)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """A project whose smoke study has been run to its page."""
    project = with_corpus(tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("wheels"))
    project.study()
    result = project.snakemake()
    assert result.returncode == 0, result.stdout
    project.log = result.stdout
    return project
