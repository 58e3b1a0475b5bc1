"""The console for operators in a browser: the service as it is, tenants with their keys and facedbs, and usage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from browser.callers import TENANT, WIDEST, Shown, visit
from shared.webhooks import WAITING


def look_again(page: Any) -> None:
    """Have the view of the service ask at once, not within three seconds."""
    for view in ("tenants", "service"):
        page.locator(f"nav a[href='#{view}']").click()
        page.locator(f"nav a[href='#{view}'][aria-current]").wait_for()


def test_the_service_shows_its_workers_and_what_is_wrong(operators: Any) -> None:
    operators.get_by_text("No alert fires.").wait_for()
    assert operators.locator(".card").filter(has_text="Parts").get_by_text("works", exact=True).count() == 6
    assert "Apache-2.0" in operators.locator(".card").filter(has_text="licence").inner_text()
    assert "No backup is known" in operators.locator(".card").filter(has_text="Last backup").inner_text()


def test_an_alert_is_shown_while_its_condition_holds(operators: Any, shown: Shown) -> None:
    with Redis.from_url(shown.service.broker) as redis:
        redis.zadd(WAITING, {"a webhook of 1970": 0})
        look_again(operators)
        alert = operators.locator(".alerts li").filter(has_text="FacesearchWebhooksWait")
        alert.wait_for()
        assert alert.inner_text().startswith("warning")
        assert "since 01/01/1970" in alert.inner_text()
        redis.zrem(WAITING, "a webhook of 1970")
    look_again(operators)
    operators.get_by_text("No alert fires.").wait_for()


WRONG = {
    "release": "1",
    "parts": {"broker": "does not answer", "worker": "unknown", "store": "a text of the store", "disk": "ok"},
    "alerts": [
        {"name": "FacesearchBrokerDown", "severity": "critical", "summary": "", "since": None},
        {"name": "FacesearchWebhooksWait", "severity": "warning", "summary": "", "since": "2026-11-29T12:00:00Z"},
        {"name": "FacesearchOfTomorrow", "severity": "warning", "summary": "As the API has it", "since": None},
    ],
    "jobs": None,
    "workers": [],
    "last_backup": None,
}
"""The state of a service with which much is wrong."""


def test_a_service_without_its_broker_says_so_in_the_language_of_the_reader(operators: Any) -> None:
    operators.route("**/admin/v1/service", lambda route: route.fulfill(json={"status": "OK", "message": WRONG}))
    look_again(operators)
    alerts = operators.locator(".alerts li")
    alerts.filter(has_text="The broker does not answer").get_by_text("seen here since").wait_for()
    assert "since 29/11/2026" in alerts.filter(has_text="FacesearchWebhooksWait").inner_text()
    assert "As the API has it" in alerts.filter(has_text="FacesearchOfTomorrow").inner_text()
    assert operators.get_by_text("No backup is known").count() == 0
    operators.get_by_role("combobox", name="Language").select_option("zh")
    alerts.filter(has_text="消息代理没有响应").wait_for()
    assert operators.locator("dt").all_inner_texts()[:4] == ["消息代理", "工作进程", "存储", "写入存储"]
    assert operators.locator("dd").all_inner_texts()[:4] == ["没有响应", "未知", "a text of the store", "正常"]
    operators.unroute("**/admin/v1/service")
    look_again(operators)
    operators.get_by_text("当前没有告警。").wait_for()


def test_a_tenant_is_made_gets_a_key_and_is_dropped(operators: Any, shown: Shown) -> None:
    visit(operators, "Tenants")
    operators.get_by_label("New tenant").fill("bank")
    operators.get_by_role("button", name="Create").click()
    tenant = operators.locator("details").filter(has=operators.locator("summary", has_text="bank"))
    tenant.locator("summary").click()
    tenant.get_by_label("New face database").fill("staff")
    tenant.get_by_role("button", name="Create").first.click()
    staff = tenant.get_by_role("row", name="staff")
    staff.wait_for()
    assert staff.get_by_role("cell").all_inner_texts()[:2] == ["0", "0"]
    tenant.get_by_label("New key").fill("branch")
    tenant.get_by_role("button", name="Create").last.click()
    dialog = operators.get_by_role("dialog")
    key = dialog.locator("code").inner_text()
    answer = shown.http.get("/v1/facedbs", headers={"X-API-Key": key}).json()
    assert [facedb["facedb"] for facedb in answer["message"]] == ["default", "staff"]
    dialog.get_by_role("button", name="Close").click()
    tenant.get_by_role("row", name="branch").get_by_role("button", name="Revoke").click()
    operators.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    tenant.get_by_role("row", name="branch").wait_for(state="detached")
    staff.get_by_role("button", name="Drop").click()
    operators.get_by_role("dialog").get_by_role("button", name="Drop", exact=True).click()
    staff.wait_for(state="detached")
    tenant.get_by_role("button", name="Drop the tenant").click()
    operators.get_by_role("dialog").get_by_role("button", name="Drop", exact=True).click()
    tenant.wait_for(state="detached")


def test_usage_by_day_and_call(operators: Any, shown: Shown, photos: dict[str, Path]) -> None:
    shown.http.post("/v1/searchface", files={"img": photos["coffee.png"].read_bytes()})
    visit(operators, "Usage")
    default = operators.locator("section.card").filter(has=operators.get_by_role("heading", name=TENANT))
    # Gateways add what they counted every second.
    while default.get_by_role("row", name="searchface").count() == 0:
        visit(operators, "Service")
        visit(operators, "Usage")
        operators.wait_for_load_state("networkidle")
    assert default.get_by_role("img").is_visible()


LOADED = {"service": ".alerts li", "tenants": "details .table", "usage": "section.card, [role=status] span"}
"""What each view has once it shows all."""


def serious(found: Any) -> list[str]:
    """Return the names of the faults that axe calls serious or critical."""
    return [fault["id"] for fault in found.response["violations"] if fault["impact"] in ("serious", "critical")]


def open_first(page: Any) -> None:
    """Open the first tenant, unless it is open from the last time when the view was shown."""
    if page.locator("details.card").first.get_attribute("open") is None:
        page.locator("details.card > summary").first.click()


@pytest.fixture
def longest(shown: Shown, photos: dict[str, Path]) -> Iterator[None]:
    """The first of all tenants, with a face, a key and a facedb, all with the longest names."""
    name, photo = "0" * 64, photos["hopper.jpg"].read_bytes()
    shown.operate("POST", "", name=name)
    shown.operate("POST", f"/{name}/facedbs", name=name)
    key = shown.operate("POST", f"/{name}/keys", name=name)["key"]
    given, headers = {"name": "n" * 128, "facedb": name}, {"X-API-Key": key}
    added = shown.http.post("/v1/addface", data=given, files={"img": photo}, headers=headers).json()
    assert added["status"] == "OK", added
    yield
    shown.operate("DELETE", f"/{name}")


@pytest.mark.usefixtures("longest")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_has_a_serious_fault_of_accessibility_or_is_wider_than_a_phone(operators: Any, theme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 -- only where it is installed

    operators.route("**/admin/v1/service", lambda route: route.fulfill(json={"status": "OK", "message": WRONG}))
    operators.emulate_media(color_scheme=theme, reduced_motion="reduce")
    operators.set_viewport_size({"width": 360, "height": 800})
    for language in ("English", "中文"):
        operators.get_by_role("combobox").first.select_option(label=language)
        for name, loaded in LOADED.items():
            operators.locator(f"nav a[href='#{name}']").click()
            if name == "tenants":
                open_first(operators)
            operators.locator(loaded).first.wait_for()
            assert serious(Axe().run(operators)) == []
            assert operators.evaluate(WIDEST) <= 360, name
        operators.locator("nav a[href='#tenants']").click()  # where the tenant is still open
        operators.locator("[data-table='facedbs'] button").first.click()
        operators.locator("dialog section").first.wait_for()
        assert serious(Axe().run(operators)) == []
        operators.keyboard.press("Escape")
