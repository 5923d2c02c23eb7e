"""The architecture, checked.

1. Packages depend downwards only: pool-core on none of ours, the pools on pool-core alone, nothing
   published on examples, benches or fuzz.
2. Crates that call the operating system are used under each crate's src/sys alone.
3. Within pool-core the modules depend downwards only (RANKS).
4. Unsafe code stands in the files that docs/UNSAFE.md lists. All others forbid it, themselves or by
   a module above them; a file that contains none but whose children are listed cannot say so.
5. No file has more than 600 lines.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SYS = re.compile(r"pool-[a-z]+/src/sys(/|\.rs$)")
OS_CRATES = re.compile(r"\b(libc|rustix|memmap2)::")
MOST_LINES = 600
POOLS = {"pool-arena", "pool-object", "pool-ring"}
PUBLISHED = POOLS | {"pool-core"}

# Modules of pool-core, lowest first: a module may use those of lower ranks and its own room.
RANKS = [
    {"bytes", "mix", "sync", "poison"},
    {"error"},
    {"run", "snapshot", "buddy", "sys"},
    {"level", "pages", "source", "process", "publish", "clock", "hooks"},
    {"budget"},
    {"layer", "source::buddy", "source::fixed", "source::heap", "source::mmap", "source::mirror"},
    {"global", "testing"},
]
# The trait has constructors of layers as provided methods, so that a stack is one expression; and
# `Pages` is the guard that its `pages` returns.
UPWARDS = {("source", "layer"), ("pages", "source"), ("source", "pages")}

errors = []


def fail(text):
    errors.append(text)


def packages():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    metadata = json.loads(subprocess.check_output(command, cwd=ROOT))
    ours = {package["name"] for package in metadata["packages"]}
    for package in metadata["packages"]:
        name = package["name"]
        used = {d["name"] for d in package["dependencies"] if d["name"] in ours}
        if name in PUBLISHED:
            # A crate may depend on itself for its tests, to turn features on.
            for other in used - {"pool-core", name}:
                fail(f"{name} depends on {other}")
        for other in used - PUBLISHED - {name}:
            fail(f"{name} depends on {other}, which is not a library")


def code_of(path):
    """The lines without comments, and without what is only compiled for tests."""
    lines = []
    for line in path.read_text().splitlines():
        if line.strip() == "#[cfg(test)]" or line.startswith("#[cfg(all(test"):
            break
        lines.append(re.sub(r"//.*", "", line))
    return lines


def files():
    names = subprocess.check_output(["git", "ls-files", "*.rs"], cwd=ROOT, text=True).split()
    return [name for name in names if (ROOT / name).exists()]


def room(path, among):
    """The longest listed module that a `::` path of pool-core lies in."""
    parts = path.split("::")
    for length in range(len(parts), 0, -1):
        name = "::".join(parts[:length])
        if name in among:
            return name
    return None


def modules(names):
    rank = {name: number for number, names in enumerate(RANKS) for name in names}
    for name in names:
        if not name.startswith("pool-core/src/") or name.endswith("/lib.rs"):
            continue
        inside = name.removeprefix("pool-core/src/").removesuffix(".rs").removesuffix("/mod")
        here = room(inside.replace("/", "::"), rank)
        if here is None:
            fail(f"{name}: its module has no rank in .ci/layers.py")
            continue
        for number, line in enumerate(code_of(ROOT / name), 1):
            for used in re.findall(r"\bcrate::([a-z_]+(?:::[a-z_]+)*)", line):
                there = room(used, rank)
                same = there is None or there.split("::")[0] == here.split("::")[0]
                if same or (here, there) in UPWARDS:
                    continue
                if rank[there] >= rank[here]:
                    fail(f"{name}:{number}: {here} uses {there}, which does not stand below it")


def operating_system(names):
    for name in names:
        if not name.startswith("pool-") or "/src/" not in name or SYS.match(name):
            continue
        for number, line in enumerate(code_of(ROOT / name), 1):
            if OS_CRATES.search(line):
                fail(f"{name}:{number}: calls the operating system outside of src/sys")


def parents(name):
    """The files of the modules that `name` is in, nearest first."""
    path = pathlib.PurePosixPath(name)
    if path.name == "mod.rs":
        path = path.parent
    while path.parent.name and path.parent.name != "src":
        path = path.parent
        yield from (f"{path}.rs", f"{path}/mod.rs")
    crate = name.split("/src/")[0]
    yield from (f"{crate}/src/lib.rs", f"{crate}/src/main.rs")


def unsafe_code(names):
    listed = set(re.findall(r"^\| `([^`]+\.rs)`", (ROOT / "docs/UNSAFE.md").read_text(), re.M))
    sources = [name for name in names if "/src/" in name]
    text = {name: (ROOT / name).read_text() for name in sources}
    forbids = {name for name in sources if "#![forbid(unsafe_code)]" in text[name]}
    for name in listed - set(sources):
        fail(f"docs/UNSAFE.md lists {name}, which is not there")
    for name in sources:
        if not name.startswith("pool-"):
            continue
        code = "\n".join(re.sub(r"//.*", "", line) for line in text[name].splitlines())
        code = re.sub(r'r#".*?"#', "", code, flags=re.S)
        has = re.search(r"\bunsafe\b(?!_)", code) is not None
        covered = name in forbids or any(parent in forbids for parent in parents(name))
        if name in listed:
            if not has:
                fail(f"docs/UNSAFE.md lists {name}, which has no unsafe code: forbid it there")
        elif has:
            fail(f"{name} has unsafe code and is not in docs/UNSAFE.md")
        elif not covered:
            stem = name.removesuffix(".rs").removesuffix("/mod").removesuffix("/lib")
            root = name.endswith("/src/lib.rs")
            if not root and not any(other.startswith(stem + "/") for other in listed):
                fail(f"{name} has no unsafe code and does not forbid it")


def lengths(names):
    for name in names:
        lines = (ROOT / name).read_text().count("\n")
        if lines > MOST_LINES and "/tests/" not in name and not name.endswith("tests.rs"):
            fail(f"{name} has {lines} lines, of at most {MOST_LINES}")


def main():
    names = files()
    packages()
    modules(names)
    operating_system(names)
    unsafe_code(names)
    lengths(names)
    for error in errors:
        print(error)
    print(f"{len(names)} files, {len(errors)} faults")
    sys.exit(1 if errors else 0)


main()
