# quadpred in a container. PyAV's wheel brings the decoders; nothing else is installed.
#
#   docker build -t quadpred .
#   mkdir -p out
#   docker run --rm --user "$(id -u):$(id -g)" \
#     -v "$PWD/song.mp3:/audio.mp3:ro" -v "$PWD/out:/outdir" \
#     quadpred -s e -m e -i /audio.mp3 -o /outdir/
#
# --user makes the results yours and lets the container write to your folder; without it, it runs
# as user 1000. Make the folder first: Docker would create a missing one for root alone.
#
# The page and the API:
#
#   docker run --rm --init -p 127.0.0.1:8000:8000 quadpred serve --host 0.0.0.0 --no-auth
#
# The server must listen at 0.0.0.0, since 127.0.0.1 would be the container's own; that only this
# machine reaches it is then up to -p 127.0.0.1:…, hence --no-auth. To let others in, publish the
# port to them and give a token instead: -e QUADPRED_TOKEN=…, 16 characters or more. --init buries
# the processes that killed workers leave.

FROM python:3.12-slim AS build
WORKDIR /src
# The dependencies' names apart, so that their layer below outlives every other change.
COPY pyproject.toml ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['web'], sep='\n')" \
    > /requirements.txt
COPY README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --no-deps --prefix=/install .

FROM python:3.12-slim
# PyAV's wheel (BSD-3) bundles FFmpeg (LGPL 3) with x264 and x265 (GPL 2), which quadpred (MIT) does
# not use.
LABEL org.opencontainers.image.licenses="MIT AND BSD-3-Clause AND LGPL-3.0-or-later AND GPL-2.0-or-later"
# The base image ships the standard library without bytecode, and the unprivileged user could not
# keep any: compiled here once, not at each start. pip compiles what it installs.
RUN python -m compileall -q -x 'site-packages|lib2to3|idlelib|/tests?/' /usr/local/lib/python3.12
COPY --from=build /requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --root-user-action=ignore -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

# matplotlib keeps its font list where it may write: found once here, open to any --user.
ENV MPLCONFIGDIR=/tmp/matplotlib
RUN python -c "import matplotlib.font_manager" && chmod -R a+rwX "$MPLCONFIGDIR"

COPY --from=build /install /usr/local

RUN useradd --uid 1000 quadpred && install -d -m 1777 /data
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8000
USER quadpred
WORKDIR /data
ENTRYPOINT ["quadpred"]
CMD ["--help"]
