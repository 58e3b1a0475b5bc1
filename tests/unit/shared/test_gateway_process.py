"""How many processes a gateway has, and what part of its limits each of them has."""

from pathlib import Path

import pytest

from shared import gateway_process, settings
from shared.errors import OperatorError
from shared.gateway_process import GatewayProcess, GatewayProcesses, asked_for, chosen
from shared.settings import Settings

GIB = 1 << 30
MIB = 1 << 20
FOLDER = Path("/run")


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, memory: int = 256 * GIB) -> None:
    monkeypatch.setattr(gateway_process, "cores", lambda: cores)
    monkeypatch.setattr(settings, "memory_bytes", lambda: memory)


class TestNumber:
    @pytest.mark.parametrize(
        ("device", "cores", "number"),
        [
            *(("cpu", 1, 1), ("cpu", 8, 1), ("cpu", 9, 2), ("cpu", 16, 2), ("cpu", 64, 8)),
            *(("cuda", 2, 1), ("cuda", 4, 1), ("cuda", 5, 2), ("cuda", 16, 4)),
        ],
    )
    def test_up_takes_one_for_every_few_cores(
        self, monkeypatch: pytest.MonkeyPatch, device: str, cores: int, number: int
    ) -> None:
        machine(monkeypatch, cores)
        assert chosen(Settings(device=device)) == number

    def test_up_takes_no_more_than_the_limits_suffice_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, cores=64, memory=GIB // 2)
        assert chosen(Settings()) == 2, "a quarter of the memory is 128 MiB, and each process needs 64"
        machine(monkeypatch, cores=64)
        assert chosen(Settings(in_flight=3)) == 3
        assert chosen(Settings(connections_per_address=1)) == 1

    def test_the_setting_takes_precedence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, cores=64)
        assert chosen(Settings(gateway_processes=3)) == 3
        assert asked_for(Settings(gateway_processes=3)) == 3

    def test_a_gateway_alone_has_one_process_unless_it_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, cores=64, memory=64 * MIB)
        assert asked_for(Settings()) == 1

    @pytest.mark.parametrize(
        ("limit", "value", "suffices_for"),
        [("in_flight", 3, 3), ("connections", 2, 2), ("connections_per_address", 1, 1), ("body_memory_mib", 255, 3)],
    )
    def test_more_than_a_limit_suffices_for_is_an_error(self, limit: str, value: int, suffices_for: int) -> None:
        text = (
            f"FACESEARCH_GATEWAY_PROCESSES is 4, but FACESEARCH_{limit.upper()}, which they share, "
            f"suffices for {suffices_for}; lower the one or raise the other"
        )
        for number_of in (asked_for, chosen):
            with pytest.raises(OperatorError, match=f"^{text}$"):
                number_of(Settings(gateway_processes=4, **{limit: value}))


class TestShares:
    @pytest.mark.parametrize(("total", "of"), [(256, 1), (256, 3), (7, 7), (4096, 64)])
    def test_the_parts_of_all_processes_are_the_total(self, total: int, of: int) -> None:
        parts = [GatewayProcess(number, of, FOLDER).share(total) for number in range(1, of + 1)]
        assert sum(parts) == total
        assert max(parts) - min(parts) <= 1

    def test_every_limit_of_one_gateway_is_shared(self) -> None:
        given = Settings(in_flight=9, connections=101, connections_per_address=11, body_memory_mib=257)
        parts = [GatewayProcess(number, 2, FOLDER).limited(given) for number in (1, 2)]
        for limit in ("in_flight", "connections", "connections_per_address", "body_memory_mib"):
            assert sum(getattr(part, limit) for part in parts) == getattr(given, limit)

    def test_limits_by_default_are_shared_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine(monkeypatch, cores=16, memory=GIB)
        part = GatewayProcess(1, 2, FOLDER).limited(Settings())
        assert part.body_memory_bytes == 128 * MIB
        assert part.connections_per_address is None, "half of its own part"

    def test_limits_over_all_gateways_are_not_shared(self) -> None:
        part = GatewayProcess(1, 2, FOLDER).limited(Settings(rate=10, concurrency=5))
        assert (part.rate, part.concurrency) == (10, 5)

    def test_one_process_has_all(self) -> None:
        given = Settings()
        assert GatewayProcess().limited(given) is given


class TestCommands:
    def test_all_inherit_the_sockets_of_callers_and_the_first_one_that_of_the_admin_api(self) -> None:
        first, second = GatewayProcesses(Settings(), 2, FOLDER).commands([7, 8], 9)
        assert first.inherited == [7, 8, 9]
        assert second.inherited == [7, 8]
        assert first.argv[-6:] == ["--fd", "7", "--fd", "8", "--admin-fd", "9"]
        assert "--admin-fd" not in second.argv

    def test_each_is_named_and_told_which_one_it_is(self) -> None:
        commands = GatewayProcesses(Settings(), 2, FOLDER).commands([7])
        assert [command.name for command in commands] == ["gateway 1", "gateway 2"]
        places = [command.argv[command.argv.index("--process") + 1] for command in commands]
        assert [GatewayProcess.parse(place, "/run").number for place in places] == [1, 2]

    def test_a_process_alone_is_called_gateway_and_needs_no_socket_of_its_own(self) -> None:
        alone = GatewayProcesses(Settings(), 1, FOLDER)
        assert [command.name for command in alone.commands([7])] == ["gateway"]
        assert alone.sockets == []

    def test_each_may_take_as_long_to_end_as_its_requests_and_its_draining(self) -> None:
        (command,) = GatewayProcesses(Settings(deadline_s=20, drain_s=7), 1, FOLDER).commands([7])
        assert command.grace_s > 20 + 7

    @pytest.mark.parametrize("place", ["", "2", "0/2", "3/2", "a/b", "1/2/3"])
    def test_a_place_that_makes_no_sense_is_an_error(self, place: str) -> None:
        with pytest.raises(ValueError, match="not a number such as 2/4"):
            GatewayProcess.parse(place, "/run")
