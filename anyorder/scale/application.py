"""The server as a Ray Serve application: replicas of one process, one model and one engine behind a router.

    serve run anyorder.scale.application:app
    serve run anyorder.scale.application:build model=smollm2 replicas=2 cpus=4 most=16

or from Python

    from ray import serve
    from anyorder.scale.application import Scale, application
    serve.run(application(Scale("smollm2", replicas=1, most_replicas=4)))

A replica takes as many requests as it decodes at once; more wait in the router, for whichever replica is
free first, and it is their number by which replicas come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from anyorder.errors import UserError
from anyorder.scale.cluster import module, placed
from anyorder.server.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSING = 5.0  # seconds that a replica gets beyond its requests' time of grace
HEADER = b"x-anyorder-replica"
T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """What is served, and by how many. Raises UserError."""

    model: str = "smollm2"
    precision: str = "bf16"
    replicas: int = 1  # with most_replicas: the fewest
    most_replicas: int | None = None  # None: always as many as `replicas`
    target: float | None = None  # requests for each replica, those that wait included; None: half of `most`
    cpus: float = 1.0  # processors of each replica, which are its threads

    def __post_init__(self) -> None:
        most = self.most_replicas
        if self.replicas < 1:
            raise UserError(f"replicas is {self.replicas}; allowed is 1 or more; give another")
        if most is not None and most < self.replicas:
            raise UserError(f"most_replicas is {most}; allowed is {self.replicas}, as replicas says, or more")
        if self.target is not None and (most is None or not self.target > 0):
            raise UserError(f"target is {self.target}; allowed is more than 0, and only with most_replicas")
        if not self.cpus > 0:
            raise UserError(f"cpus is {self.cpus}; allowed is more than 0; give another")

    def replicated(self, most: int) -> dict[str, Any]:
        """How Ray calls it. `most`: requests that a replica decodes at once."""
        if self.most_replicas is None:
            return {"num_replicas": self.replicas}
        return {
            "autoscaling_config": {
                "min_replicas": self.replicas, "max_replicas": self.most_replicas,
                "target_ongoing_requests": self.target or max(1.0, most / 2),
            }
        }  # fmt: skip


class Replica:
    """What Ray asks of a replica besides requests. `app` is the server's, from `serve.ingress`."""

    app: FastAPI

    def check_health(self) -> None:
        """Called by Ray from time to time; who raises, or does not answer, is replaced."""
        desk = getattr(self.app.state, "desk", None)  # from the start of its life on
        if desk is not None and not desk.closing and not desk.engine.alive:
            raise RuntimeError("the engine's thread is gone")


class Named:
    """Says in each answer's header which replica gave it."""

    def __init__(self, app: ASGIApp, name: str):
        self.app, self.header = app, (HEADER, name.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), self.header]}
            await send(message)

        await self.app(scope, receive, named if scope["type"] == "http" else send)


def application(scale: Scale | None = None, settings: Settings | None = None) -> Application:
    """The server of one model, ready for `serve.run`. Raises UserError where Ray is missing."""
    module({})
    from ray import serve

    scale, settings = scale or Scale(), settings or Settings()
    waiting = max(1, settings.queue) * (scale.most_replicas or scale.replicas)  # of a router; Ray refuses 0
    deployment = serve.deployment(
        name="anyorder", max_ongoing_requests=settings.most, max_queued_requests=waiting,
        ray_actor_options={"num_cpus": scale.cpus}, **scale.replicated(settings.most),
        graceful_shutdown_timeout_s=settings.grace + CLOSING,
    )  # fmt: skip
    return deployment(serve.ingress(_builder(scale, settings))(Replica)).bind()


def _builder(scale: Scale, settings: Settings) -> Callable[[], FastAPI]:
    """What a replica calls as it starts. `serve.ingress` takes nothing but a plain function."""
    model, precision = placed(scale.model), scale.precision

    def built() -> FastAPI:
        from ray import serve

        from anyorder import load
        from anyorder.server import create_app

        made = create_app(load(model, precision=precision), settings)
        made.add_middleware(Named, name=serve.get_replica_context().replica_id.unique_id)
        return made

    return built


def build(arguments: dict[str, Any]) -> Application:
    """The application from words, as `serve run` and its configuration files give them: options of `Scale`
    and of `Settings`, keys by comma. Raises UserError."""
    known = [field.name for kind in (Scale, Settings) for field in fields(kind)]
    for name in arguments:
        if name not in known:
            raise UserError(f"unknown option {name!r}; allowed are {', '.join(known)}; choose one")
    given = dict(arguments)
    if isinstance(given.get("keys"), str):
        given["keys"] = given["keys"].split(",")
    return application(_read(Scale, given), _read(Settings, given))


def _read(kind: type[T], given: Mapping[str, Any]) -> T:
    """The options that a dataclass has, from text or numbers. Raises UserError."""
    from pydantic import TypeAdapter, ValidationError

    mine = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    try:
        return TypeAdapter(kind).validate_python({name: given[name] for name in given if name in mine})
    except ValidationError as error:
        first = error.errors()[0]
        if "error" in first.get("ctx", {}):  # its own, said as it made itself
            raise UserError(str(first["ctx"]["error"])) from error
        name = ".".join(map(str, first["loc"]))
        raise UserError(f"{name} is {first['input']!r}; {first['msg'].lower()}; give another") from error


app = application()
