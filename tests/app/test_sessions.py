"""What is known of a login before and after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.app.project import open_project
from mtughost.app.sessions import SessionFactory
from mtughost.model.inventory import Credential, Device
from mtughost.wire.clock import SystemClock


@pytest.fixture
def uses_default_login(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIPPED", "ubnt")
    monkeypatch.setenv("OTHER", "not-a-real-password")
    factory = SessionFactory(
        open_project(env={"XDG_STATE_HOME": str(tmp_path)}, cwd=tmp_path), {}, clock=SystemClock()
    )

    def ask(reference, username="ubnt", platform="ubiquiti_edgerouter", **more):
        credential = Credential(realm="r", username=username, password_ref=reference)
        device = Device(
            name="gw1",
            address="192.0.2.1",
            site="s1",
            role="gateway",
            platform=platform,
            credential=replace(credential, **more),
        )
        return factory.uses_default_login(device)

    yield ask
    factory.close()


def test_the_account_that_the_vendor_ships_is_recognised(uses_default_login):
    assert uses_default_login("env:SHIPPED")
    assert not uses_default_login("env:OTHER")
    assert not uses_default_login("env:SHIPPED", username="audit")
    assert not uses_default_login("env:SHIPPED", platform="linux")


def test_where_a_key_may_have_opened_the_door_nothing_is_said(uses_default_login):
    assert not uses_default_login("env:SHIPPED", key_file="keys/audit")
    assert not uses_default_login("env:SHIPPED", use_agent=True)
