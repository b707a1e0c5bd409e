"""Base images where none can be pulled: stand-ins made on this machine from Debian's packages and our own environment.

An engine that holds the real images uses those. A stand-in carries this machine's certificates and index, so that pip
works in the build as it does outside of it, and it loses the real image's name again when the tests are over.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PYTHON, NATS = "python:3.11-slim-bookworm", "nats:2.15-alpine"
LABEL = "callgate.stand-in"
_PACKAGES = "python3,python3-distutils,python3.11-venv,ca-certificates,busybox-static"
_DEBIAN = f"callgate-stand-in/debian:bookworm-{hashlib.sha256(_PACKAGES.encode()).hexdigest()[:12]}"
_PYTHON = "callgate-stand-in/python:3.11"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP = ("index-url", "extra-index-url", "trusted-host", "proxy")


class Unavailable(Exception):
    """Why there can be no base images here."""


def docker(*words: str, data: bytes | None = None, timeout: float = 300) -> str:
    """Standard output of a docker command; CalledProcessError where it fails."""
    # The classic builder: BuildKit would ask a registry about images that only this engine knows.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ("docker", *words), input=data, capture_output=True, timeout=timeout, check=False, env=environment
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, ("docker", *words), done.stdout, done.stderr.decode())
    return done.stdout.decode().strip()


def engine_problem() -> str | None:
    """None where a Docker engine answers."""
    if shutil.which("docker") is None:
        return "no docker command"
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout=20)
    except (subprocess.SubprocessError, OSError):
        return "no Docker engine answers"
    return None


@contextmanager
def base_images() -> Iterator[None]:
    """The images that Dockerfile and compose.yaml name, while the context lasts. Unavailable."""
    lent = []
    try:
        for name, make in ((PYTHON, _python), (NATS, _nats)):
            if _has(name) and not _is_stand_in(name):
                continue
            docker("tag", make(), name)
            lent.append(name)
        yield
    finally:
        for name in lent:
            docker("rmi", name)
        # What former builds on stand-ins left; derived images carry the label too.
        docker("image", "prune", "--force", "--filter", f"label={LABEL}", "--filter", "until=12h")


def _has(image: str) -> bool:
    return bool(docker("images", "--quiet", image))


def _is_stand_in(image: str) -> bool:
    return docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', image) != ""


def _debian() -> str:
    if _has(_DEBIAN):
        return _DEBIAN
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise Unavailable(f"pull {PYTHON} and {NATS}, or run as root where debootstrap is installed")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        command = ("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root))
        made = subprocess.run(command, capture_output=True, timeout=480, check=False)
        if made.returncode:
            raise Unavailable(f"debootstrap failed: {made.stdout.decode(errors='replace')[-300:]}")
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        archive = Path(folder, "root.tar")
        subprocess.run(("tar", "-C", str(root), "-cf", str(archive), "."), check=True)
        docker("import", "--change", f"LABEL {LABEL}=debian", str(archive), _DEBIAN)
    return _DEBIAN


def _python() -> str:
    """What the real image has that we use: `python` and `venv`."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copy(_CERTIFICATES, context / "ca.crt")
        (context / "pip.conf").write_text(_pip_configuration())
        (context / "Dockerfile").write_text(
            f"FROM {_debian()}\n"
            f"COPY ca.crt {_CERTIFICATES}\n"
            "COPY pip.conf /etc/pip.conf\n"
            "RUN ln -s /usr/bin/python3.11 /usr/local/bin/python\n"
            f"LABEL {LABEL}=python\n"
        )
        docker("build", "--quiet", "--tag", _PYTHON, folder)
    return _PYTHON


def _nats() -> str:
    """nats-server of our own environment, and the wget of the real image's busybox."""
    server = Path(sysconfig.get_path("scripts"), "nats-server").read_bytes()
    image = f"callgate-stand-in/nats:{hashlib.sha256(server).hexdigest()[:12]}"
    if _has(image):
        return image
    container = docker("create", _debian(), "true")
    try:
        copied = subprocess.run(("docker", "cp", f"{container}:/bin/busybox", "-"), capture_output=True, check=True)
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as archive:
        member = archive.extractfile("busybox")
        assert member is not None
        busybox = member.read()
    root = io.BytesIO()
    with tarfile.open(fileobj=root, mode="w") as archive:
        for name, content in (("usr/local/bin/nats-server", server), ("bin/busybox", busybox)):
            _add(archive, name, content)
        link = tarfile.TarInfo("bin/wget")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        archive.addfile(link)
    changes = ("--change", "ENV PATH=/usr/local/bin:/bin", "--change", f"LABEL {LABEL}=nats")
    docker("import", *changes, "-", image, data=root.getvalue())
    return image


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, io.BytesIO(content))


def _pip_configuration() -> str:
    """This machine's index, as far as a container can reach it: no folders of ours."""
    pip = Path(sysconfig.get_path("scripts"), "python")
    listed = subprocess.run((str(pip), "-m", "pip", "config", "list"), capture_output=True, text=True, check=False)
    lines = ["[global]", f"cert = {_CERTIFICATES}", "timeout = 120", "disable-pip-version-check = true"]
    settings: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        settings.setdefault("proxy", proxy)
    for key in _PIP:
        words = [word for word in settings.get(key, "").split() if not word.startswith(("file:", "/"))]
        if words:
            lines.append(f"{key} = {' '.join(words)}")
    return "\n".join(lines) + "\n"
