"""Code snippets run and send the contents of the page, with any characters. The tests really run each of them."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ui.snippets import SNIPPETS, Ask, File

NASTY = 'it\'s "q" \\n C:\\users\\new $(id) `id` ${x} {y} !! %s\n<script></script> \u2028 茶 🚗'
PICTURE = b"\x89PNG not really"
# Stand-ins for the functions that the snippets call. They print the body that would have been sent.
RUN = {
    "Python": [sys.executable, "snippet"],
    "curl": ["bash", "snippet"],
    "JavaScript": ["node", "--input-type=module"],
}
PYTHON = """
import json, sys, types
def rerank(request_options=None, **body):
    print(json.dumps({**body, **(request_options or {}).get("additional_body_parameters", {})}))
    return types.SimpleNamespace(results=[])
fake = types.ModuleType("cohere")
fake.ClientV2 = lambda api_key, base_url: types.SimpleNamespace(rerank=rerank)
sys.modules["cohere"] = fake
"""
BASH = """
curl() { while [ "$1" != --data-binary ]; do shift; done; case "$2" in @-) cat;; *) printf %s "$2";; esac; }
"""
NODE = """
globalThis.fetch = async (url, { body }) => {
  console.log(body);
  return { ok: true, json: async () => ({ results: [] }) };
};
"""
BEFORE = {"Python": PYTHON, "curl": BASH, "JavaScript": ""}


def sent(language: str, ask: Ask, folder: Path) -> dict[str, Any]:
    snippet = SNIPPETS[language](ask)
    if language == "JavaScript":
        if not shutil.which("node"):
            pytest.skip("node is not installed")
        head, _, rest = snippet.rpartition("\n\n") if snippet.startswith("import") else ("", "", snippet)
        command, code, stdin = RUN[language], "", f"{head}\n{NODE}\n{rest}"
    else:
        command, code, stdin = RUN[language], BEFORE[language] + snippet, ""
    (folder / "snippet").write_text(code, encoding="utf-8")
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, cwd=folder, timeout=30, check=True)
    body: dict[str, Any] = json.loads(done.stdout)
    return body


@pytest.mark.parametrize("language", SNIPPETS)
def test_what_runs_sends_the_texts_as_they_are(language: str, tmp_path: Path) -> None:
    ask = Ask("http://127.0.0.1:8000/", "it's", NASTY, ["-a", NASTY, ""], 2, NASTY)
    body = sent(language, ask, tmp_path)
    assert body == {"model": "it's", "query": NASTY, "documents": ["-a", NASTY, ""], "top_n": 2, "instruction": NASTY}


@pytest.mark.parametrize("language", SNIPPETS)
def test_what_runs_sends_the_files(language: str, tmp_path: Path) -> None:
    names = ["it's a $(mug).PNG", "clip.mp4"]
    for name in names:
        (tmp_path / name).write_bytes(PICTURE)
    picture, film = File("image", names[0]), File("video", names[1])
    body = sent(language, Ask("http://h", "m", (NASTY, picture), [(film,), "text", (picture, picture)]), tmp_path)
    data = base64.b64encode(PICTURE).decode()
    image, video = f"data:image/png;base64,{data}", f"data:video/mp4;base64,{data}"
    assert body == {
        "model": "m",
        "query": {"text": NASTY, "image": image},
        "documents": [{"video": video}, "text", {"image": [image, image]}],
    }


def test_no_key_of_ours_is_shown() -> None:
    for snippet in SNIPPETS.values():
        assert "YOUR_KEY" in snippet(Ask("http://h", "m", "q", ["d"]))
