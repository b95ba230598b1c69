"""Makes a kept corpus anew: keep.py KEPT SMALL. Files with a name of their own (seeds, findings) stay; of libFuzzer's,
which are named by their SHA-1, as many of SMALL as the bounds allow, evenly spread over their sizes."""

import pathlib
import re
import sys

FILES_MAX = 200
BYTES_MAX = 300_000
HASHED = re.compile(r"[0-9a-f]{40}")


def main() -> int:
    kept, small = map(pathlib.Path, sys.argv[1:3])
    named = [p for p in kept.iterdir() if not HASHED.fullmatch(p.name)]
    files, size = len(named), sum(p.stat().st_size for p in named)
    contents = {p.read_bytes() for p in named}
    found = sorted((p for p in small.iterdir() if p.read_bytes() not in contents), key=lambda p: p.stat().st_size)
    step = max(1, -(-len(found) // max(1, FILES_MAX - files)))
    chosen = found[::step]
    while chosen and size + sum(p.stat().st_size for p in chosen) > BYTES_MAX:
        chosen.pop()
    texts = {p.name: p.read_bytes() for p in chosen}
    for path in kept.iterdir():
        if HASHED.fullmatch(path.name):
            path.unlink()
    for name, text in texts.items():
        (kept / name).write_bytes(text)
    print(f"{kept.name}: {files} named, {len(texts)} of {len(found)} others, {size + sum(map(len, texts.values()))} bytes")
    return 0


sys.exit(main())
