"""Rules for the repository as a whole: formatted sources, no file past its size, a README in each folder."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = {".h", ".cc", ".cu", ".cuh"}
LINES_MAX = 600
TUNED_KERNEL_LINES_MAX = 900  # one tuned kernel
GENERATED = {"engine/tokenizer/unicode_tables.cc", "engine/encoder/bert_tables.cc"}
FOLDERS = ["base", "kernels", "engine", "cache", "gateway", "configs", "tests", "bench", "models", "scripts", "docs", "deploy"]


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    skip = {"build", ".git"}
    return [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*")
            if p.is_file() and not skip & set(p.relative_to(ROOT).parts)]


def main() -> int:
    names = tracked()
    sources = [n for n in names if pathlib.Path(n).suffix in SOURCES]
    found = []
    for name in sources:
        limit = TUNED_KERNEL_LINES_MAX if name.endswith((".cu", ".cuh")) else LINES_MAX
        lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
        if lines > limit and name not in GENERATED:
            found.append(f"{name}: {lines} lines, at most {limit}: would two files with two names read better?")
    for folder in FOLDERS:
        if not (ROOT / folder / "README.md").is_file():
            found.append(f"{folder}/README.md is missing")
    style = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *[n for n in sources if n not in GENERATED]], cwd=ROOT,
                           capture_output=True, text=True)
    if style.returncode != 0:
        found.append("not formatted (clang-format-14 -i mends it):\n" + "\n".join(style.stderr.splitlines()[:20]))
    print("\n".join(found) or f"{len(names)} files, {len(sources)} sources: rules kept")
    return 1 if found else 0


sys.exit(main())
