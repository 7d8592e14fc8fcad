"""Making a task ready to start: its command, its variables, its directory.

What a task's environment is, in the order in which a later one wins (HTTP API, sections 8 and 12;
architecture, "Environments"):

1. ``HOME``, ``USER``, ``LOGNAME``, ``SHELL``, ``PATH``, locale and time zone of the engine's;
2. the submitter's variables that `SUBMITTER_VARIABLES` names, and no others;
3. ``PYTHONUNBUFFERED=1``, and ``CUDA_VISIBLE_DEVICES`` on a machine with GPUs;
4. what the user's ``--env`` says, word for word;
5. what identifies the task and its inputs, which nobody can change.

Unless the user's own ``PATH`` says otherwise, it begins with a directory that holds ``python`` and
``python3`` of the submitting kernel's interpreter (a script that runs it, since a link would lose a
virtual environment), and with that interpreter's own directory. ``ANYLEARN_AUTH_TOKEN`` is never
set: published clients would open a session with it on import, and fail. Without a session they
report metrics to ``http://anylearn-backend.<BACKEND_NAMESPACE>/api``, a name that only a cluster
resolves; so the namespace holds an ``@``: what stands before it in a URL is a user's name, and the
engine's address becomes the host.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from anylearn_jupyter.engine import ranks
from anylearn_jupyter.engine.checkout import CheckoutFailed, check_out
from anylearn_jupyter.engine.processes import system
from anylearn_jupyter.engine.spare_code import SpareCode
from anylearn_jupyter.engine.task_files import OutputRefused, TaskFiles, write_record
from anylearn_jupyter.home import make_private_directory

if TYPE_CHECKING:
    from anylearn_jupyter.engine.store import TaskRow

SUBMITTER_VARIABLES = (
    "PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHASHSEED",
    "PYTHONUTF8",
    "PYTHONIOENCODING",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NUMERIC",
    "LC_TIME",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "TRANSFORMERS_CACHE",
    "TRANSFORMERS_OFFLINE",
    "TORCH_HOME",
    "TORCH_EXTENSIONS_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "KERAS_HOME",
    "KERAS_BACKEND",
    "TFDS_DATA_DIR",
    "TFHUB_CACHE_DIR",
    "TF_CPP_MIN_LOG_LEVEL",
    "NLTK_DATA",
    "SCIKIT_LEARN_DATA",
    "SENTENCE_TRANSFORMERS_HOME",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_DEVICE_ORDER",
    "NCCL_DEBUG",
    "NCCL_SOCKET_IFNAME",
    "GLOO_SOCKET_IFNAME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "JAVA_HOME",
)
"""The variables of the submitting kernel that reach a task; nothing that may hold a secret.

(So no proxy variables, whose addresses may carry a password, and no ``MPLBACKEND``, which in a
notebook names a backend that works in a kernel only.)
"""

ENGINE_VARIABLES = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""The variables of the engine's own that reach a task."""

MAX_SECRETS = 100
"""Most secrets of a task."""

MAX_SECRETS_BYTES = 1 << 16
"""Most bytes of them all, as JSON text."""

STOP_GRACE_S = 10.0
"""Seconds that a task has between SIGTERM and SIGKILL."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Words that mean the same to every shell: nothing to expand, to assign, to join or to redirect.
_PLAIN = re.compile(r"python3?(?: +(?:[\w./:=,@%+-]|'[^'\0]*')+)* *", re.ASCII)
_SCRATCH, _SPARE = "checkout.git", "spare"


class LaunchRefused(Exception):
    """A task that cannot be made ready; one sentence, for the user."""


class Inputs(Protocol):
    """Where a task's inputs are; the engine's store and blobs answer."""

    def repository(self, algorithm_id: str) -> Path:
        """Give the bare repository of an algorithm's code.

        Raises
        ------
        LookupError
            It is not there (any more); the text is shown to the user.
        """

    def mount(self, resource_id: str) -> Path:
        """Give the unpacked content of a dataset, model or file.

        Raises
        ------
        LookupError
            It is not there (any more); the text is shown to the user.
        """

    def address(self) -> str:
        """Give the engine's address, ``http://127.0.0.1:<port>``."""


def command_line(
    entrypoint: str, params: Mapping[str, Any], prefix: str = "--", delimiter: str = " "
) -> str:
    """Write the shell command of a task.

    The entrypoint, and for each parameter a space, prefix, key, delimiter and value. Text is shell
    text as it came (a placeholder carries its own quotes, and the shell fills it in). ``''`` and an
    empty list are a flag: prefix and key alone. The values of a list follow one key, separated by
    spaces. Numbers are decimal text, booleans ``True`` and ``False``, null ``None``, as Python
    writes them; an object, or a list in a list, is one quoted word of JSON.

    Notes
    -----
    Source: HTTP API, section 8; how values other than text are written is ours to choose
    ("Unknown").
    """
    words = [entrypoint]
    for key, value in params.items():
        values = value if isinstance(value, list) else [value]
        text = " ".join(_shell_text(one) for one in values)
        words.append(f"{prefix}{key}{delimiter}{text}" if text else f"{prefix}{key}")
    return " ".join(words)


def _shell_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        return shlex.quote(json.dumps(value))
    return str(value)


def plain_words(command: str) -> list[str] | None:
    """Give the arguments of a command that runs ``python``, if no shell is needed to read it.

    Returns
    -------
    list of str or None
        Without ``python`` itself. None where only a shell can say.
    """
    return shlex.split(command)[1:] if _PLAIN.fullmatch(command) else None


def task_environment(
    task: TaskRow,
    files: TaskFiles,
    *,
    address: str,
    mounts: Mapping[str, Path],
    allocation: Mapping[str, Any],
    gpus_here: bool,
) -> dict[str, str]:
    """Give the variables of a task; the module's text says where each comes from.

    Raises
    ------
    LaunchRefused
        The user's ``--env`` has a name or a value that no process can have.
    """
    variables = {name: os.environ[name] for name in ENGINE_VARIABLES if name in os.environ}
    variables["PATH"] = os.environ.get("PATH", os.defpath)
    variables |= {
        name: task.submitter_env[name] for name in SUBMITTER_VARIABLES if name in task.submitter_env
    }
    own = Path(task.interpreter or sys.executable).parent
    variables["PATH"] = os.pathsep.join((str(files.bin), str(own), variables["PATH"]))
    variables["PYTHONUNBUFFERED"] = "1"
    if gpus_here:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(allocation.get("gpus", ()))
    for name, value in task.envs.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise LaunchRefused(
                f"The variable {name!r} cannot be set; a name has letters, digits and '_', and a "
                "value no zero byte."
            )
        variables[name] = value
    variables |= {resource: str(path) for resource, path in mounts.items()}
    variables |= {
        "task_id": task.id,
        "secret_key": task.secret_key,
        "ANYLEARN_TASK_ID": task.id,
        "ANYLEARN_HOST": address,
        "BACKEND_NAMESPACE": f"engine@{address.partition('://')[2]}",
        "ANYLEARN_ARTIFACT_IDS": ",".join(mounts),
        "ANYLEARN_USER_ID": task.creator_id,
        "ANYLEARN_PROJECT_ID": task.project_id,
        "ANYLEARN_TASK_OUTPUT_PATH": str(files.output(task.output)),
    }
    for name in ("ANYLEARN_AUTH_TOKEN", "ANYLEARN_AUTH_REFRESH_TOKEN"):
        variables.pop(name, None)
    return variables


def prepare(
    task: TaskRow,
    files: TaskFiles,
    *,
    inputs: Inputs,
    allocation: Mapping[str, Any],
    gpus_here: bool,
    stop_grace_s: float = STOP_GRACE_S,
    spare_code: SpareCode | None = None,
) -> None:
    """Make a task's directory, code and ``launch.json``, which comes last.

    What an engine that died had half prepared is made anew. It runs git and may copy much, so it
    is for a thread. The caller holds the task's lock. `spare_code` is where code may have been
    checked out beforehand.

    Raises
    ------
    LaunchRefused
        An input is missing, the snapshot is refused, the output is not empty in it, or the
        interpreter is gone.
    """
    _clear(files)
    if task.secrets and not files.secrets.exists():
        raise LaunchRefused("The values of its secrets are gone; submit it again.")
    try:
        mounts = {resource: inputs.mount(resource) for resource in dict.fromkeys(task.files)}
        repository = inputs.repository(task.algorithm_id)
    except LookupError as error:
        raise LaunchRefused(str(error.args[0]) if error.args else "An input is missing.") from error
    _write_python(files, task.interpreter or sys.executable)
    try:
        commit = check_out(
            repository,
            task.algorithm_git_ref or "HEAD",
            files.code,
            scratch=files.root / _SCRATCH,
            spare=spare_code.take(repository, files.root / _SPARE) if spare_code else None,
        )
        if spare_code is not None:
            spare_code.used(repository, commit, files.code)
        _check_output(files, task.output)
        variables = task_environment(
            task,
            files,
            address=inputs.address(),
            mounts=mounts,
            allocation=allocation,
            gpus_here=gpus_here,
        )
    except (CheckoutFailed, OutputRefused) as error:
        raise LaunchRefused(str(error)) from error
    record: dict[str, object] = {
        "task_id": task.id,
        "boot": system.boot_id(),
        "commit": commit,
        "cwd": str(files.code),
        "env": variables,
        "cpus": list(allocation.get("cpus", ())),
        "stop_grace_s": stop_grace_s,
        "timeout_s": task.timeout_s,
        "retries": task.retries,
    }
    record |= _started_by(task, files, variables)
    write_record(files.launch, record, durable=True)


def _started_by(task: TaskRow, files: TaskFiles, variables: Mapping[str, str]) -> dict[str, object]:
    """Give the part of the record that says by what the task is started."""
    command = command_line(
        task.entrypoint, task.train_params, task.train_params_prefix, task.train_params_delimeter
    )
    if task.num_nodes * task.nproc_per_node > 1:
        words = (sys.executable, "-I", ranks.__file__, str(files.root))
        return {
            "command": f"exec {shlex.join(words)}",
            "rank_command": command,
            "num_nodes": task.num_nodes,
            "nproc_per_node": task.nproc_per_node,
        }
    arguments = plain_words(command)
    if arguments is None or not variables["PATH"].startswith(f"{files.bin}{os.pathsep}"):
        return {"command": command}
    # What two shells would come to, the one of the command and that of our `python`.
    return {
        "command": command,
        "words": [task.interpreter or sys.executable, *arguments],
        "env": {**variables, "PWD": str(files.code)},
    }


def _clear(files: TaskFiles) -> None:
    """Remove what an engine that died had half prepared."""
    for left in (files.code, files.bin, files.root / _SCRATCH, files.root / _SPARE):
        if left.is_dir():
            shutil.rmtree(left)


def _check_output(files: TaskFiles, output: str) -> None:
    """Refuse results that would lie among the snapshot's own files (quick_train, step 7)."""
    path = files.output(output)
    if path == files.code:
        raise LaunchRefused(
            f"The output {output!r} is the code's own directory; name one below it, such as "
            "'output'."
        )
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise LaunchRefused(
            f"The output {output!r} is not empty in the snapshot; name another directory, or leave "
            "it out of the snapshot with --exclude."
        )


def _write_python(files: TaskFiles, interpreter: str) -> None:
    """Make ``python`` and ``python3`` the interpreter, whatever PATH has else."""
    path = Path(interpreter)
    if not path.is_absolute() or not path.is_file() or not os.access(path, os.X_OK):
        raise LaunchRefused(
            f"The Python of the submitting kernel, {interpreter!r}, is not there or cannot be run; "
            "submit from a kernel whose Python exists."
        )
    make_private_directory(files.bin)
    for name in ("python", "python3"):
        script = files.bin / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(interpreter)} "$@"\n', encoding="utf-8")
        script.chmod(0o700)
