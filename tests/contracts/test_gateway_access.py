"""Tests API keys, sessions, limits and the audit log over HTTP."""

import hmac
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError, ExpiredError
from llm_router.gateway.deps import COOKIE
from llm_router.gateway.rates import RateLimit
from llm_router.management.first_key import ensure_admin
from llm_router.store.api_keys import ApiKeys, KeyLimits
from llm_router.store.crypto import Vault
from llm_router.store.key_format import digest
from llm_router.store.sign_ins import SIGN_IN_LIFETIME, SignIns
from llm_router.store.tables import sign_ins as rows
from llm_router.testing import ManualClock
from tests.contracts.databases import Files, Server, opened
from tests.contracts.gateway import HOST, PUBLIC, Gateway, gateway_on, problem
from tests.contracts.stores import VAULT

ORIGIN = {"Origin": HOST}
SIGN_IN_KEYS = VAULT.derive("sign-ins")


async def signed_in(gateway: Gateway, who: str = "editor") -> dict[str, str]:
    """The headers of a browser in which `who` has signed in."""
    answer = await gateway.client.post("/api/session", json={"api_key": gateway.keys[who]})
    assert answer.status_code == 201, answer.text
    gateway.client.cookies.clear()  # each test says which cookie is sent
    return {"Cookie": answer.headers["set-cookie"].split(";")[0], **ORIGIN}


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_is_shown_once_and_only_its_digest_is_stored(gateway: Gateway) -> None:
    wanted = {"name": "anna", "role": "editor", "team": "red"}
    made = (await gateway.call("admin", "POST", "/keys", wanted)).json()
    assert made["key"].endswith(made["last4"])
    assert (made["owner"], made["created_by"]) == ("anna", "admin")
    listed = await gateway.call("admin", "GET", "/keys")
    assert made["key"] not in listed.text
    assert made["id"] in [item["id"] for item in listed.json()["items"]]
    gateway.keys["anna"] = made["key"]
    assert (await gateway.call("anna", "GET", "/me")).json()["name"] == "anna"
    assert (await gateway.connection("anna"))["owner"] == "anna"


async def test_a_revoked_key_is_refused_and_so_is_its_session(gateway: Gateway) -> None:
    wanted = {"name": "anna", "role": "viewer"}
    made = (await gateway.call("admin", "POST", "/keys", wanted)).json()
    gateway.keys["anna"] = made["key"]
    browser = await signed_in(gateway, "anna")
    assert (await gateway.call("", "GET", "/me", headers=browser)).status_code == 200
    assert (await gateway.call("admin", "DELETE", f"/keys/{made['id']}")).status_code == 204
    problem(await gateway.call("anna", "GET", "/me"), 401)
    problem(await gateway.call("", "GET", "/me", headers=browser), 401)
    problem(await gateway.call("admin", "DELETE", f"/keys/{made['id']}"), 404)


async def test_a_key_ends_when_it_was_said_to(files: Files) -> None:
    clock = ManualClock()
    async with opened(await files.new()) as database:
        keys = ApiKeys(database, clock)
        sign_ins = SignIns(database, keys, SIGN_IN_KEYS, clock)
        until = datetime.fromtimestamp(clock.wall(), UTC) + timedelta(hours=1)
        limits = KeyLimits(expires_at=until)
        key, text = await keys.add(SYSTEM, "anna", "viewer", limits=limits)
        cookie, ends = await sign_ins.begin(key, "here")
        assert ends == until
        assert await keys.authenticate(text)
        assert await sign_ins.authenticate(cookie)
        clock.advance(3_600)
        with pytest.raises(ExpiredError, match=r"'anna' .* expired at .* ask an admin"):
            await keys.authenticate(text)
        assert await keys.authenticate(text[:-1] + ("0" if text[-1] != "0" else "1")) is None
        assert await sign_ins.authenticate(cookie) is None
        with pytest.raises(ConfigurationError, match="has passed"):
            await keys.add(SYSTEM, "ben", "viewer", limits=limits)


async def test_a_session_ends_by_itself(files: Files) -> None:
    clock = ManualClock()
    async with opened(await files.new()) as database:
        keys = ApiKeys(database, clock)
        sign_ins = SignIns(database, keys, SIGN_IN_KEYS, clock)
        key, _ = await keys.add(SYSTEM, "anna", "viewer")
        cookie, _ = await sign_ins.begin(key, "here")
        clock.advance(SIGN_IN_LIFETIME.total_seconds() - 1)
        assert await sign_ins.authenticate(cookie)
        clock.advance(1)
        assert await sign_ins.authenticate(cookie) is None


async def test_a_sign_in_survives_a_rotation_but_is_made_by_no_other_key(files: Files) -> None:
    newest = Vault([Fernet.generate_key().decode()])
    async with opened(await files.new()) as database:
        keys = ApiKeys(database)
        key, _ = await keys.add(SYSTEM, "anna", "viewer")
        cookie, _ = await SignIns(database, keys, SIGN_IN_KEYS).begin(key, "here")
        rotated = SignIns(database, keys, newest.derive("sign-ins") + SIGN_IN_KEYS)
        assert await rotated.authenticate(cookie)
        for own_keys in (newest.derive("sign-ins"), VAULT.derive("MCP's questions")):
            assert await SignIns(database, keys, own_keys).authenticate(cookie) is None


async def test_who_can_only_write_to_the_database_makes_no_sign_in(gateway: Gateway) -> None:
    ((key, *_), _) = await gateway.services.keys.find(SYSTEM)
    now = gateway.services.now()
    row = {"api_key_id": key.id, "created_at": now, "expires_at": now + SIGN_IN_LIFETIME}
    hashes = (
        digest("mine"),
        hmac.digest(VAULT.derive("MCP's questions")[0], b"mine", "sha256").hex(),
    )
    async with gateway.services.database.writing() as db:
        await db.execute(rows.insert(), [row | {"hash": each} for each in hashes])
    answer = await gateway.client.get("/api/me", headers={"Cookie": f"{COOKIE}=mine"})
    problem(answer, 401)


async def test_the_last_use_of_a_key_is_noted_to_the_minute(files: Files) -> None:
    clock = ManualClock()
    async with opened(await files.new()) as database:
        keys = ApiKeys(database, clock)
        _, text = await keys.add(SYSTEM, "anna", "viewer")

        async def last_used() -> datetime | None:
            await keys.authenticate(text)
            ((key,), _) = await keys.find(SYSTEM)
            return key.last_used_at

        first = await last_used()
        clock.advance(30)
        assert await last_used() == first
        clock.advance(31)
        assert await last_used() == datetime.fromtimestamp(clock.wall(), UTC)


async def test_the_valid_ones_of_many_keys_are_found_together(server: Server) -> None:
    clock = ManualClock()
    async with opened(await server.new()) as database:
        keys = ApiKeys(database, clock)
        until = datetime.fromtimestamp(clock.wall(), UTC) + timedelta(hours=1)
        anna, text = await keys.add(SYSTEM, "anna", "viewer")
        ben, _ = await keys.add(SYSTEM, "ben", "viewer", limits=KeyLimits(expires_at=until))
        cleo, _ = await keys.add(SYSTEM, "cleo", "viewer")
        await keys.revoke(SYSTEM, cleo.id)
        ids = {anna.id, ben.id, cleo.id, "unknown"}
        assert set(await keys.get_all_valid(ids)) == {anna.id, ben.id}
        clock.advance(3_600)
        found = await keys.get_all_valid(ids)
        assert set(found) == {anna.id}
        await keys.note_use(found.values())
        assert (await keys.get_all_valid(ids))[anna.id].last_used_at == datetime.fromtimestamp(
            clock.wall(), UTC
        )
        again = await keys.authenticate(text)
        assert again is not None
        assert again.last_used_at == datetime.fromtimestamp(clock.wall(), UTC)
        assert await keys.get_all_valid(()) == {}


@pytest.mark.parametrize("text", ["", "pb_0123456789ab_" + "0" * 64, "pb_\ud83d", "sk-x"])
async def test_a_text_that_is_no_key_is_refused(gateway: Gateway, text: str) -> None:
    assert await gateway.services.keys.authenticate(text) is None


# ── The first key ────────────────────────────────────────────────────────────────────────────────


async def test_where_no_admin_key_works_one_is_made_for_its_owner_alone(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "admin.key"
    async with opened(await server.new()) as database:
        keys = ApiKeys(database)
        await ensure_admin(keys, file)
        text = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        key = await keys.authenticate(text)
        assert key is not None
        assert key.role == "admin"

        await ensure_admin(keys, file)
        assert file.read_text().strip() == text

        await keys.revoke(SYSTEM, key.id)
        await ensure_admin(keys, file)
        assert await keys.authenticate(file.read_text().strip())


async def test_a_key_that_could_not_be_saved_is_not_made(files: Files, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    async with opened(await files.new()) as database:
        keys = ApiKeys(database)
        with pytest.raises(ConfigurationError, match="ADMIN_KEY_FILE"):
            await ensure_admin(keys, tmp_path / "taken" / "admin.key")
        assert await keys.find(SYSTEM) == ((), 0)


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_browser_signs_in_with_a_key_and_out_again(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/session", json={"api_key": gateway.keys["editor"]})
    assert answer.json()["role"] == "editor"
    assert "edit" in answer.json()["may"]
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert attributes >= {"httponly", "samesite=strict", "path=/api"}
    assert "secure" not in attributes  # over plain HTTP a browser would not send it back
    gateway.client.cookies.clear()
    browser = await signed_in(gateway)
    made = await gateway.call(
        "", "POST", "/connections", {"name": "b", "base_url": PUBLIC}, headers=browser
    )
    assert made.json()["owner"] == "editor"
    out = await gateway.call("", "DELETE", "/session", headers=browser)
    assert f'{COOKIE}=""' in out.headers["set-cookie"]
    problem(await gateway.call("", "GET", "/me", headers=browser), 401)


async def test_over_https_the_cookie_stays_there(gateway: Gateway) -> None:
    answer = await gateway.client.post(
        "https://patchbay.test/api/session", json={"api_key": gateway.keys["editor"]}
    )
    assert "; secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null"])
async def test_another_site_cannot_change_anything_with_the_cookie(
    gateway: Gateway, origin: str | None
) -> None:
    browser = await signed_in(gateway, "admin")
    del browser["Origin"]
    sent = browser | ({"Origin": origin} if origin else {})
    body = {"name": "b", "base_url": PUBLIC}
    refused = await gateway.call("", "POST", "/connections", body, headers=sent)
    assert "Origin" in problem(refused, 403)["detail"]
    assert (await gateway.call("", "GET", "/connections", headers=browser)).json()["total"] == 0


async def test_another_site_cannot_sign_a_browser_in(gateway: Gateway) -> None:
    wanted = {"api_key": gateway.keys["viewer"]}
    evil = {"Origin": "https://evil.example"}
    problem(await gateway.client.post("/api/session", json=wanted, headers=evil), 403)


async def test_a_wrong_key_does_not_sign_in(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/session", json={"api_key": "pb_wrong"})
    problem(answer, 401)
    assert "set-cookie" not in answer.headers


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────


async def test_one_key_may_ask_only_so_often_and_does_not_use_up_anothers(files: Files) -> None:
    async with gateway_on(await files.new(), request_limit=RateLimit("2/hour")) as gateway:
        for _ in range(2):
            assert (await gateway.call("viewer", "GET", "/me")).status_code == 200
        refused = await gateway.call("viewer", "GET", "/me")
        assert 0 < int(refused.headers["retry-after"]) <= 3_600
        problem(refused, 429)
        assert (await gateway.call("editor", "GET", "/me")).status_code == 200


async def test_guessing_keys_is_slowed_down_and_who_has_one_is_not(files: Files) -> None:
    async with gateway_on(await files.new(), unauthenticated_limit=RateLimit("2/hour")) as gateway:
        gateway.keys["guess"] = "pb_0123456789ab_" + "0" * 64
        statuses = [(await gateway.call("guess", "GET", "/me")).status_code for _ in range(3)]
        sign_in = await gateway.client.post("/api/session", json={"api_key": "pb_wrong"})
        assert statuses == [401, 401, 429]
        problem(sign_in, 429)
        assert (await gateway.call("viewer", "GET", "/me")).status_code == 200


# ── What was done ────────────────────────────────────────────────────────────────────────────────


async def test_every_change_and_every_use_of_a_key_is_written_down(gateway: Gateway) -> None:
    browser = await signed_in(gateway)
    made = await gateway.connection(provider="offline", base_url="", api_key="sk-0123456789ab")
    path = f"/connections/{made['id']}"
    await gateway.call("editor", "POST", f"{path}/test")
    await gateway.call("editor", "GET", f"{path}/models")
    await gateway.call("editor", "PATCH", path, {"api_key": "sk-ba9876543210"})
    await gateway.call("", "DELETE", "/session", headers=browser)
    log = await gateway.call("admin", "GET", "/audit", params={"limit": 7})
    said = [(e["action"], e["actor"], e["origin"]) for e in log.json()["items"]]
    assert said == [
        ("sign out", "editor", "127.0.0.1"),
        ("edit", "editor", "127.0.0.1"),
        ("list models", "editor", "127.0.0.1"),
        ("set status", "editor", "127.0.0.1"),
        ("test", "editor", "127.0.0.1"),
        ("add", "editor", "127.0.0.1"),
        ("sign in", "editor", "127.0.0.1"),
    ]
    assert log.json()["items"][1]["after"] == {"api_key": "changed"}
    assert "sk-" not in log.text


async def test_the_audit_log_is_read_a_page_at_a_time_and_by_target(each_gateway: Gateway) -> None:
    made = [await each_gateway.connection(name=name) for name in ("a", "b", "c")]

    async def targets(**params: object) -> list[str]:
        answer = await each_gateway.call("admin", "GET", "/audit", params=params)
        return [entry["target"] for entry in answer.json()["items"]]

    ids = [connection["id"] for connection in made]
    assert await targets(limit=2) == [ids[2], ids[1]]
    assert await targets(limit=1, offset=2) == [ids[0]]
    assert await targets(target=ids[1]) == [ids[1]]


def spoil(file: Path) -> None:
    file.write_bytes(b"no database " * 400)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


async def test_a_database_that_is_away_is_a_problem_without_its_address(gateway: Gateway) -> None:
    await gateway.services.database.engine.dispose()
    path = Path(str(gateway.services.database.url.database))
    spoil(path)
    answer = await gateway.call("viewer", "GET", "/connections")
    assert int(answer.headers["retry-after"]) > 0
    assert str(path) not in problem(answer, 503, "database-unavailable")["detail"]
