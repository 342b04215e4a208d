# One image for the code server, the webserver, the daemon and the run workers: docker compose -f deploy/compose.yaml up
# With dagster-cloud in it, an agent of Dagster+ Hybrid runs it, too: deploy/dagster_cloud_hybrid.yaml
# No Java: on Databricks Spark is the cluster's, and locally the engine is embedded.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY athlete_assets athlete_assets
RUN python -m venv /opt/athlete-assets \
 && /opt/athlete-assets/bin/pip install --no-cache-dir -c constraints.txt ".[postgres,cloud]"

FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 dagster \
 && install -d -o dagster /opt/dagster/home /opt/dagster/home/storage
COPY --from=build /opt/athlete-assets /opt/athlete-assets
COPY deploy/dagster.yaml deploy/workspace.yaml /opt/dagster/home/
ENV PATH=/opt/athlete-assets/bin:$PATH DAGSTER_HOME=/opt/dagster/home PYTHONUNBUFFERED=1
USER dagster
WORKDIR /opt/dagster/home
EXPOSE 4000
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "athlete_assets.definitions"]
