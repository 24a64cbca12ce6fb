"""`flood-seg serve`: the REST service with its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema.service import ServeConfig
from flood_seg.console import say, show_table, warn
from flood_seg.errors import UsageError, did_you_mean
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.inference.engines import choose_engine
from flood_seg.inference.models import choose_model
from flood_seg.verbs.common import as_overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema.service import ServeOptions


DEFAULT_ROLE = "predict"


def serve(
    overrides: Sequence[str] = (), *, model: str | None = None, host: str | None = None, port: int | None = None,
    add_key: str | None = None, role: str | None = None, remove_key: str | None = None, list_keys: bool = False,
) -> None:  # fmt: skip
    """Serve models until it is stopped; or change the keys of a service, which may be running, and return.

    Raises:
        FloodSegError: of any kind, before the service is ready.
    """
    engine, name = choose_engine(overrides, model)
    config = compose("serve", [*engine, *as_overrides({"serve.host": host, "serve.port": port})], ServeConfig)
    if change_keys(config.serve, add_key, role, remove_key, list_keys=list_keys):
        return
    limit_megapixels(config.max_megapixels)

    from flood_seg.service.app import create_app
    from flood_seg.service.models import Models
    from flood_seg.service.monitoring.logs import logging_as
    from flood_seg.service.security.start import check_security
    from flood_seg.service.server import run_server
    from flood_seg.service.state import Service

    # A training run may end before a worker starts: the newest model is another one then
    chosen = [] if config.serve.models else ["--model", model or choose_model(name, config.output_dir)[0]]
    with logging_as(config.serve.log):
        check_security(config.serve)
        service = Service(config, Models.load(config, name), worker_words=(*chosen, *overrides))
        run_server(create_app(service), service)


def change_keys(
    options: ServeOptions, add: str | None, role: str | None, remove: str | None, *, list_keys: bool
) -> bool:
    """Adds, removes or lists keys; returns False where nothing of that was asked for.

    Raises:
        FloodSegError: the flags do not fit each other, or the file cannot be read or written.
    """
    from flood_seg.service.security.access import keys_path
    from flood_seg.service.security.keys import ROLES, KeyFile

    asked = [
        flag for flag, given in (("--add-key", add), ("--remove-key", remove), ("--list-keys", list_keys)) if given
    ]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: give one of them")
    if role is not None and add is None:
        raise UsageError(f"--role {role}: is of a key that is added; give --add-key NAME too")
    file = KeyFile(keys_path(options))
    if add is not None:
        chosen = next((known for known in ROLES if known == (role or DEFAULT_ROLE)), None)
        if chosen is None:
            raise UsageError(f"--role {role}: give one of {', '.join(ROLES)}{did_you_mean(str(role), ROLES)}")
        say(file.add(add, chosen))
        warn(f"this key of {add}, role {chosen}, is not shown again; {file.path} holds its hash")
    if remove is not None:
        file.remove(remove)
        say(f"The key of {remove} is removed")
    if list_keys:
        entries = file.entries().items()
        show_table(
            str(file.path), ("name", "role", "created"), ((name, one.role, one.created) for name, one in entries)
        )
    return bool(asked)
