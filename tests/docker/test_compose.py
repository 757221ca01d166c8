"""The compose file, the Dockerfile and the command line agree; nothing here needs Docker."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from jepsen_like.cluster.against import against
from raftlog.cli import init, serve, status
from raftlog.server import Address, ServeOptions, load_machine

ROOT = Path(__file__).resolve().parents[2]
NODES = ("n1", "n2", "n3")
SPAN = re.compile(r"\A(\d+)s\Z")


def unset(text: str) -> str:
    """As Compose reads it where no variable of the user's is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.safe_load(unset((ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def parsed(command: click.Command, words: list[str]) -> dict[str, Any]:
    """What the command would be called with."""
    return command.make_context(command.name, list(words)).params


def seconds(text: str) -> int:
    found = SPAN.match(text)
    assert found is not None, f"{text!r} is not a number of seconds"
    return int(found[1])


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name, COMPOSE["services"][name]


def served(service: dict[str, Any]) -> dict[str, Any]:
    word, *flags = service["command"]
    assert word == "serve"
    return parsed(serve.command, flags)


def test_each_node_is_told_what_serve_takes(node: tuple[str, dict[str, Any]]) -> None:
    name, service = node
    told = served(service)
    options = ServeOptions(
        data_dir=told["data_dir"],
        listen=told["listen"],
        advertise=told["advertise"],
        name=told["name"],
        machine=load_machine(told["machine"]),
        insecure=told["insecure"],
    )
    assert options.display_name == name
    assert str(options.advertise) == f"{name}:{options.listen.port}"
    assert options.listen.wildcard, "the published port leads to the container's own address"


def test_each_node_has_a_volume_of_its_own_that_outlives_its_container(
    node: tuple[str, dict[str, Any]],
) -> None:
    name, service = node
    volume, _, place = service["volumes"][0].partition(":")
    assert (volume, len(service["volumes"])) == (name, 1)
    assert volume in COMPOSE["volumes"]
    assert served(service)["data_dir"].is_relative_to(place)
    assert f"install -d -o raftlog -g raftlog -m 0700 {place}" in DOCKERFILE


def test_ports_are_published_on_loopback_only_and_differ() -> None:
    published = [port for name in NODES for port in COMPOSE["services"][name]["ports"]]
    assert published == [f"127.0.0.1:700{number}:7001" for number in (1, 2, 3)]
    assert {served(COMPOSE["services"][name])["listen"].port for name in NODES} == {7001}


def test_a_node_has_the_time_that_its_drain_takes_and_gets_its_signals(
    node: tuple[str, dict[str, Any]],
) -> None:
    _, service = node
    assert seconds(service["stop_grace_period"]) >= 2 * served(service)["drain"]
    assert service["init"] is True
    assert 'ENTRYPOINT ["raftlog"]' in DOCKERFILE
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE


def test_the_health_check_asks_the_node_itself_and_gives_it_time(node: tuple[str, dict[str, Any]]) -> None:
    _, service = node
    check = service["healthcheck"]
    kind, program, word, *flags = check["test"]
    assert (kind, program, word) == ("CMD", "raftlog", "status")
    assert parsed(status.command, flags)["addresses"] == (Address("127.0.0.1", 7001),)
    assert seconds(check["timeout"]) < seconds(check["interval"])


def test_init_names_every_node_waits_and_is_not_started_again() -> None:
    service = COMPOSE["services"]["init"]
    word, *flags = service["command"]
    told = parsed(init.command, flags)
    assert word == "init"
    assert [str(each) for each in told["addresses"]] == [f"{name}:7001" for name in NODES]
    assert told["wait"] > 0
    assert "restart" not in service
    assert tuple(service["depends_on"]) == NODES


def test_the_runner_is_not_part_of_up_and_begins_with_a_healthy_cluster() -> None:
    service = COMPOSE["services"]["test"]
    assert service["profiles"] == ["test"]
    assert service["entrypoint"] == ["python", "-m", "jepsen_like"]
    word, *flags = service["command"]
    assert word == against.name
    assert parsed(against, flags)["addresses"] == tuple(f"{name}:7001" for name in NODES)
    conditions = {name: wanted["condition"] for name, wanted in service["depends_on"].items()}
    assert conditions == {"init": "service_completed_successfully"} | dict.fromkeys(NODES, "service_healthy")


def test_the_image_is_built_from_what_the_package_is_made_of_and_runs_as_nobody_much() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert wanted == set(sent)
    assert all((ROOT / name).exists() for name in wanted)
    user = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert user == ["raftlog"]
    assert COMPOSE["x-raftlog"]["build"]["args"]["BASE"] == "python:3.11-slim"
    assert "ARG BASE=python:3.11-slim" in DOCKERFILE
    assert not re.search(r"^(VOLUME|ADD|ENV .*INSECURE)", DOCKERFILE, re.MULTILINE)


def test_no_part_of_the_file_is_younger_than_the_oldest_compose_that_is_promised() -> None:
    """Compose 1.29 refuses what it does not know; newer ones warn of `version`."""
    assert set(COMPOSE) == {"x-raftlog", "x-node", "services", "volumes"}
    known = {
        "image", "build", "init", "restart", "stop_grace_period", "healthcheck", "command", "ports", "volumes",
        "depends_on", "profiles", "entrypoint",
    }  # fmt: skip
    for name, service in COMPOSE["services"].items():
        assert set(service) <= known, name
        assert set(service.get("healthcheck", {})) <= {
            "test",
            "interval",
            "timeout",
            "retries",
            "start_period",
        }
