# One image for every service; the command names the one: `serve ingress`, `provision`, `audit verify`.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements/build.txt requirements/runtime.txt requirements/
# The tools that build Callgate stay in this stage; the environment has what it needs to run, and not even pip.
RUN python -m venv /tools \
    && /tools/bin/pip install -qq --no-cache-dir --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/callgate \
    && /tools/bin/pip --python /opt/callgate/bin/python install -qq --no-cache-dir --no-compile --require-hashes \
        -r requirements/runtime.txt
COPY . .
RUN /tools/bin/pip wheel -qq --no-deps --no-build-isolation --wheel-dir dist . \
    && /tools/bin/pip --python /opt/callgate/bin/python install -qq --no-deps --no-compile dist/*.whl \
    && /opt/callgate/bin/python -m compileall -q /opt/callgate/lib

FROM python:3.11-slim-bookworm
# The folders that volumes are mounted on: an empty volume takes their owner.
RUN useradd --uid 10001 --no-create-home --user-group --home-dir /var/lib/callgate --shell /usr/sbin/nologin callgate \
    && install -d -m 0700 -o callgate -g callgate /var/lib/callgate /run/callgate \
    && cd /run/callgate && install -d -m 0700 -o callgate -g callgate keys all-keys handed broker broker-data upstream \
    && cd handed && install -d -m 0700 -o callgate -g callgate \
        ingress masking policy approval executor audit provisioner
COPY --from=build /opt/callgate /opt/callgate
ENV PATH=/opt/callgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /etc/callgate
USER callgate
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["callgate"]
CMD ["--help"]
