# One raftlog node, or any command of raftlog: `docker build -t raftlog .`; docs/docker.md says the rest.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/raftlog
COPY pyproject.toml README.md LICENSE ./
COPY raftlog raftlog
COPY statemachines statemachines
COPY jepsen_like jepsen_like
RUN /opt/raftlog/bin/pip install --no-cache-dir .

FROM ${BASE}
COPY --from=build /opt/raftlog /opt/raftlog
# Base images leave out Python's compiled files, and our user could not write them: without this every start, and so
# every health check, compiles the standard library anew and takes twice the time.
RUN ["/opt/raftlog/bin/python", "-c", "import raftlog.cli.serve, raftlog.cli.status, raftlog.cli.init, statemachines.kv_cli"]
# A number of its own, not root's: volumes remember numbers. /data belongs to it, and so does a new volume mounted there.
RUN groupadd --gid 10001 raftlog \
 && useradd --uid 10001 --gid raftlog --no-create-home --home-dir /data raftlog \
 && install -d -o raftlog -g raftlog -m 0700 /data
ENV PATH=/opt/raftlog/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /data
USER raftlog
EXPOSE 7001
STOPSIGNAL SIGTERM
ENTRYPOINT ["raftlog"]
CMD ["--help"]
