"""Nights between containers: a Linux server, a manager that runs snapmirror, and Samba in the place of Windows.

By pytest-docker and Debian's docker-compose, in networks of their own: only the manager sees both others. The image is
a file on the SMB share (SMB 3.1.1, encrypted), is unlocked and loop-mounted by the manager, and mirrors the server over
ssh; what comes out is compared with the server's tree of each night, on a copy of the image taken from Samba's disk.

What this is not: containers have no kernel of their own, and this one may have neither cifs nor dm-crypt. So smbnetfs
(FUSE, user space) stands for the kernel's cifs and for [share], and qemu-storage-daemon for dm-crypt. smbnetfs never
sends a flush and makes up its free space: nothing here says anything on durability or speed, on the guard's look at the
Windows volume, or on an SMB server that goes away. The helper VM's tests do. Samba is a stand-in for Windows, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_docker.plugin import Services

from tests.e2e.containers import debian
from tests.e2e.containers.daemon import COMPOSE, Daemon, dockerd_running
from tests.e2e.containers.scene import PROJECT, SHARE, Containers, make_secrets, new_key
from tests.support.fingerprint import Fingerprint, compare, fingerprint
from tests.support.outside import opened_by_hand
from tests.support.runner import LONG, REPOSITORY
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1800)

BASE = "snapmirror-test-base"
MARKER = "these words must not be readable on the share"


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    base = debian.base_tar()
    with dockerd_running() as running:
        running.docker("import", base, BASE)
        yield running


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("containers")
    make_secrets(folder)
    return folder


# pytest-docker expects compose 2; Debian 12 has 1.29.


@pytest.fixture(scope="session")
def docker_compose_command(daemon: Daemon, folder: Path) -> str:
    values = {"BASE": BASE, "SCENE": folder, "PACKAGES": debian.python_packages(), "REPOSITORY": REPOSITORY}
    settings = folder / "compose.env"
    settings.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    # it builds by itself: the docker on PATH that it would use may be another one
    return f'env COMPOSE_DOCKER_CLI_BUILD=0 {COMPOSE} --host "{daemon.host}" --env-file "{settings}"'


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(Path(__file__).parent / "containers/docker-compose.yml")


@pytest.fixture(scope="session")
def docker_compose_project_name() -> str:
    return PROJECT


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --build --detach"]


@pytest.fixture(scope="session")
def containers(docker_services: Services, daemon: Daemon, folder: Path) -> Containers:
    """All three answer, the server is trusted, and the image stands on the share."""
    containers = Containers(daemon, folder)
    for service, port in (("server", 22), ("samba", 445)):
        docker_services.wait_until_responsive(
            lambda name=service, to=port: containers.reaches("manager", name, to), timeout=120, pause=0.2
        )
    # smbnetfs looks for the server when somebody asks, and may have asked too early
    seen = ["stat", "--format=%F", str(SHARE)]
    docker_services.wait_until_responsive(
        lambda: containers.run("manager", *seen, ok=(0, 1)).strip() == "directory", timeout=120, pause=0.5
    )
    containers.trust_server()
    containers.configure("web")
    containers.snapmirror("web", "init")
    assert not containers.left_on_manager()
    return containers


def test_only_the_manager_sees_both_others(containers: Containers, daemon: Daemon) -> None:
    server, samba = containers.address("server", "wide"), containers.address("samba", "office")
    assert containers.reaches("manager", server, 22)
    assert containers.reaches("manager", samba, 445)
    assert not containers.reaches("server", samba, 445)
    assert not containers.reaches("samba", server, 22)
    # and the daemon's network, which is not this machine's, leads nowhere else
    links = Path(f"/proc/{daemon.process.pid}/net/dev").read_text().splitlines()[2:]
    assert {line.strip().partition(":")[0].partition("-")[0][:4] for line in links} == {"lo", "br", "veth"}, links


def test_the_share_is_spoken_to_in_encrypted_smb3(containers: Containers) -> None:
    containers.run("manager", "ls", str(SHARE))
    status = containers.run("samba", "smbstatus", "--processes").splitlines()
    [session] = [line for line in status if "SMB3_11" in line]
    assert "AES-128-GCM" in session or "AES-256-GCM" in session, session


DAYS = (
    """
    mkdir /srv/web; cd /srv/web
    cp --archive /etc etc
    head --bytes=24M /dev/urandom >disk.img
    printf '%s\n' "$MARKER" >words; chmod 640 words; chown 33:33 words
    ln words same-words; ln --symbolic words 'a link -> b'; mkfifo pipe; truncate --size=3M sparse
    mkdir --mode=2775 'with space'; touch $'with space/new\nline' $'caf\xe9'
    setfattr --name=user.origin --value=night words; setfacl --modify=user:1000:rw etc/hostname
    touch --date='2001-02-03 04:05:06.789' etc/issue
    """,
    """
    cd /srv/web
    chmod 600 etc/passwd; chown 1000:1000 etc/group        # attributes only: sealed files must keep theirs
    echo more >>words                                      # through the hard link
    rm --recursive etc/ssh; mkdir new; mv etc/issue new/
    dd if=/dev/urandom of=disk.img bs=4096 count=2 seek=1000 conv=notrunc status=none
    """,
    """
    cd /srv/web
    rm pipe; echo now a file >pipe; ln --symbolic --force --no-dereference nowhere 'a link -> b'
    rm same-words; cp --archive words same-words            # no longer linked
    dd if=/dev/urandom of=disk.img bs=4096 count=1 seek=5000 conv=notrunc status=none
    """,
)


def test_nights(containers: Containers, folder: Path, tmp_path: Path) -> None:
    """Three nights, a restore here and one back to the server; then the image, as Samba's disk has it."""
    nights: dict[str, Fingerprint] = {}
    moved = []
    for number, day in enumerate(DAYS):
        containers.shell("server", day.replace("$MARKER", MARKER))
        now = containers.tree("server", "/srv/web", tmp_path / f"day{number}")
        report = containers.snapmirror("web", "run", "--json").mirror
        nights[report["snapshot"]] = now
        moved.append(report["bytes_transferred"])
        assert not containers.left_on_manager()
    assert moved[0] > 24 << 20
    assert max(moved[1:]) < 1 << 20, f"a change of a few blocks moved {moved}"
    newest, middle, oldest = sorted(nights, reverse=True)
    listed = containers.snapmirror("web", "list", "--json").json
    assert [(entry["slot"], entry["id"]) for entry in listed] == [(1, newest), (2, middle), (3, oldest)]

    verified = containers.snapmirror("web", "verify", "--full")
    assert "no damage" in verified.stdout
    containers.snapmirror("web", "restore", oldest, "/", "--to", "/root/oldest", "--yes")
    _same(nights[oldest], containers.tree("manager", "/root/oldest", tmp_path / "restored"))
    # the key that may write is another one, and so is its configuration
    containers.configure("web", identity="id_restore", file="push")
    containers.shell("server", "rm --recursive /srv/web/etc /srv/web/words; echo bad >/srv/web/pipe")
    containers.snapmirror("push", "restore", "newest", "/", "--push", "--yes")
    _same(nights[newest], containers.tree("server", "/srv/web", tmp_path / "pushed"))
    assert not containers.left_on_manager()

    share = containers.fetched("samba", "/srv/backup", tmp_path / "share")
    assert (share / "snapmirror.img").stat().st_blocks * 512 < 400 << 20, "the image is not sparse"
    for path in share.iterdir():
        assert MARKER.encode() not in path.read_bytes(), f"{path.name} is not encrypted"
    with opened_by_hand(share / "snapmirror.img", folder / "manager/image.key", tmp_path / "outside") as store:
        assert sorted(path.name for path in (store / "web/by-date").iterdir()) == sorted(nights)
        for snapshot, tree in nights.items():
            _same(tree, fingerprint((store / "web/by-date" / snapshot).resolve()))


def test_a_server_that_shows_another_host_key_is_refused(containers: Containers) -> None:
    containers.shell("server", "mkdir /srv/refused; echo hello >/srv/refused/file")
    new_key(containers.folder / "other_host")
    for known, key in (("unknown_host", ""), ("wrong_host", (containers.folder / "other_host.pub").read_text())):
        (containers.folder / f"manager/{known}").write_text(f"server {key}" if key else "")
        containers.configure("refused", known_hosts=known)
        refused = containers.snapmirror("refused", "run", expect=12)
        assert "Host key verification failed" in refused.stderr
        assert containers.snapmirror("refused", "list", "--json").json == []
        assert not containers.left_on_manager()
    containers.configure("refused")
    containers.snapmirror("refused", "run")


# ssh needs two minutes to be sure that nobody answers, so the cable is left to the long form
@pytest.mark.parametrize("fault", ["server stops", "cable out"] if LONG else ["server stops"])
def test_a_server_that_goes_away_costs_one_night(containers: Containers, tmp_path: Path, fault: str) -> None:
    """The night ends by itself with the code of a failed transfer; the next one goes on with what was fetched."""
    name = fault.split()[0]
    containers.shell("server", f"mkdir /srv/{name}; echo first >/srv/{name}/small")
    containers.configure(name)
    containers.snapmirror(name, "run")
    before = containers.snapmirror(name, "list", "--json").json
    first = containers.tree("server", f"/srv/{name}", tmp_path / "first")
    containers.shell("server", f"cd /srv/{name}; echo second >>small; head --bytes=12M /dev/urandom >large")

    containers.configure(name, more='bandwidth_limit = "1M"')
    process = containers.start(name, "run")
    half = ["find", f"/srv/snapmirror/{name}/.snapmirror", "-type", "f", "-size", "+2M"]
    until(lambda: containers.run("manager", *half, ok=(0, 1)) != "", "2 MB of the large file were there")
    server = containers.name("server")
    if fault == "server stops":
        containers.daemon.docker("kill", server)
    else:
        containers.daemon.docker("network", "disconnect", f"{PROJECT}_wide", server)
    containers.finish(process, expect=12)
    assert not containers.left_on_manager()
    assert containers.snapmirror(name, "list", "--json").json == before

    if fault == "server stops":
        containers.daemon.docker("start", server)
    else:
        containers.daemon.docker("network", "connect", "--alias", "server", f"{PROJECT}_wide", server)
    until(lambda: containers.reaches("manager", "server", 22), "the server was back")
    containers.configure(name)
    now = containers.tree("server", f"/srv/{name}", tmp_path / "now")
    report = containers.snapmirror(name, "run", "--json").mirror
    assert report["bytes_transferred"] < 11 << 20, "nothing of the broken night was used"
    containers.snapmirror(name, "restore", "1", "/", "--to", f"/root/{name}", "--yes")
    _same(now, containers.tree("manager", f"/root/{name}", tmp_path / "restored"))
    containers.snapmirror(name, "restore", "2", "/", "--to", f"/root/{name}.first", "--yes")
    _same(first, containers.tree("manager", f"/root/{name}.first", tmp_path / "restored first"))


def _same(wanted: Fingerprint, found: Fingerprint) -> None:
    lines = compare(wanted, found)
    assert not lines, "\n".join(lines)
