# The gateway, and the lab's site, in one small image.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md constraints.txt ./
COPY edgeproxy edgeproxy
RUN python -m venv /opt/edgeproxy \
 && /opt/edgeproxy/bin/pip install --no-cache-dir --no-compile --constraint constraints.txt '.[redis]'

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin edgeproxy
COPY --from=build /opt/edgeproxy /opt/edgeproxy
COPY config.yaml /etc/edgeproxy/config.yaml
ENV PATH=/opt/edgeproxy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /etc/edgeproxy
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 CMD ["edgeproxy", "status", "--ready"]
ENTRYPOINT ["edgeproxy"]
CMD ["serve"]
