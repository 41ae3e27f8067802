"""What could run code of others, tell a secret, open a file or a port to others: none of it is there."""

import ast
import http.server
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from damage import linked
from listening import addresses, family

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/unit"))
import jobs  # noqa: E402

# Code

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
"""Modules whose reading runs what is read."""
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    *("torch.load", "torch.hub.load", "os.system", "os.popen", "subprocess.getoutput", "pandas.read_pickle"),
    *("subprocess.getstatusoutput", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "pd.read_pickle"),
}
SETTINGS = {"allow_pickle": False, "shell": False, "trust_remote_code": False, "weights_only": True}
"""Arguments that may only have this value."""
LOADERS = {"LOADER", "configs.LOADER", "yaml.SafeLoader", "yaml.CSafeLoader"}
"""What yaml.load may be given; LOADER is one of the other two, see below."""


def dangers(source):
    """What in Python ``source`` could run what it reads: texts with the line of each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [name.name for name in node.names]
            names += (
                [f"{node.module}.{name}" for name in names] + [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            bad = {name for name in names if name.split(".")[0] in MODULES or name in CALLS}
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            bad = {name} & (BUILTINS | CALLS)
            for keyword in node.keywords:
                allowed = SETTINGS.get(keyword.arg, ...)
                if allowed is not ... and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is allowed
                ):
                    bad.add(ast.unparse(keyword))
            if name == "yaml.load":
                loaders = {ast.unparse(k.value) for k in node.keywords if k.arg == "Loader"}
                loaders |= {ast.unparse(argument) for argument in node.args[1:]}
                if len(loaders) != 1 or not loaders <= LOADERS:
                    bad.add(ast.unparse(node))
        else:
            continue
        found += [f"line {node.lineno}: {text}" for text in sorted(bad)]
    return found


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads", "import a, marshal", "from torch import load"),
        *("eval(a)", "exec(a)", "compile(a, b, c)", "__import__(a)", "torch.load(a)", "os.system(a)"),
        *("np.load(a, allow_pickle=True)", "np.load(a, allow_pickle=b)", "run(a, shell=True)"),
        *("yaml.load(a)", "yaml.load(a, Loader=yaml.Loader)", "yaml.load(a, yaml.FullLoader)"),
        *("f(trust_remote_code=True)", "f(weights_only=False)", "yaml.unsafe_load(a)"),
    ],
)
def test_dangers_are_found(source):
    assert dangers(source)


def test_nothing_that_is_read_can_run_code():
    paths = sorted((ROOT / "workflow").rglob("*.py"))
    assert len(paths) > 100
    found = {path.name: dangers(path.read_text(encoding="utf-8")) for path in paths}
    assert not {name: lines for name, lines in found.items() if lines}
    configs = ROOT / "workflow/scripts/scaling/configs.py"
    assert 'LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)' in configs.read_text(encoding="utf-8")


def test_no_rule_runs_what_it_reads():
    """Rules are no Python that a parser would take: they are looked through as text."""
    words = "|".join([*MODULES, "allow_pickle", "trust_remote_code", r"yaml\.load", r"shell *= *True"])
    forbidden = re.compile(rf"\b({words}|(?<![.\w])({'|'.join(BUILTINS)})\()|torch\.load\(|os\.system\(")
    paths = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]
    assert len(paths) > 5
    found = {path.name: forbidden.search(path.read_text(encoding="utf-8")) for path in paths}
    assert not {name: match[0] for name, match in found.items() if match}


# Locks


@pytest.mark.parametrize("name", ["run", "dev", "audit"])
def test_locks_hold_versions_and_checksums_only(name):
    text = (ROOT / f"envs/{name}.lock").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    pin = re.compile(
        r"([a-z0-9-]+)(\[[a-z0-9,-]+\])?==[\w.+!]+( ; [^#:@/]+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
    )
    matches = [(line, pin.fullmatch(line.rstrip())) for line in lines]
    assert not [line[:80] for line, match in matches if not match], "no address, path, index or bare name"
    wanted = (ROOT / f"envs/{name}.in").read_text(encoding="utf-8").splitlines()
    wanted = {re.split(r"[^\w.-]", line)[0].lower() for line in wanted if line and line[0] not in "#-"}
    assert wanted
    assert wanted <= {match[1] for _, match in matches}, "make lock has not been run since"


# Permissions


def test_what_is_written_has_the_permissions_of_the_umask(smoke, tmp_path):
    """0644 and 0755 under a umask of 022: as a file and folder that are made here."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "file").touch()
    usual = [stat.S_IMODE(path.stat().st_mode) for path in (made / "file", made)]
    paths = list((smoke.root / "results").rglob("*"))
    assert len(paths) > 300
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    found = {path: oct(mode) for path, mode in modes.items() if mode != usual[path.is_dir()]}
    assert not found
    assert not [path for path in paths if path.is_symlink() or (path.is_file() and modes[path] & 0o111)]


# Secrets

PASSWORD, TOKEN = "SECRETpassword", "hf_SECRETtoken"


def told(project):
    """Files of a project, as text in bytes, that have a secret in their content or name."""
    places = [project.root / name for name in ("results", ".snakemake")]
    paths = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert paths
    return [path for path in paths if b"SECRET" in str(path).encode() + path.read_bytes()]


@pytest.fixture
def secretive(smoke, tmp_path):
    """The smoke study's project, with secrets in the environment and nothing that can be fetched."""
    project = linked(smoke, tmp_path / "project")
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del project.environment[name]
    project.environment |= {
        "PIP_INDEX_URL": f"https://user:{PASSWORD}@127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hub"),
    }
    return project


def test_secrets_are_not_told_when_a_wheel_cannot_be_fetched(secretive):
    for path in (secretive.root / "results").rglob("*.whl"):
        path.unlink()
    result = secretive.snakemake("--forcerun", "wheel", "--until", "wheel")
    assert result.returncode != 0
    assert "error: cannot fetch " in result.stdout
    assert "SECRET" not in result.stdout
    assert told(secretive) == []


class Refusing(http.server.BaseHTTPRequestHandler):
    """A hub that lets nobody in and says again what it was told."""

    def do_GET(self):
        told = self.headers.get("Authorization", "")
        self.server.told.append(told)
        self.send_response(401)
        self.send_header("X-Error-Message", f"Invalid credentials {told}")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.told = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_secrets_are_not_told_when_the_hub_lets_nobody_in(secretive, refusing):
    secretive.environment["HF_ENDPOINT"] = f"http://127.0.0.1:{refusing.server_port}"
    study = yaml.safe_load((secretive.root / "corpus.yaml").read_text())
    study["corpus"] = {"name": "far", "sources": [{"hub": "some/thing", "revision": "main"}], "shards": 1}
    (secretive.root / "test.yaml").unlink()
    (secretive.root / "test.yaml").write_text(yaml.safe_dump(study))
    result = secretive.snakemake("--until", "sources")
    assert result.returncode != 0
    assert "error: " in result.stdout
    assert "some/thing" in result.stdout
    assert f"Bearer {TOKEN}" in refusing.told
    assert "SECRET" not in result.stdout
    assert told(secretive) == []


def test_an_address_with_a_password_is_refused(smoke, tmp_path):
    project = linked(smoke, tmp_path / "project")
    file = f"https://user:{PASSWORD}@example.org/runs.csv"
    columns = {name: name for name in ("run", "N", "loss")}
    study = {"study": "other", "finished": {"file": file, "sha256": "0" * 64, "columns": columns}}
    (project.root / "other.yaml").write_text(yaml.safe_dump(study))
    result = subprocess.run(
        [Path(sys.executable).parent / "snakemake", "-n", "--configfile", "other.yaml"],
        cwd=project.root, env=project.environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert result.returncode != 0
    assert "finished.file: found an address with a user or password in it" in result.stdout
    assert "Traceback" not in result.stdout
    assert "SECRET" not in result.stdout


# Ports

LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF0000" + "0100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1 as a kernel of a little-endian machine writes them."""


@pytest.mark.parametrize("processes", [1, 2])
def test_training_listens_to_this_machine_alone(tmp_path, processes):
    jobs.write_data(tmp_path)
    run = jobs.RUN | {"dropout": 0.0, "S": 10**5, "horizon": 10**5}
    more = ["--processes", "2", "--threads", "2"] if processes > 1 else []
    process = jobs.start(tmp_path, *more, run=run, eager=True)
    try:
        jobs.wait_for_step(tmp_path, 3)
        members = family(process.pid)
        assert len(members) >= processes
        found = addresses(members)
    finally:
        process.terminate()
        jobs.finish(process)
    assert found <= LOOPBACK
    assert bool(found) == (processes > 1), "two talk by sockets, one has none"
