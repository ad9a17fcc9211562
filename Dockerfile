# quadpred in a container. PyAV's wheel brings the decoders; nothing else is installed.
#
#   docker build -t quadpred .
#   mkdir -p out
#   docker run --rm --user "$(id -u):$(id -g)" \
#     -v "$PWD/song.mp3:/audio.mp3:ro" -v "$PWD/out:/outdir" \
#     quadpred -s e -m e -i /audio.mp3 -o /outdir/
#
# --user makes the results yours and lets the container write to your folder. Without it, the
# container runs as user 1000. Create the folder first: Docker would create it as root.
#
# The page and the API:
#
#   docker run --rm --init -p 127.0.0.1:8000:8000 quadpred serve --host 0.0.0.0 --no-auth
#
# Inside the container the server must bind to 0.0.0.0. -p 127.0.0.1:… then keeps it private to this
# machine, hence --no-auth. To admit other machines, publish the port to them and set a token instead:
# -e QUADPRED_TOKEN=…, at least 16 characters. --init reaps the processes of killed workers.

FROM python:3.12-slim AS build
WORKDIR /src
# A list of dependencies alone, so that their layer is cached until the list changes.
COPY pyproject.toml ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['web'], sep='\n')" \
    > /requirements.txt
COPY README.md LICENSE LICENSE-WEIGHTS.md ./
COPY src ./src
RUN pip install --no-cache-dir --no-deps --prefix=/install .

FROM python:3.12-slim
# PyAV's wheel contains FFmpeg (LGPLv3) and, unused by quadpred, x264 and x265 (GPL).
LABEL org.opencontainers.image.title="quadpred" \
      org.opencontainers.image.licenses="MIT AND LicenseRef-quadpred-weights AND LGPL-3.0-or-later AND GPL-2.0-or-later"
# The base image has no bytecode of the standard library, and the unprivileged user cannot write any.
# Compile it once here instead of at each start.
RUN python -m compileall -q -x 'site-packages|lib2to3|idlelib|/tests?/' /usr/local/lib/python3.12
COPY --from=build /requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --root-user-action=ignore -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

# matplotlib caches its font list: build it once here, writable for any --user.
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
