"""Fixtures of all the suites here: an uploaded passport, and the register of lost ones."""

import pytest
from samples import Register, line, upload


@pytest.fixture(autouse=True)
def register(monkeypatch):
    with Register().serving() as serving:
        monkeypatch.setenv("REGISTER_URL", serving.url)
        yield serving


@pytest.fixture
def passport(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCUMENTS_FOLDER", str(tmp_path))
    return upload(tmp_path, tmp_path.name, line())
