"""The commands that administer tenants, keys and facedbs, as a person or a script runs them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from redis import Redis

from facesearch.cli.main import main
from shared.control import DROPPED

WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"


@dataclass
class Shell:
    """Runs commands with the given settings."""

    settings: dict[str, str]

    def run(self, line: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, line.split(), input=answer, env=self.settings)

    def done(self, line: str) -> str:
        """Return the output of a command that succeeds."""
        result = self.run(line)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, line: str) -> Any:
        return json.loads(self.done(f"{line} --json"))

    def refused(self, line: str) -> str:
        """Return the only line of a command that fails."""
        result = self.run(line)
        assert result.exit_code == 1, result.output
        assert not result.stdout
        assert result.stderr.startswith("facesearch: ")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("facesearch: ").strip()


@pytest.fixture
def shell(valkey_url: str) -> Shell:
    return Shell({"REDIS_URL": valkey_url})


class TestTenants:
    def test_a_tenant_is_created_and_listed(self, shell: Shell) -> None:
        assert shell.done("tenants create shop") == "tenant shop created, with the empty facedb default\n"
        assert shell.json("tenants create bank")["facedb"] == "default"
        assert shell.refused("tenants create shop") == "tenant shop exists already"
        wrong = "the name of a tenant is 1 to 64 letters, digits, - or _; 'a.shop' is not"
        assert shell.refused("tenants create a.shop") == wrong
        head, bank, shop = shell.done("tenants list").splitlines()
        assert re.fullmatch(r"TENANT  DEFAULT FACEDB  CREATED", head)
        assert re.fullmatch(rf"bank    default         {WHEN}", bank)
        assert shop.startswith("shop ")
        assert [tenant["name"] for tenant in shell.json("tenants list")] == ["bank", "shop"]

    def test_a_tenant_is_dropped_if_confirmed(self, shell: Shell) -> None:
        shell.done("tenants create shop")
        shell.done("keys create --tenant shop --name k")
        no = shell.run("tenants drop shop", answer="n\n")
        assert no.exit_code == 1
        assert "Drop tenant shop with its keys (1) and facedbs (1) and all their faces? [y/N]" in no.stderr
        assert not no.stdout
        assert shell.run("tenants drop shop", answer="y\n").exit_code == 0
        assert shell.json("tenants list") == []
        assert shell.refused("tenants drop shop --yes") == (
            "there is no tenant shop; `facesearch tenants list` lists what there is"
        )

    def test_a_drop_without_a_terminal_is_not_confirmed(self, shell: Shell) -> None:
        shell.done("tenants create shop")
        assert shell.run("tenants drop shop").exit_code == 1
        assert len(shell.json("tenants list")) == 1
        shell.done("tenants drop shop --yes")
        assert shell.done("tenants list").splitlines() == ["TENANT  DEFAULT FACEDB  CREATED"]


class TestKeys:
    @pytest.fixture(autouse=True)
    def tenants(self, shell: Shell) -> None:
        shell.done("tenants create default")
        shell.done("tenants create shop")

    def test_a_new_key_alone_is_on_stdout_and_never_shown_again(self, shell: Shell) -> None:
        result = shell.run("keys create --name k --expires 30d")
        assert re.fullmatch(r"fs_[A-Za-z0-9_-]{32}\n", result.stdout)
        assert re.search(
            rf"key [0-9a-f]{{12}} of tenant default: may add, search, delete; expires: {WHEN}", result.stderr
        )
        assert "shown this once" in result.stderr
        assert result.stdout.strip() not in shell.done("keys list") + shell.done("keys list --json")

    def test_all_options_of_a_key_are_listed(self, shell: Shell) -> None:
        options = "--scope delete --scope add --expires 2999-01-31 --rate 2.5 --concurrency 0"
        made = shell.json(f"keys create --tenant shop --name till {options}")
        assert made.pop("key").startswith("fs_")
        assert shell.json("keys list --tenant shop") == [made]
        assert (made["scopes"], made["rate"], made["concurrency"]) == (["add", "delete"], 2.5, 0)
        head, line = shell.done("keys list --tenant shop").splitlines()
        assert head.split() == ["ID", "NAME", "MAY", "EXPIRES", "RATE", "CONCURRENCY", "ANSWERS", "CREATED"]
        expected = rf"{made['id']}  till  add, delete  2999-01-31 00:00 UTC  2\.5   any          default  {WHEN}"
        assert re.fullmatch(expected, line)
        shell.done("keys create --name plain")
        assert re.search(r"plain +add, search, delete +never +default +default +default ", shell.done("keys list"))

    def test_answer_options_of_a_key_are_listed(self, shell: Shell) -> None:
        options = "--http-status always-200 --confidence whole"
        made = shell.json(f"keys create --tenant shop --name till {options}")
        assert (made["http_status"], made["confidence"]) == ("always-200", "whole")
        assert re.search(r"till .* always-200, whole +", shell.done("keys list --tenant shop"))
        shell.done("keys create --tenant shop --name other --confidence decimals")
        assert re.search(r"other .* decimals +", shell.done("keys list --tenant shop"))

    def test_a_revoked_key_is_listed_only_with_all(self, shell: Shell) -> None:
        made = shell.json("keys create --tenant shop --name k")
        key_id = made["id"]
        assert shell.refused(f"keys revoke {key_id}").startswith(f"tenant default has no key {key_id}; ")
        assert shell.done(f"keys revoke {key_id} --tenant shop") == f"key {key_id} of tenant shop revoked\n"
        assert shell.json("keys list --tenant shop") == []
        kept = shell.json("keys create --tenant shop --name kept")
        by_id = {key["id"]: key for key in shell.json("keys list --tenant shop --all")}
        assert by_id[key_id]["name"] == "k"
        assert by_id[key_id]["revoked"] is not None
        assert by_id[kept["id"]]["revoked"] is None
        table = shell.done("keys list --tenant shop --all")
        assert table.splitlines()[0].split()[-1] == "STATE"
        assert re.search(rf"^{key_id}  k .*  revoked {WHEN}$", table, re.MULTILINE)
        assert re.search(rf"^{kept['id']}  kept .*  works$", table, re.MULTILINE)

    def test_the_file_of_the_first_key_is_removed_with_the_key(self, shell: Shell, tmp_path: Path) -> None:
        made = shell.json("keys create --name first")
        (tmp_path / "api-key").write_text(made["key"] + "\n")
        result = shell.run(f"keys revoke {made['id']} --data-dir {tmp_path}")
        assert result.exit_code == 0
        assert result.stderr.startswith("It was the first key: its file is gone too, and the next `facesearch up` ")
        assert not (tmp_path / "api-key").exists()

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ("--name a.b", "the name of a key is 1 to 64 letters"),
            ("--name k --tenant nobody", "there is no tenant nobody"),
            ("--name k --expires soon", "'soon' is no time; write 12h, 30d or 4w from now, a date such as 2030-01-31"),
            ("--name k --expires 2020-01-01", "the key would never work: it expires at 2020-01-01 00:00:00"),
            ("--name k --rate -1", "the rate is a number of requests a second, 0.000001 to 1,000,000, or 0 for any"),
            ("--name k --rate 1e7", "the rate is a number of requests a second, 0.000001 to 1,000,000, or 0 for any"),
            ("--name k --rate nan", "the rate is a number"),
            ("--name k --concurrency -1", "the concurrency is a number of requests at once, 0 or more"),
        ],
    )
    def test_invalid_options_are_refused(self, shell: Shell, options: str, sentence: str) -> None:
        assert shell.refused(f"keys create {options}").startswith(sentence)

    def test_missing_and_malformed_options_are_usage_errors(self, shell: Shell) -> None:
        for line in (
            "keys create",
            "keys create --name k --scope admin",
            "keys create --name k --rate fast",
            "keys create --name k --http-status 200",
        ):
            assert shell.run(line).exit_code == 2


class TestUsage:
    def test_usage_of_an_unknown_tenant_is_an_error_and_of_a_dropped_one_is_not(self, shell: Shell) -> None:
        shell.done("tenants create shop")
        unused = shell.run("usage --tenant shop")
        assert (unused.exit_code, unused.stderr) == (0, "nothing was used in this period\n")
        wrong = "there is no tenant shpo, and none of that name was ever used; see `facesearch tenants list`"
        assert shell.refused("usage --tenant shpo") == wrong
        assert shell.run("usage --tenant ?").exit_code == 0
        shell.done("tenants drop shop --yes")
        with Redis.from_url(shell.settings["REDIS_URL"]) as redis:
            redis.sadd("fs:usage:days", "2026-01-31")
            redis.hset("fs:usage:2026-01-31", "shop|0123456789ab|addface|OK", 7)
        assert shell.json("usage --tenant shop")["totals"] == {"shop": {"charged": 0, "free": 7}}
        assert shell.run("usage --tenant shop --from 2026-02-01").exit_code == 0

    def test_usage_names_revoked_keys(self, shell: Shell) -> None:
        shell.done("tenants create shop")
        made = [shell.json(f"keys create --tenant shop --name {name}") for name in ("till", "gone")]
        with Redis.from_url(shell.settings["REDIS_URL"]) as redis:
            redis.sadd("fs:usage:days", "2026-01-31")
            for key_id in (made[0]["id"], made[1]["id"], "0123456789ab"):
                redis.hset("fs:usage:2026-01-31", f"shop|{key_id}|addface|OK", 7)
        shell.done(f"keys revoke {made[1]['id']} --tenant shop")
        names = {row["key"]: row["key_name"] for row in shell.json("usage")["rows"]}
        assert names == {made[0]["id"]: "till", made[1]["id"]: "gone", "0123456789ab": ""}
        assert re.search(rf"^2026-01-31  shop +{made[1]['id']}  gone  addface ", shell.done("usage"), re.MULTILINE)


class TestFacedbs:
    def test_a_facedb_is_created_made_the_default_and_dropped(self, shell: Shell) -> None:
        shell.done("tenants create shop")
        assert shell.done("facedbs create extra --tenant shop") == "facedb extra of tenant shop created\n"
        assert shell.refused("facedbs create extra --tenant shop") == "tenant shop has a facedb extra already"
        assert shell.done("facedbs default extra --tenant shop") == "facedb extra is the default of tenant shop\n"
        head, first, second = shell.done("facedbs list --tenant shop").splitlines()
        assert head.split() == ["FACEDB", "DEFAULT", "CREATED", "KEPT", "COLLECTION"]
        assert re.fullmatch(rf"default           {WHEN}  for good  shop\.default\.[0-9a-f]{{8}}", first)
        assert re.fullmatch(rf"extra    yes      {WHEN}  for good  shop\.extra\.[0-9a-f]{{8}}", second)
        no = shell.run("facedbs drop default --tenant shop", answer="\n")
        assert (no.exit_code, no.stdout) == (1, "")
        assert "Drop facedb default of tenant shop with all its faces?" in no.stderr
        shell.done("facedbs drop default --tenant shop --yes")
        assert [facedb["name"] for facedb in shell.json("facedbs list --tenant shop")] == ["extra"]
        with Redis.from_url(shell.settings["REDIS_URL"]) as redis:
            assert redis.zcard(DROPPED) == 1

    def test_impossible_changes_of_facedbs_are_refused(self, shell: Shell) -> None:
        assert shell.refused("facedbs create x").startswith("there is no tenant default; ")
        shell.done("tenants create default")
        assert shell.refused("facedbs drop x").startswith("tenant default has no facedb x; ")
        assert shell.refused("facedbs default x").startswith("tenant default has no facedb x; ")
        assert shell.refused("facedbs drop default --yes").startswith("default is the default facedb of tenant default")


class TestNamesForShells:
    def test_a_shell_is_offered_what_there_is(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        for line in ("tenants create shop", "facedbs create visitors --tenant shop"):
            shell.done(line)
        key = shell.json("keys create --tenant shop --name till")
        monkeypatch.setenv("REDIS_URL", shell.settings["REDIS_URL"])

        def offered(*words: str, incomplete: str = "") -> set[str]:
            found = ShellComplete(main, {}, "facesearch", "_FACESEARCH_COMPLETE")
            return {each.value for each in found.get_completions(list(words), incomplete)}

        assert offered("tenants", "drop") == {"shop"}
        assert offered("persons", "list", "--tenant", incomplete="s") == {"shop"}
        assert offered("facedbs", "drop", "--tenant", "shop") == {"default", "visitors"}
        assert offered("export", "--tenant", "shop", "--facedb", incomplete="v") == {"visitors"}
        assert offered("keys", "revoke", "--tenant", "shop") == {key["id"]}
        assert offered("facedbs", "create", "--tenant", "shop") == set(), "its name is new"


class TestFindingTheService:
    def test_a_data_directory_without_a_running_service_is_an_error(self, tmp_path: Path) -> None:
        shell = Shell({"FACESEARCH_DATA_DIR": str(tmp_path)})
        sentence = f"no service runs on {tmp_path}; start it with `facesearch up`, or set REDIS_URL"
        assert shell.refused("tenants list") == sentence
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "broker.sock").touch()  # left by a killed service
        assert shell.refused(f"keys list --data-dir {tmp_path}") == sentence

    def test_the_error_of_a_missing_redis_has_no_password(self) -> None:
        shell = Shell({"REDIS_URL": "redis://:hunter2@127.0.0.1:9"})
        where = "the Redis of REDIS_URL at 127.0.0.1:9"
        silent = f"{where} does not answer (ConnectionError); start it, or correct REDIS_URL"
        assert shell.refused("tenants list") == silent
        assert shell.refused("facedbs list") == silent
        wrong = Shell({"REDIS_URL": "hunter2"}).refused("tenants list")
        assert wrong.startswith("REDIS_URL is wrong: its scheme is unknown; REDIS_URL and ")
        assert "hunter2" not in wrong

    @pytest.mark.embedded("it is about the socket of an embedded server")
    def test_a_command_finds_a_service_with_a_long_data_directory(self, tmp_path: Path, valkey_url: str) -> None:
        folder = tmp_path / ("d" * 100)
        folder.mkdir()
        socket = Path(valkey_url.removeprefix("unix://"))
        short = socket.parent / "short"
        short.mkdir()
        (short / "broker.sock").symlink_to(socket)
        (folder / "run").symlink_to(short)
        result = subprocess.run(
            [sys.executable, "-m", "facesearch", "tenants", "list", "--data-dir", str(folder)],
            env={name: value for name, value in os.environ.items() if name != "REDIS_URL"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.split() == ["TENANT", "DEFAULT", "FACEDB", "CREATED"]
