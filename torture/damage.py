"""A full disk, a clock that is set back, leftover drafts, and files changed by hand."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from brewery_assets.lake.lake import MANIFEST
from brewery_assets.operations import verify
from brewery_assets.operations.platform import LAYERS
from torture.trial import Outcome, Trial, outcome, run
from torture.world import Ended, Universe, World

DRAFTS = 3_000
SIZES = (0, 50, 200, 400, 600, 800, 1000, 1400)  # KB that are free when the run begins
MOUNT, UMOUNT = (shutil.which(name) for name in ("mount", "umount"))
FAKETIME = shutil.which("faketime")


def of_disks(universe: Universe, random: Random) -> Iterator[Trial]:
    """The lake's disk is full at some stage: a small tmpfs, which usually only root can mount."""
    del random
    if not _can_mount(universe.folder / "mounted"):
        return
    for free in SIZES:

        def act(world: World, free: int = free) -> Outcome:
            return _on_small_disk(world, free * 1000)

        yield Trial("disk", "folder", f"{free} KB free on the lake's disk", act)


def of_clocks(universe: Universe, random: Random) -> Iterator[Trial]:
    """The clock is set back between two runs; faketime(1) sets the first run's clock ahead."""
    del universe, random
    if not FAKETIME:
        return
    for ahead in ("+90s", "+5h", "+30d"):

        def act(world: World, ahead: str = ahead) -> Outcome:
            library = "/usr/$LIB/faketime/libfaketime.so.1"
            running = world.start(
                LD_PRELOAD=library, FAKETIME=ahead, FAKETIME_DONT_FAKE_MONOTONIC="1"
            )
            first = running.wait()
            running.kill_rest()  # under faketime, Dagster's readers of its logs do not end
            if first.code:
                return outcome(first, "the run with the clock ahead failed")
            world.truth = world.truth[:-1]
            world.api.rows[:] = world.truth
            return run(world)

        yield Trial("clock", "folder", f"clock set back by {ahead[1:]} after a run", act)


def of_drafts(universe: Universe, random: Random) -> Iterator[Trial]:
    """Thousands of folders that killed runs have left."""
    del universe, random

    def act(world: World) -> Outcome:
        for number in range(DRAFTS):
            draft = Path(world.uri) / LAYERS[number % 3] / f"20260101T{number:06}Z-deadbeef"
            draft.mkdir()
            (draft / "part.parquet").write_bytes(b"PAR1")
        return run(world)

    yield Trial("drafts", "folder", f"{DRAFTS:,} leftover drafts", act)


def of_hands(universe: Universe, random: Random) -> Iterator[Trial]:
    """Somebody changes a published snapshot. `verify` must name it, and a copy must repair it."""
    del universe
    for how in HANDS:
        for layer in LAYERS:
            seed = random.randrange(10**6)

            def act(world: World, how: str = how, layer: str = layer, seed: int = seed) -> Outcome:
                return _by_hand(world, how, layer, Random(seed))

            yield Trial("hands", "folder", f"{layer}: {how}", act)


def _on_small_disk(world: World, free: int) -> Outcome:
    lake, aside = Path(world.uri), world.folder / "aside"
    shutil.move(lake, aside)
    lake.mkdir()
    used = sum(
        -(-file.stat().st_size // 4096) * 4096 for file in aside.rglob("*") if file.is_file()
    )
    _mount(f"size={used + free}", lake)
    try:
        shutil.copytree(aside, lake, dirs_exist_ok=True)
        ended = world.run()
        kept = world.folder / "kept"
        shutil.copytree(lake, kept)
    finally:
        subprocess.run([UMOUNT or "", str(lake)], check=True)  # noqa: S603
    shutil.rmtree(lake)
    shutil.move(kept, lake)
    named = "space" in ended.said or not ended.code
    return outcome(ended, *([] if named else ["the error does not name the full disk"]))


def _can_mount(folder: Path) -> bool:
    if not MOUNT or not UMOUNT:
        return False
    folder.mkdir()
    try:
        _mount("size=4096", folder)
    except subprocess.CalledProcessError:
        return False
    subprocess.run([UMOUNT, str(folder)], check=True)  # noqa: S603
    return True


def _mount(option: str, folder: Path) -> None:
    command = [MOUNT or "", "-t", "tmpfs", "-o", option, "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def _by_hand(world: World, how: str, layer: str, random: Random) -> Outcome:
    lake = world.lake
    newest = lake.newest(layer)
    assert newest  # noqa: S101  # the lake began with one
    folder = Path(lake.storage.uri(newest.folder))
    copy = world.folder / "copy"
    shutil.copytree(folder, copy)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    if not files and "manifest" not in how and "added" not in how:
        return Outcome("has no files")
    HANDS[how](folder, random.choice(files) if files else folder / "none", random)
    ended: Ended = world.run()
    faults = []
    text, whole = verify.report(world.lake)
    if whole:
        faults.append("verify did not find it")
    elif "DAMAGED" not in text:
        faults.append("verify does not say what is damaged")
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    return outcome(ended, *faults)


def _cut(folder: Path, file: Path, random: Random) -> None:
    del folder
    content = file.read_bytes()
    file.write_bytes(content[: random.randrange(len(content))])


def _change(folder: Path, file: Path, random: Random) -> None:
    del folder
    content = bytearray(file.read_bytes())
    at = random.randrange(len(content))
    content[at] ^= 1 << random.randrange(8)
    file.write_bytes(bytes(content))


def _delete(folder: Path, file: Path, random: Random) -> None:
    del folder, random
    file.unlink()


def _add(folder: Path, file: Path, random: Random) -> None:
    del random
    source = file if file.exists() else folder / MANIFEST
    shutil.copy(source, folder / f"added-{source.name}")


def _cut_manifest(folder: Path, file: Path, random: Random) -> None:
    _cut(folder, folder / MANIFEST, random)
    del file


def _foreign_manifest(folder: Path, file: Path, random: Random) -> None:
    del file, random
    others = [
        path for path in folder.parent.parent.glob(f"*/*/{MANIFEST}") if path.parent != folder
    ]
    shutil.copy(others[0], folder / MANIFEST)


HANDS: dict[str, Callable[[Path, Path, Random], None]] = {
    "a file cut": _cut,
    "one bit of a file changed": _change,
    "a file deleted": _delete,
    "a file added": _add,
    "the manifest cut": _cut_manifest,
    "the manifest of another layer": _foreign_manifest,
}
