"""The tenant that the pages of a module are about, and what its callers do in a browser and without one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service import Service

TENANT = "browsers"

WIDEST = "Math.max(...[document.documentElement, ...document.querySelectorAll('.table')].map(part => part.scrollWidth))"
"""A program of a page that returns the width of the page, or of the widest table in it."""


@dataclass(frozen=True)
class Shown:
    """What the pages of a module are about: a tenant of its own of the service that tests share. key, http: of a caller
    of that tenant, who may do everything. admin_key: of the operator.
    """

    service: Service
    admin_key: str
    key: str
    http: httpx.Client

    @property
    def address(self) -> str:
        return self.service.address

    @property
    def admin(self) -> str:
        return self.service.admin

    def operate(self, method: str, path: str, **body: object) -> Any:
        """Do an operation of the admin API and return the message of its answer. path: after /admin/v1/tenants."""
        url, headers = f"{self.admin}/admin/v1/tenants{path}", {"X-Admin-Key": self.admin_key}
        answer = httpx.request(method, url, headers=headers, json=body or None, timeout=150).json()
        assert answer["status"] == "OK", answer
        return answer["message"]


def enter(page: Any, key: str, address: str = "") -> None:
    page.goto(f"{address}/")
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("heading", name="Search", exact=True).wait_for()


def visit(page: Any, view: str) -> None:
    page.get_by_role("link", name=view, exact=True).click()
    page.get_by_role("heading", name=view, exact=True).wait_for()


def choose(page: Any, photo: Path, field: str) -> None:
    page.get_by_label(field, exact=True).set_input_files(photo)


def stored(shown: Shown) -> list[dict[str, Any]]:
    persons: list[dict[str, Any]] = shown.http.get("/v1/persons").json()["message"]["persons"]
    return persons


def add(shown: Shown, photo: Path, **parameters: str) -> str:
    answer = shown.http.post("/v1/addface", data=parameters, files={"img": photo.read_bytes()}).json()
    person_id: str = answer["message"][0]["person_id"]
    return person_id
