"""The file itself: GraphQL and pictures from it, its runs, and which of its versions answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from evigraph.reading import shown
from evigraph.reading.answers import Answer
from evigraph.reading.lists import PAGE
from evigraph.reading.run import RUN_FIELDS, Run
from evigraph.schema.errors import AmbiguousError, EvidenceError, NotFoundError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from evigraph.graphapi.store.live import FileState
    from evigraph.graphapi.store.session import Session

T = TypeVar("T")


class Runs(list[Run]):
    """Runs, drawn as a table in notebooks."""

    def _repr_html_(self) -> str:
        rows = [
            (run.name, run.model, run.dataset, run.image_count, run.accuracy, run.edge_count, run.created_at[:10])
            for run in self
        ]
        heads = ("run", "model", "dataset", "images", "accuracy", "edges", "made")
        return shown.table(heads, [list(map(shown.cell, row)) for row in rows])


class Database:
    """A published database, open until it is closed.

    Each question is put to the version that is newest when it is asked, as the service does; `version` says which that
    is. A table is never of two versions: where one is published between two of its pages, it is read anew. The
    attributes of a `Run` stay what they were when it was asked for.

    It may be used from several threads, and inside a running event loop, as notebooks have one.
    """

    def __init__(
        self, path: str | Path, *, time_limit_ms: int | None = None, max_evidence_edges: int | None = None
    ) -> None:
        """Open it; see `evigraph.open`."""
        from evigraph.graphapi.service.execution import Service
        from evigraph.graphapi.store.settings import Settings

        given = {"max_page_size": PAGE, "time_limit_ms": time_limit_ms, "max_evidence_edges": max_evidence_edges}
        texts = [f"{name}={value}" for name, value in given.items() if value is not None]
        self.path = Path(path)
        self._service = Service(self.path, Settings.from_texts(texts))
        # On a thread of its own, since the caller may run inside an event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evigraph")

    def query(self, text: str, variables: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """The `data` of a GraphQL query's answer, of JSON's types.

        Args:
            text: GraphQL.
            variables: Its variables, by name.
            more: More of them.

        Raises:
            NotFoundError: A name stands for nothing; `near` has the nearest ones.
            EvidenceError: The answer has another error; the first one's message. UsageError where the query is wrong.
        """
        from evigraph.graphapi.service.encoding import plain

        values = {**(variables or {}), **more}
        body = plain(self._done(lambda: self._service.answer(text, values)).body)
        for error in body.get("errors", ()):
            raise _raised(error)
        return body["data"]

    def sql(self, text: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> Answer:
        """The rows of one statement of SQL, on the tables that `schema/tables` describes and the view `edge`.

        While a database is open here DuckDB opens its file with no other configuration in the same process, so that
        `duckdb.connect` is refused; and this can neither write nor reach other files.

        Args:
            text: One statement.
            parameters: Values of `?` or of `$name`.

        Raises:
            UsageError: DuckDB refuses it.
        """
        import duckdb

        from evigraph.schema.database import one_line

        async def read(session: Session) -> pa.Table:
            with session.version.connection() as connection:
                return connection.execute(text, parameters).to_arrow_table()

        try:
            return Answer(self.asked(read))
        except duckdb.Error as error:
            raise UsageError(one_line(error)) from error

    @property
    def runs(self) -> Runs:
        """Every run, the newest first."""
        nodes = self.query(f"query ($first: Int) {{ runs(first: $first) {{ nodes {{ {RUN_FIELDS} }} }} }}", first=PAGE)
        return Runs(Run(self, node) for node in nodes["runs"]["nodes"])

    def run(self, name: str | None = None) -> Run:
        """A run by its name; without one the database's default, or the newest.

        Raises:
            NotFoundError: There is none; near names are told.
        """
        answered = self.query(f"query ($name: String) {{ run(name: $name) {{ {RUN_FIELDS} }} }}", name=name)["run"]
        if answered is None:
            raise NotFoundError("run", name or "", (), f"in {self.path}, which holds none; publish one")
        return Run(self, answered)

    @property
    def version(self) -> str:
        """The name of the file that answered last, which `publish` made of its time; `path` leads to the newest."""
        return self.state.path.name if self.state is not None else ""

    @property
    def state(self) -> FileState | None:
        """The file that answered last, as it is; equal states are the same data."""
        return self._service.database.state

    def picture(self, address: str) -> shown.Picture:
        """The picture at an address that GraphQL gives (`thumbnailUrl`, `cropUrl`, `mapUrl`, `guidedUrl`).

        Raises:
            NotFoundError: There is none.
        """
        from evigraph.graphapi.files.pictures import picture_at

        return shown.Picture(*self.asked(lambda session: picture_at(session, address)))

    def small_pictures(self, addresses: Sequence[str]) -> dict[str, shown.Picture]:
        """Pictures by their addresses, as a table shows them; each is drawn once.

        Raises:
            NotFoundError: There is no picture at one of them.
        """
        from evigraph.graphapi.files.drawing import small
        from evigraph.graphapi.files.pictures import picture_at

        async def drawn(session: Session) -> dict[str, shown.Picture]:
            found = {one: (await picture_at(session, one)).content for one in dict.fromkeys(addresses)}
            return {one: shown.Picture("image/jpeg", small(content, shown.SIDE)) for one, content in found.items()}

        return self.asked(drawn)

    def asked(self, question: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """The answer to a question of `evigraph.graphapi.questions`, as one request of the service."""

        async def request() -> T:
            async with self._service.database.request() as version:
                return await question(self._service.session(version))

        return self._done(request)

    def close(self) -> None:
        """Close it; once is enough."""
        self._thread.shutdown()
        self._service.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """The path and the runs."""
        return f"evigraph.open({str(self.path)!r}): {self._named_runs()}"

    def _repr_html_(self) -> str:
        try:
            return shown.paragraph(str(self.path), self.version) + self.runs._repr_html_()
        except EvidenceError as error:
            return shown.paragraph(str(self.path), str(error))

    def _named_runs(self) -> str:
        try:
            return ", ".join(run.name for run in self.runs) or "no runs"
        except EvidenceError as error:
            return str(error)

    def _done(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            future = self._thread.submit(lambda: asyncio.run(work()))
        except RuntimeError as error:
            raise UsageError(f"{self.path} is closed; evigraph.open it again") from error
        return future.result()


def _raised(told: Mapping[str, Any]) -> EvidenceError:
    """An error of an answer as the one that the service raised."""
    message, more = told["message"], told.get("extensions", {})
    error: EvidenceError
    if more.get("code") == NotFoundError.code:
        error = NotFoundError.__new__(NotFoundError, message)
        error.near = more.get("near", [])
        return error
    if more.get("code") == AmbiguousError.code:
        error = AmbiguousError.__new__(AmbiguousError, message)
        error.candidates = more.get("candidates", [])
        return error
    own = UsageError if more.get("code") in _MISUSE else EvidenceError
    error = own(message)
    error.code = more.get("code", error.code)
    return error


_MISUSE = (UsageError.code, "LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED")
