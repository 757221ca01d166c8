"""The one log of a server process: a line per event on standard error, as key=value pairs or as JSON."""

import logging
import sys
from collections.abc import Mapping

import structlog


def start_log(*, as_json: bool, **always: object) -> None:
    """Send everything that this process has to say to standard error; `always` goes with every line.

    Python's own logging, which gRPC and asyncio use, ends up in the same form.
    """
    shared: list[structlog.typing.Processor] = [
        lambda _, __, event: {**always, **event},
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor
    if as_json:
        last = structlog.processors.JSONRenderer()
    else:
        last = structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], drop_missing=True, bool_as_flag=False
        )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(formatter)
    logging.basicConfig(handlers=[lines], level=logging.INFO, force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_event(text: str, fields: Mapping[str, object]) -> None:
    """An `OnEvent` that writes to the log of the process."""
    _log.info(text, **fields)


def log_warning(text: str, **fields: object) -> None:
    """Something an operator should look at."""
    _log.warning(text, **fields)


_log: structlog.stdlib.BoundLogger = structlog.get_logger("raftlog")
